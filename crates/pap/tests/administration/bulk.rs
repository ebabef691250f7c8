//! Imports in parts over a real store: what is promised of the whole holds, and so does each part.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use magistrate_model::{Instant, Span};
use magistrate_pap::{
    AdminError, Administration, Changes, GrantFilter, ImportFile, ImportOptions, Imported, ItemKind, PolicyMigration,
    Progress, Records, Step, Watch,
};

use super::*;

/// Stops an import once `stop` parts are committed; each takes an hour.
struct Watcher {
    stop: usize,
    commits: usize,
    seen: Vec<Progress>,
}

impl Watch for Watcher {
    fn now(&self) -> Instant {
        authorship().at.plus(Span::hours(i64::try_from(self.commits).unwrap()))
    }

    fn at(&mut self, progress: Progress) -> ControlFlow<()> {
        self.seen.push(progress);
        self.commits += usize::from(progress.step == Step::Commit);
        if self.commits > self.stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn watcher(stop: usize) -> Watcher {
    Watcher { stop, commits: 0, seen: Vec::new() }
}

fn parts_of(part_size: usize, dry_run: bool) -> ImportOptions {
    ImportOptions { part_size: NonZeroUsize::new(part_size).unwrap(), dry_run }
}

fn file(kind: ItemKind, lines: &[String]) -> ImportFile {
    ImportFile::new("f", lines.join("\n"), kind).unwrap()
}

fn in_parts(ids: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    let folder = |line: &str| {
        let (id, parent) = line.split_once('<').unwrap_or((line, ""));
        let parent = if parent.is_empty() { String::new() } else { format!(r#""Folder::\"{parent}\"""#) };
        format!(r#"{{"uid":"Folder::\"{id}\"","parents":[{parent}]}}"#)
    };
    ids.into_iter().map(folder).collect()
}

fn grants(ids: std::ops::Range<usize>) -> Vec<String> {
    let holders = ["ana", "ben", "cleo", "dan"].into_iter().cycle();
    let grant = |(n, holder): (usize, &str)| {
        format!(r#"{{"holder":"User::\"{holder}\"","role":"reader","expires_at":"+2h","reason":"r{n}"}}"#)
    };
    (0..).zip(holders).filter(|(n, _)| ids.contains(n)).take(ids.len()).map(grant).collect()
}

impl World {
    async fn import(&self, file: &ImportFile, options: ImportOptions) -> Result<Imported, AdminError> {
        self.administration().import(file, options, &authorship(), &mut watcher(usize::MAX)).await
    }

    async fn grants(&self) -> Vec<magistrate_model::Grant> {
        self.store.grants(&GrantFilter::default()).await.unwrap()
    }
}

#[tokio::test]
async fn up_to_a_part_is_one_revision_and_more_are_several() {
    let world = World::new().await;
    let before = world.revision().await;
    let lines = in_parts(["a", "b", "c", "d", "e"]);
    let whole = world.import(&file(ItemKind::Entities, &lines[..2]), parts_of(2, false)).await.unwrap();
    assert_eq!((whole.outcome.added, whole.parts, world.revision().await), (2, 1, before + 1));
    let rest = world.import(&file(ItemKind::Entities, &lines), parts_of(2, false)).await.unwrap();
    assert_eq!((rest.outcome.added, rest.outcome.unchanged, rest.parts), (3, 2, 2));
    let (first, last) = rest.revisions.unwrap();
    assert_eq!((first.number(), last.number(), rest.outcome.revision), (before + 2, before + 3, last));
    assert_eq!(world.revision().await, before + 3);
}

/// Whatever the order of the file, no revision holds an entity whose parent is missing.
#[tokio::test]
async fn every_part_stands_on_its_own() {
    let world = World::new().await;
    let before = world.store.base().await.unwrap().revision;
    let lines = in_parts(["a<b", "c<top", "b<d", "e<a", "d<f", "f<free"]);
    world.import(&file(ItemKind::Entities, &lines), parts_of(1, false)).await.unwrap();
    let log = world.store.log(before, 100).await.unwrap();
    let keys: Vec<&str> = log.iter().map(|row| row.key.as_str()).collect();
    let folders = ["f", "d", "b", "a", "c", "e"].map(|id| format!("Folder::\"{id}\""));
    assert_eq!(keys, folders);
    let dated = |(hours, row): (i64, &LoggedChange)| row.authorship.at == authorship().at.plus(Span::hours(hours));
    assert!((1..).zip(&log).all(dated), "a part is dated by when it is committed");
}

/// The folder that leaves a hierarchy goes before the one that joins it, or there would be a circle between.
#[tokio::test]
async fn no_part_makes_a_circle_with_what_later_parts_change() {
    let world = World::new().await;
    world.put(&data("entities", &in_parts(["x<s", "s<p", "p"]).join("\n"))).await.unwrap();
    let lines = in_parts(["p<x", "s"]);
    let before = world.store.base().await.unwrap().revision;
    world.import(&file(ItemKind::Entities, &lines), parts_of(1, false)).await.unwrap();
    let log = world.store.log(before, 100).await.unwrap();
    assert_eq!(log.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["Folder::\"s\"", "Folder::\"p\""]);
}

#[tokio::test]
async fn one_problem_anywhere_refuses_every_part() {
    let world = World::new().await;
    for (lines, says) in [
        (in_parts(["a", "b", "c<none"]), "f:3: `Folder::\"c\"` names `Folder::\"none\"`, which does not exist"),
        (in_parts(["a", "b<c", "c<b"]), "f:2: `Folder::\"b\"` would be a member of itself"),
        (in_parts(["a", "b", "a"]), "f:3: `Folder::\"a\"` stands twice, first at f:1"),
    ] {
        world.refused(world.import(&file(ItemKind::Entities, &lines), parts_of(1, false)), says).await;
    }
    world.put(&data("entities", &in_parts(["s<p", "p"]).join("\n"))).await.unwrap();
    let lines = in_parts(["a", "p<s"]);
    world
        .refused(world.import(&file(ItemKind::Entities, &lines), parts_of(1, false)), "f:2: `Folder::\"p\"` would")
        .await;
    let mut lines = grants(0..3);
    lines.push(lines[0].replace("reader", "none"));
    world.refused(world.import(&file(ItemKind::Grants, &lines), parts_of(1, false)), "f:4: the role").await;
}

#[tokio::test]
async fn dry_run_takes_other_parts_into_account() {
    let world = World::new().await;
    let before = world.revision().await;
    let file = file(ItemKind::Entities, &in_parts(["a<b", "b<c", "c"]));
    let dry = world.import(&file, parts_of(1, true)).await.unwrap();
    assert_eq!((dry.outcome.added, dry.parts, dry.revisions, world.revision().await), (3, 3, None, before));
    world.import(&file, parts_of(1, false)).await.unwrap();
    let dry = world.import(&file, parts_of(1, true)).await.unwrap();
    assert_eq!((dry.outcome.unchanged, dry.parts), (3, 0));
}

/// The same grants come of the same file, whatever the parts: a repeated grant's id counts over the whole.
#[tokio::test]
async fn ids_and_terms_do_not_depend_on_the_parts() {
    let (whole, parts) = (World::new().await, World::new().await);
    let file = file(ItemKind::Grants, &grants(0..11));
    whole.import(&file, parts_of(100, false)).await.unwrap();
    parts.import(&file, parts_of(3, false)).await.unwrap();
    assert_eq!(whole.grants().await, parts.grants().await);
    assert_eq!(whole.grants().await.len(), 2 + 11);
    let end = Some(authorship().at.plus(Span::hours(2)));
    let ends = whole.grants().await.into_iter().filter_map(|grant| grant.term().expires_at());
    assert!(ends.eq([end; 11].into_iter().flatten()), "times are taken when the import begins");
}

#[tokio::test]
async fn stopped_import_goes_on_and_renews_nothing() {
    let (whole, stopped) = (World::new().await, World::new().await);
    let file = file(ItemKind::Grants, &grants(0..11));
    whole.import(&file, parts_of(100, false)).await.unwrap();
    let administration = stopped.administration();
    let error = administration.import(&file, parts_of(3, false), &authorship(), &mut watcher(2)).await.unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("interrupted\n6 of 11 items are in the store as given, up to revision 4;"), "{error}");
    assert_eq!(stopped.grants().await.len(), 2 + 6);
    let later = Authorship { at: authorship().at.plus(Span::hours(1)), ..authorship() };
    let rest = administration.import(&file, parts_of(3, false), &later, &mut watcher(100)).await.unwrap();
    assert_eq!((rest.outcome.added, rest.outcome.unchanged, rest.parts), (5, 6, 2));
    let held = |grants: Vec<magistrate_model::Grant>| grants.iter().map(|grant| grant.id().clone()).collect::<Vec<_>>();
    assert_eq!(held(stopped.grants().await), held(whole.grants().await));
    let first =
        |grants: Vec<magistrate_model::Grant>| grants.into_iter().filter(|it| it.reason() == "r0").collect::<Vec<_>>();
    assert_eq!(first(stopped.grants().await), first(whole.grants().await), "the term is the first run's");
}

#[tokio::test]
async fn import_stopped_before_the_first_part_changes_nothing() {
    let world = World::new().await;
    let administration = world.administration();
    let file = file(ItemKind::Grants, &grants(0..4));
    let by = authorship();
    let mut watcher = watcher(0);
    world
        .refused(
            administration.import(&file, parts_of(2, false), &by, &mut watcher),
            "interrupted; nothing was changed",
        )
        .await;
    let steps: Vec<(Step, usize)> = watcher.seen.iter().map(|progress| (progress.step, progress.done)).collect();
    assert_eq!(steps, [(Step::Read, 0), (Step::Check, 0), (Step::Check, 2), (Step::Commit, 0)]);
}

/// Rivals that leave alone what an import names cost it nothing but another offer.
#[tokio::test]
async fn import_is_not_stopped_by_others_at_other_things() {
    let world = World::new().await;
    let contended = Administration::new(Contended { store: world.store.clone(), rivals: AtomicUsize::new(40) });
    let file = file(ItemKind::Entities, &in_parts(["a<b", "b<c", "c"]));
    let imported = contended.import(&file, parts_of(1, false), &authorship(), &mut watcher(100)).await.unwrap();
    assert_eq!((imported.outcome.added, imported.parts), (3, 3));
    assert_eq!(imported.outcome.revision.number(), world.revision().await);
}

/// A store in which somebody makes one change before the `before`th commit.
struct Meddled {
    store: SqliteStore,
    before: AtomicUsize,
    change: Change,
}

impl Records for Meddled {
    async fn base(&self) -> Result<Base, StoreError> {
        self.store.base().await
    }

    async fn entities(&self, filter: &EntityFilter) -> Result<Vec<magistrate_model::EntityData>, StoreError> {
        self.store.entities(filter).await
    }

    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<magistrate_model::Grant>, StoreError> {
        self.store.grants(filter).await
    }
}

impl Changes for Meddled {
    async fn commit(&self, base: Revision, changes: &[Change], by: &Authorship) -> Result<Revision, CommitError> {
        if self.before.fetch_sub(1, Ordering::SeqCst) == 1 {
            let now = self.store.base().await?.revision;
            self.store.commit(now, std::slice::from_ref(&self.change), by).await?;
        }
        self.store.commit(base, changes, by).await
    }

    async fn log(&self, after: Revision, limit: u32) -> Result<Vec<LoggedChange>, StoreError> {
        self.store.log(after, limit).await
    }

    async fn migrations(&self) -> Result<Vec<PolicyMigration>, StoreError> {
        self.store.migrations().await
    }
}

impl World {
    fn meddled(&self, before: usize, change: Change) -> Administration<Meddled> {
        Administration::new(Meddled { store: self.store.clone(), before: AtomicUsize::new(before), change })
    }
}

#[tokio::test]
async fn what_others_take_away_meanwhile_stops_the_import_where_it_is_needed() {
    let world = World::new().await;
    world.put(&data("entities", &in_parts(["late"]).join("\n"))).await.unwrap();
    let meddled = world.meddled(2, Change::DeleteEntity(uid("Folder::late")));
    let file = file(ItemKind::Entities, &in_parts(["a", "b", "c<late"]));
    let error =
        meddled.import(&file, parts_of(1, false), &authorship(), &mut watcher(100)).await.unwrap_err().to_string();
    assert!(error.contains("names `Folder::\"late\"`, which does not exist"), "{error}");
    assert!(error.contains("2 of 3 items are in the store as given"), "{error}");
    assert!(world.has("Folder::b").await && !world.has("Folder::c").await);
}

/// An earlier part's folder is hung below a later one by somebody else.
#[tokio::test]
async fn circle_that_others_complete_meanwhile_is_refused() {
    let world = World::new().await;
    world.put(&data("entities", &in_parts(["x"]).join("\n"))).await.unwrap();
    let below = magistrate_model::EntityData {
        parents: [uid("Folder::c")].into(),
        ..magistrate_model::EntityData::bare(uid("Folder::x"))
    };
    world.put(&data("entities", &in_parts(["c"]).join("\n"))).await.unwrap();
    let meddled = world.meddled(2, Change::PutEntity(below));
    let file = file(ItemKind::Entities, &in_parts(["a<x", "b<a", "c<b"]));
    let error =
        meddled.import(&file, parts_of(1, false), &authorship(), &mut watcher(100)).await.unwrap_err().to_string();
    assert!(error.contains("`Folder::\"c\"` would be a member of itself"), "{error}");
}

#[tokio::test]
async fn policies_applied_meanwhile_stop_the_import() {
    let world = World::new().await;
    let set = compile(SCHEMA, &policies(5)).policy_set();
    let meddled = world.meddled(2, Change::ApplyPolicySet { set, name: "other".into() });
    let file = file(ItemKind::Entities, &in_parts(["a", "b", "c"]));
    let error =
        meddled.import(&file, parts_of(1, false), &authorship(), &mut watcher(100)).await.unwrap_err().to_string();
    assert!(error.contains("another policy set was applied meanwhile") && error.contains("1 of 3 items"), "{error}");
    assert_eq!(world.import(&file, parts_of(1, false)).await.unwrap().outcome.added, 2);
}

/// What was there when it was checked, and is gone when its turn comes, is put again with the rest.
#[tokio::test]
async fn grant_that_others_revoke_meanwhile_is_refound() {
    let world = World::new().await;
    let lines = grants(0..4);
    world.import(&file(ItemKind::Grants, &lines[2..3]), parts_of(1, false)).await.unwrap();
    let id = world.grants().await.iter().find(|grant| grant.reason() == "r2").unwrap().id().clone();
    let meddled = world.meddled(2, Change::RevokeGrant(id));
    let imported =
        meddled.import(&file(ItemKind::Grants, &lines), parts_of(2, false), &authorship(), &mut watcher(100)).await;
    assert_eq!(imported.unwrap().outcome.added, 4);
}
