//! Administration over a real store: what is refused leaves no trace, and nothing is overwritten.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests: a broken premise should end them at once")]

mod apply;
mod bulk;

use std::sync::atomic::{AtomicUsize, Ordering};

use magistrate_engine::{Snapshot, Source};
use magistrate_model::{Authorship, Change, EntityUid, Instant, LoggedChange, Revision};
use magistrate_pap::{
    AdminError, Administration, ApplyOptions, Base, Changes, CommitError, Data, EntityFilter, GrantFilter, Outcome,
    PolicyMigration, Records, StoreError,
};
use magistrate_storage_sqlite::SqliteStore;

const SCHEMA: &str = r#"
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity Group in [Group];
@source("stored") entity User in [Group, Role, Scope] { level: Long, since?: String, manager?: User };
@source("stored") entity Folder in [Folder];
@source("stored") entity Doc in [Folder] { owner: User };
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: {} };
"#;

const HELD: [(&str, &str); 4] = [
    (
        "entities",
        r#"{"uid":"Group::\"team\""}
           {"uid":"User::\"ana\"","attributes":{"level":1},"parents":["Group::\"team\""]}
           {"uid":"User::\"ben\"","attributes":{"level":2,"manager":{"__entity":{"type":"User","id":"cleo"}}}}
           {"uid":"User::\"cleo\"","attributes":{"level":3}}
           {"uid":"User::\"dan\"","attributes":{"level":4,"since":"2026-01-01T00:00:00Z"}}
           {"uid":"Folder::\"top\""}
           {"uid":"Folder::\"free\""}"#,
    ),
    (
        "roles",
        r#"{"role":"reader"}
           {"role":"editor","parents":["reader"]}
           {"role":"unused"}"#,
    ),
    (
        "scopes",
        r#"{"scope":"docs:read","action_group":"Action::\"docs:read\""}
           {"scope":"docs:list","action_group":"Action::\"read\""}"#,
    ),
    (
        "grants",
        r#"{"id":"g-role","holder":"User::\"dan\"","role":"editor","resource":"Folder::\"top\"","standing":true,"reason":"r"}
           {"id":"g-scope","holder":"Group::\"team\"","scope":"docs:read","standing":true,"reason":"r"}"#,
    ),
];

fn policies(count: usize) -> String {
    let policy = |n| format!("@id(\"p{n}\") permit (principal in Role::\"reader\", action, resource);\n");
    (0..count).map(policy).collect()
}

fn compile(schema: &str, policies: &str) -> Snapshot {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    Snapshot::compile(&source("s", schema), &[source("p", policies)]).unwrap_or_else(|findings| panic!("{findings}"))
}

fn data(kind: &str, lines: &str) -> Data {
    let mut data = Data::default();
    data.add_jsonl(kind, kind, lines).unwrap();
    data
}

