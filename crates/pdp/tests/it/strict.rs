//! Rules of ours that are stricter than Cedar.

use magistrate_model::Cause::{
    ForbidErrored, Forbidden, NoPermit, Permitted, UnknownEntity, UnknownPrincipal, UnknownResource,
};
use magistrate_testkit::World;
use serde_json::json;

use crate::small_world::{check, schema, world};

/// Everything is permitted to users, and forbidden only by a policy that can fail to evaluate.
fn overflowing(effect: &str) -> World {
    let policies = format!(
        r#"@id("all") permit (principal is User, action, resource);
           @id("sum") {effect} (principal is User, action, resource) when {{ principal.level + 9223372036854775807 > 0 }};"#
    );
    let base = world();
    let kept = base.dataset().entities.iter().filter(|entity| entity.uid.type_name().as_str() != "Role");
    let lines: Vec<String> = kept.map(|entity| magistrate_model::json::entity(entity).to_string()).collect();
    let lines = lines.join("\n");
    World::of(&schema(), &policies).with("entities", &lines)
}

#[test]
fn forbid_that_cannot_be_evaluated_denies() {
    let verdict = overflowing("forbid").ask("User::ann", "read", "Doc::d1").verdict();
    assert_eq!(verdict.cause, ForbidErrored);
    assert_eq!(verdict.determining.iter().map(magistrate_model::PolicyId::as_str).collect::<Vec<_>>(), ["sum"]);
}

#[test]
fn permit_that_cannot_be_evaluated_permits_nothing_and_takes_nothing() {
    let verdict = overflowing("permit").ask("User::ann", "read", "Doc::d1").verdict();
    assert_eq!(verdict.cause, Permitted);
    assert_eq!(verdict.errored.iter().map(magistrate_model::PolicyId::as_str).collect::<Vec<_>>(), ["sum"]);
}

#[test]
fn principal_that_does_not_exist_is_denied() {
    let open = World::of(&schema(), r#"@id("all") permit (principal, action, resource) unless { principal is User && principal.suspended };"#)
        .with("entities", "{\"uid\":\"User::\\\"ann\\\"\",\"attributes\":{\"suspended\":false,\"level\":1}}\n{\"uid\":\"Doc::\\\"d\\\"\",\"attributes\":{\"owner\":{\"__entity\":{\"type\":\"User\",\"id\":\"ann\"}},\"secret\":false}}");
    check(open.ask("User::ann", "read", "Doc::d"), Permitted);
    check(open.ask("User::nobody", "read", "Doc::d"), UnknownPrincipal);
    check(open.ask("Session::s1", "read", "Doc::d"), UnknownPrincipal);
}

#[test]
fn resource_that_does_not_exist_is_denied() {
    check(world().ask("User::bob", "read", "Doc::d1"), Permitted);
    check(world().ask("User::bob", "read", "Doc::none"), UnknownResource);
}

#[test]
fn entity_named_in_the_context_must_exist() {
    let with = |device: &str| {
        world()
            .ask("User::bob", "read", "Doc::d1")
            .context(&json!({ "device": { "__entity": { "type": "Device", "id": device } } }))
    };
    check(with("good"), Permitted);
    check(with("bad"), Forbidden);
    check(with("none"), UnknownEntity);
}

#[test]
fn parent_of_an_asserted_entity_must_exist() {
    let reader =
        world().with("grants", r#"{"holder":"User::\"ann\"","role":"reader","expires_at":"+1h","reason":"x"}"#);
    let ask = |folder: &str| {
        let order = json!({ "uid": "Order::\"o\"", "attributes": { "total": 1 }, "parents": [format!("Folder::\"{folder}\"")] });
        reader.ask("User::ann", "read", "Order::o").asserting_resource(&order)
    };
    check(ask("mid"), Permitted);
    check(ask("secret"), Forbidden);
    check(ask("none"), UnknownEntity);
}

#[test]
fn forbid_wins_over_every_permit() {
    let world = world().with("grants", r#"{"holder":"User::\"ann\"","role":"writer","expires_at":"+1h","reason":"x"}"#);
    check(world.ask("User::ann", "write", "Doc::d1"), Permitted);
    check(world.ask("User::ann", "write", "Doc::d3"), Forbidden);
    check(world.ask("User::eve", "read", "Doc::d1"), Forbidden);
}

#[test]
fn advice_and_obligations_come_from_determining_policies_only() {
    let world =
        world().with("grants", r#"{"holder":"Partner::\"shop\"","scope":"docs:read","expires_at":"+1h","reason":"x"}"#);
    let order = json!({ "uid": "Order::\"o\"", "attributes": { "total": 1 } });
    let verdict = world.ask("Partner::shop", "read", "Order::o").asserting_resource(&order).verdict();
    let names: Vec<_> =
        verdict.obligations.iter().map(|notice| (notice.name.as_str(), notice.value.as_str())).collect();
    assert_eq!(names, [("mask", "total"), ("log", "yes")]);
    assert!(verdict.advice.is_empty());
    let denied = world.ask("User::ann", "read", "Doc::d3").verdict();
    assert_eq!(denied.advice[0].name, "reason");
    assert!(denied.obligations.is_empty());
}

#[test]
fn facts_are_supplied_where_declared() {
    let at = |text: &str| world().at(magistrate_testkit::instant(text)).ask("User::ann", "close", "Doc::d1");
    check(at("2026-06-01T17:59:59Z"), Permitted);
    check(at("2026-06-01T18:00:00Z"), NoPermit);
}

#[test]
fn audit_annotation_raises_the_durability_class() {
    use magistrate_model::DurabilityClass::{Disk, Process};
    let world = World::of(
        &schema().replace("action write", "@audit(\"disk\") action write"),
        r#"@id("all") permit (principal is User, action, resource);
           @id("loud") @audit("disk") forbid (principal is User, action == Action::"read", resource) when { principal.suspended };"#,
    )
    .with("entities", r#"{"uid":"User::\"ann\"","attributes":{"suspended":false,"level":1}}
                         {"uid":"User::\"eve\"","attributes":{"suspended":true,"level":1}}
                         {"uid":"Doc::\"d\"","attributes":{"owner":{"__entity":{"type":"User","id":"ann"}},"secret":false}}"#);
    let class = |user: &str, action: &str| world.ask(user, action, "Doc::d").verdict().class;
    assert_eq!(class("User::ann", "read"), Process);
    assert_eq!(class("User::ann", "write"), Disk, "by the action");
    assert_eq!(class("User::eve", "read"), Disk, "by the determining policy");
}
