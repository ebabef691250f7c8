//! Making a policy set the live one.

use magistrate_model::{Change, PolicySet, Revision};
use magistrate_pap::{ApplyOptions, Changes as _, Data};

use super::{SCHEMA, World, authorship, compile, data, options, policies};

#[tokio::test]
async fn applying_the_live_set_changes_nothing() {
    let world = World::new().await;
    let before = world.revision().await;
    let administration = world.administration();
    let same = compile(&format!("// said otherwise, meaning the same\n{SCHEMA}"), &policies(4));
    let applied = administration.apply(&same, &options(false), &authorship()).await.unwrap();
    assert_eq!((applied.changed, applied.revision.number()), (false, before));
    assert_eq!(world.store.migrations().await.unwrap().len(), 1);
    let applied = administration.apply(&compile(SCHEMA, &policies(5)), &options(false), &authorship()).await.unwrap();
    assert_eq!((applied.changed, applied.revision.number(), applied.policies), (true, before + 1, 5));
    assert_eq!(world.store.migrations().await.unwrap().len(), 2);
}

/// Whoever can write the store could leave other policies under the digest of these.
#[tokio::test]
async fn stored_set_must_be_what_its_digest_says() {
    let world = World::empty().await;
    let honest = compile(SCHEMA, &policies(4));
    let set = PolicySet { policies: compile(SCHEMA, &policies(5)).policy_set().policies, ..honest.policy_set() };
    let change = Change::ApplyPolicySet { set, name: "forged".into() };
    world.store.commit(Revision::ZERO, &[change], &authorship()).await.unwrap();
    let (administration, says) = (world.administration(), "other policies than its digest says");
    world.refused(administration.apply(&honest, &options(false), &authorship()), says).await;
    world.refused(world.put(&data("roles", r#"{"role":"editor"}"#)), says).await;
}

#[tokio::test]
async fn set_that_shrinks_sharply_must_be_meant() {
    let world = World::new().await;
    let administration = world.administration();
    let apply = |count: usize, allow_shrink: bool| {
        let administration = &administration;
        async move { administration.apply(&compile(SCHEMA, &policies(count)), &options(allow_shrink), &authorship()).await }
    };
    assert!(apply(5, false).await.unwrap().changed);
    for count in [0, 2] {
        let says = format!("the set has {count} policies and the live one 5; pass --allow-shrink");
        world.refused(apply(count, false), &says).await;
    }
    assert!(apply(3, false).await.unwrap().changed, "losing less than half is no sharp loss");
    assert!(apply(0, true).await.unwrap().changed);
}

#[tokio::test]
async fn empty_set_must_be_meant_even_as_the_first() {
    let world = World::empty().await;
    let administration = world.administration();
    let empty = compile(SCHEMA, "");
    world.refused(administration.apply(&empty, &options(false), &authorship()), "the set has 0 policies").await;
    assert!(administration.apply(&empty, &options(true), &authorship()).await.unwrap().changed);
}

#[tokio::test]
async fn schema_must_fit_what_is_stored() {
    let world = World::new().await;
    let administration = world.administration();
    let check = |changes: &[(&str, &str)], says: &'static str| {
        let schema = changes.iter().fold(SCHEMA.to_owned(), |schema, (from, to)| schema.replace(from, to));
        let (administration, world) = (&administration, &world);
        async move {
            let snapshot = compile(&schema, &policies(4));
            world.refused(administration.apply(&snapshot, &options(false), &authorship()), says).await;
        }
    };
    check(&[("level: Long", "level: String")], "`attributes.level` is an integer; send a string").await;
    check(&[("level: Long,", "level: Long, unit: String,")], "`attributes.unit` is required and absent").await;
    check(&[("level: Long, ", "")], "`attributes.level` is not declared").await;
    let says = "the stored `User::\"dan\"` has attributes of other types";
    check(&[("since?: String", "since?: datetime")], says).await;
    check(&[("in [Group, Role, Scope]", "in [Role, Scope]")], "cannot be a member of `Group::\"team\"`").await;
    let says = "the grant `g-scope` does not fit the new schema: neither a `Group` nor a principal below it";
    check(&[("in [Group, Role, Scope]", "in [Group, Role]")], says).await;
    let bots = [
        ("principal: User", "principal: Bot"),
        ("action read", "@source(\"stored\") entity Bot in [Role];\naction read"),
    ];
    check(&bots, "the grant `g-role` does not fit the new schema: neither a `User` nor a principal below it").await;
    let says = "the scope `docs:read` opens `Action::\"docs:read\"`, which the new schema does not declare";
    check(&[("\"docs:read\"", "\"docs:get\"")], says).await;
    let wider = compile(&SCHEMA.replace("level: Long,", "level: Long, unit?: String,"), &policies(4));
    assert!(administration.apply(&wider, &options(false), &authorship()).await.unwrap().changed);
}

/// A team that people are stored members of must not become a role nobody granted.
#[tokio::test]
async fn stored_membership_never_becomes_a_role() {
    let world = World::new().await;
    let roles = SCHEMA.replace("@source(\"stored\") entity Group", "@source(\"role\") entity Group");
    assert_ne!(roles, SCHEMA);
    let snapshot = compile(&roles, &policies(4));
    let administration = world.administration();
    world.refused(administration.apply(&snapshot, &options(false), &authorship()), "is there as stored").await;
    let with_data = ApplyOptions { data: data("roles", r#"{"role":"Group::\"team\""}"#), ..options(false) };
    world.refused(administration.apply(&snapshot, &with_data, &authorship()), "is a member of what would be").await;
}

/// The same for an enumerated type, which has no rows of its own.
#[tokio::test]
async fn membership_of_an_enumerated_type_never_becomes_a_role() {
    let world = World::empty().await;
    let administration = world.administration();
    let schema = |team: &str| {
        format!(
            "{team}\n@source(\"stored\") entity User in [Team]; @source(\"stored\") entity Doc;\naction read appliesTo {{ principal: User, resource: Doc, context: {{}} }};"
        )
    };
    let permit = "@id(\"a\") permit (principal in Team::\"x\", action, resource);";
    let stored = compile(&schema("@source(\"stored\") entity Team enum [\"x\"];"), permit);
    let ana = data("entities", r#"{"uid":"User::\"ana\"","parents":["Team::\"x\""]}"#);
    let first = ApplyOptions { data: ana, ..options(false) };
    assert!(administration.apply(&stored, &first, &authorship()).await.unwrap().changed);
    let role = compile(&schema("@source(\"role\") entity Team;"), permit);
    world.refused(administration.apply(&role, &options(false), &authorship()), "is a member of what would be").await;
}

#[tokio::test]
async fn scope_put_with_a_set_is_judged_as_it_will_be() {
    let world = World::new().await;
    let renamed = compile(&SCHEMA.replace("\"docs:read\"", "\"docs:get\""), &policies(4));
    let administration = world.administration();
    world.refused(administration.apply(&renamed, &options(false), &authorship()), "does not declare").await;
    let moved: Data = data("scopes", r#"{"scope":"docs:read","action_group":"Action::\"docs:get\""}"#);
    let with_data = ApplyOptions { data: moved, ..options(false) };
    assert!(administration.apply(&renamed, &with_data, &authorship()).await.unwrap().changed);
}