fn user(id: &str, level: u32) -> Data {
    data("entities", &format!(r#"{{"uid":"User::\"{id}\"","attributes":{{"level":{level}}}}}"#))
}

fn uid(text: &str) -> EntityUid {
    EntityUid::parse_shorthand(text).unwrap()
}

fn authorship() -> Authorship {
    let at: Instant = "2026-06-01T12:00:00Z".parse().unwrap();
    Authorship { actor: "test:ana".parse().unwrap(), reason: "a test".parse().unwrap(), at }
}

fn options(allow_shrink: bool) -> ApplyOptions {
    ApplyOptions { name: "test".into(), allow_shrink, ..ApplyOptions::default() }
}

/// A store with four policies and the data above.
struct World {
    store: SqliteStore,
    _directory: tempfile::TempDir,
}

impl World {
    async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        SqliteStore::create_or_migrate(directory.path()).await.unwrap();
        Self { store: SqliteStore::open(directory.path()).await.unwrap(), _directory: directory }
    }

    async fn new() -> Self {
        let world = Self::empty().await;
        world.administration().apply(&compile(SCHEMA, &policies(4)), &options(false), &authorship()).await.unwrap();
        let mut data = Data::default();
        for (kind, lines) in HELD {
            data.add_jsonl(kind, kind, lines).unwrap();
        }
        world.administration().put(&data, &authorship(), false).await.unwrap();
        world
    }

    fn administration(&self) -> Administration<SqliteStore> {
        Administration::new(self.store.clone())
    }

    async fn put(&self, data: &Data) -> Result<Outcome, AdminError> {
        self.administration().put(data, &authorship(), false).await
    }

    async fn revision(&self) -> u64 {
        self.store.base().await.unwrap().revision.number()
    }

    async fn has(&self, name: &str) -> bool {
        let filter = EntityFilter { uids: Some([uid(name)].into()), ..EntityFilter::default() };
        !self.store.entities(&filter).await.unwrap().is_empty()
    }

    /// Expects a refusal that says `says` and left the store at the revision it was at.
    async fn refused<T: std::fmt::Debug>(&self, change: impl Future<Output = Result<T, AdminError>>, says: &str) {
        let before = self.revision().await;
        let error = change.await.unwrap_err().to_string();
        assert!(error.contains(says), "wanted `{says}` in: {error}");
        assert_eq!(self.revision().await, before, "what is refused changes nothing");
    }
}

#[tokio::test]
async fn put_is_one_revision_that_tells_who_and_why() {
    let world = World::new().await;
    let before = world.store.base().await.unwrap().revision;
    let mut change = user("eve", 1);
    change.add_jsonl("roles", "r", r#"{"role":"owner"}"#).unwrap();
    let outcome = world.put(&change).await.unwrap();
    assert_eq!(outcome.revision.number(), before.number() + 1);
    assert_eq!((outcome.added, outcome.total()), (2, 2));
    let log = world.store.log(before, 100).await.unwrap();
    assert_eq!(log.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["entity.put", "entity.put"]);
    assert!(log.iter().all(|row| row.authorship == authorship() && row.revision == outcome.revision));
}

#[tokio::test]
async fn dry_run_tells_the_outcome_and_changes_nothing() {
    let world = World::new().await;
    let before = world.revision().await;
    let change = user("eve", 1);
    let dry = world.administration().put(&change, &authorship(), true).await.unwrap();
    assert_eq!((dry.added, dry.revision.number()), (1, before));
    assert_eq!(world.revision().await, before);
    let wet = world.put(&change).await.unwrap();
    assert_eq!((wet.added, wet.revision.number()), (1, before + 1));
    let again = world.administration().put(&change, &authorship(), true).await.unwrap();
    assert_eq!((again.added, again.unchanged), (0, 1));
}

#[tokio::test]
async fn putting_what_is_there_makes_no_revision() {
    let world = World::new().await;
    let before = world.revision().await;
    let outcome = world.put(&data("entities", HELD[0].1)).await.unwrap();
    assert_eq!((outcome.unchanged, outcome.revision.number()), (7, before));
    assert_eq!(world.revision().await, before);
}

#[tokio::test]
async fn cycle_through_stored_ancestors_is_refused() {
    let world = World::new().await;
    let below = |folder: &str, parent: &str| {
        data("entities", &format!(r#"{{"uid":"Folder::\"{folder}\"","parents":["Folder::\"{parent}\""]}}"#))
    };
    world.put(&below("mid", "top")).await.unwrap();
    world.put(&below("low", "mid")).await.unwrap();
    world.refused(world.put(&below("top", "low")), "would be a member of itself").await;
    world.put(&below("top", "free")).await.unwrap();
}

#[tokio::test]
async fn stored_entities_are_found_however_an_attribute_names_them() {
    let world = World::new().await;
    for (id, owner) in
        [("plan", r#"{"type":"User","id":"ana"}"#), ("note", r#"{"__entity":{"type":"User","id":"ana"}}"#)]
    {
        let doc =
            |owner: &str| data("entities", &format!(r#"{{"uid":"Doc::\"{id}\"","attributes":{{"owner":{owner}}}}}"#));
        world
            .refused(world.put(&doc(&owner.replace("ana", "none"))), "names `User::\"none\"`, which does not exist")
            .await;
        world.put(&doc(owner)).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_can_be_put_before_policies_are_applied() {
    let world = World::empty().await;
    world.refused(world.put(&user("eve", 1)), "run `magistrate policy apply` first").await;
}

#[tokio::test]
async fn entity_is_deleted_only_when_nothing_hangs_on_it() {
    let world = World::new().await;
    let administration = world.administration();
    for (name, says) in [
        ("Group::team", "`User::\"ana\"` is a member of it"),
        ("User::cleo", "`User::\"ben\"` names it in an attribute"),
        ("User::dan", "the grant `g-role` is held by it; revoke that first"),
        ("Folder::top", "the grant `g-role` is held on it; revoke that first"),
        ("User::none", "cannot delete entity `User::\"none\"`: it does not exist"),
    ] {
        world.refused(administration.delete_entity(&uid(name), &authorship()), says).await;
    }
    for (name, says) in [
        ("reader", "`Role::\"editor\"` is a member of it"),
        ("editor", "the grant `g-role` confers it; revoke that first"),
        ("none", "it does not exist"),
        ("User::ana", "is not a role"),
    ] {
        world.refused(administration.delete_role(name, &authorship()), says).await;
    }
    assert_eq!(administration.delete_entity(&uid("Folder::free"), &authorship()).await.unwrap().removed, 1);
    assert_eq!(administration.delete_role("unused", &authorship()).await.unwrap().removed, 1);
    administration.revoke(&"g-role".parse().unwrap(), &authorship()).await.unwrap();
    for name in ["User::dan", "Folder::top", "Role::editor"] {
        administration.delete_entity(&uid(name), &authorship()).await.unwrap();
    }
}

#[tokio::test]
async fn scope_is_deleted_only_when_no_grant_names_it() {
    let world = World::new().await;
    let administration = world.administration();
    let delete = |name: &str| {
        let name = name.parse().unwrap();
        let administration = &administration;
        async move { administration.delete_scope(&name, &authorship()).await }
    };
    world.refused(delete("docs:read"), "the scope `docs:read` is granted by `g-scope`; revoke that first").await;
    world.refused(delete("docs:none"), "cannot delete scope `docs:none`: it does not exist").await;
    assert_eq!(delete("docs:list").await.unwrap().removed, 1);
}

#[tokio::test]
async fn only_a_grant_that_exists_is_revoked() {
    let world = World::new().await;
    let administration = world.administration();
    let revoke = |id: &str| {
        let id = id.parse().unwrap();
        let administration = &administration;
        async move { administration.revoke(&id, &authorship()).await }
    };
    world.refused(revoke("g-none"), "cannot revoke grant `g-none`: it does not exist").await;
    assert_eq!(revoke("g-role").await.unwrap().removed, 1);
    world.refused(revoke("g-role"), "it does not exist").await;
}

/// A store in which somebody else commits first, as often as told.
struct Contended {
    store: SqliteStore,
    rivals: AtomicUsize,
}

impl Records for Contended {
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

impl Changes for Contended {
    async fn commit(&self, base: Revision, changes: &[Change], by: &Authorship) -> Result<Revision, CommitError> {
        let left = self.rivals.load(Ordering::SeqCst);
        if left > 0 {
            self.rivals.store(left - 1, Ordering::SeqCst);
            let rival = user(&format!("rival-of-{base}"), 1);
            Administration::new(self.store.clone()).put(&rival, by, false).await.unwrap();
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

#[tokio::test]
async fn put_is_planned_anew_when_others_commit_in_between() {
    let world = World::new().await;
    let before = world.revision().await;
    let contended =
        |rivals| Administration::new(Contended { store: world.store.clone(), rivals: AtomicUsize::new(rivals) });
    let outcome = contended(2).put(&user("eve", 1), &authorship(), false).await.unwrap();
    assert_eq!(outcome.revision.number(), before + 3, "after both rivals");
    let hopeless = contended(100);
    let error = hopeless.put(&user("fay", 1), &authorship(), false).await.unwrap_err().to_string();
    assert!(error.contains("nothing was changed, run the command again"), "{error}");
    assert!(!world.has("User::fay").await && world.has("User::eve").await);
}

/// Taking away access must not lose against those who keep committing.
#[tokio::test]
async fn revocation_waits_for_its_turn() {
    let world = World::new().await;
    let contended = Administration::new(Contended { store: world.store.clone(), rivals: AtomicUsize::new(20) });
    let grants = world.store.grants(&magistrate_pap::GrantFilter::default()).await.unwrap();
    let id = grants.first().unwrap().id().clone();
    assert_eq!(contended.revoke(&id, &authorship()).await.unwrap().removed, 1);
    assert!(contended.revoke(&id, &authorship()).await.is_err(), "it exists no longer");
}

#[tokio::test]
async fn apply_and_delete_that_were_overtaken_change_nothing() {
    let world = World::new().await;
    let contended = || Administration::new(Contended { store: world.store.clone(), rivals: AtomicUsize::new(1) });
    let says = "meanwhile; nothing was changed, run the command again";
    let error = contended().delete_entity(&uid("Folder::free"), &authorship()).await.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    assert!(world.has("Folder::free").await);
    let more = compile(SCHEMA, &policies(5));
    let error = contended().apply(&more, &options(false), &authorship()).await.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    assert_eq!(world.store.migrations().await.unwrap().len(), 1);
}
