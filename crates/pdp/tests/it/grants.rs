//! Roles, scopes and their terms.

use magistrate_model::Cause::{NoPermit, Permitted, ScopeCeiling};
use magistrate_model::{Instant, Span};
use magistrate_testkit::{World, instant};
use serde_json::json;

use crate::small_world::{check, world};

const ANN: &str = r#""holder":"User::\"ann\"""#;

fn granted(rest: &str) -> World {
    world().with("grants", &format!("{{{ANN},{rest},\"reason\":\"test\"}}"))
}

#[test]
fn nothing_is_allowed_without_a_grant_or_an_attribute() {
    check(world().ask("User::ann", "read", "Doc::d1"), NoPermit);
    check(world().ask("User::bob", "read", "Doc::d1"), Permitted);
}

#[test]
fn role_held_everywhere_holds_on_every_resource() {
    let world = granted(r#""role":"reader","expires_at":"+1h""#);
    check(world.ask("User::ann", "read", "Doc::d1"), Permitted);
    check(world.ask("User::ann", "read", "Doc::d2"), Permitted);
    check(world.ask("User::bob", "read", "Doc::d2"), Permitted);
    check(world.ask("User::ann", "write", "Doc::d1"), NoPermit);
}

#[test]
fn role_held_on_a_folder_holds_below_it_only() {
    let world = granted(r#""role":"reader","resource":"Folder::\"top\"","expires_at":"+1h""#);
    check(world.ask("User::ann", "read", "Doc::d1"), Permitted);
    check(world.ask("User::ann", "read", "Doc::d2"), NoPermit);
}

#[test]
fn role_held_on_a_resource_does_not_reach_up() {
    let world = granted(r#""role":"reader","resource":"Doc::\"d1\"","expires_at":"+1h""#);
    check(world.ask("User::ann", "read", "Doc::d1"), Permitted);
    check(world.ask("User::ann", "read", "Doc::d2"), NoPermit);
}

#[test]
fn role_includes_its_ancestors() {
    let world = granted(r#""role":"writer","expires_at":"+1h""#);
    check(world.ask("User::ann", "read", "Doc::d1"), Permitted);
    let world = granted(r#""role":"reader","expires_at":"+1h""#);
    check(world.ask("User::ann", "write", "Doc::d1"), NoPermit);
}

#[test]
fn role_of_a_group_is_held_by_its_members_and_theirs() {
    let world =
        world().with("grants", r#"{"holder":"Group::\"staff\"","role":"reader","expires_at":"+1h","reason":"test"}"#);
    check(world.ask("User::ann", "read", "Doc::d1"), Permitted);
    check(world.ask("User::eve", "read", "Doc::d2"), magistrate_model::Cause::Forbidden);
    check(world.ask("User::bob", "write", "Doc::d1"), NoPermit);
}

#[test]
fn grant_ends_at_its_expiry() {
    let world = granted(r#""role":"reader","expires_at":"2026-06-01T14:00:00Z""#);
    let end = instant("2026-06-01T14:00:00Z");
    check(world.clone().at(end.plus(Span::from_micros(-1))).ask("User::ann", "read", "Doc::d1"), Permitted);
    check(world.at(end).ask("User::ann", "read", "Doc::d1"), NoPermit);
}

#[test]
fn grant_begins_at_its_not_before() {
    let world = granted(r#""role":"reader","not_before":"2026-06-01T13:00:00Z","expires_at":"2026-06-01T14:00:00Z""#);
    let begin = instant("2026-06-01T13:00:00Z");
    check(world.clone().at(begin.plus(Span::from_micros(-1))).ask("User::ann", "read", "Doc::d1"), NoPermit);
    check(world.at(begin).ask("User::ann", "read", "Doc::d1"), Permitted);
}

#[test]
fn valid_until_is_when_time_alone_can_change_the_answer() {
    let end = instant("2026-06-01T14:00:00Z");
    let until = |world: &World, action: &str| world.ask("User::ann", action, "Doc::d1").verdict().valid_until;
    let timed = granted(r#""role":"reader","expires_at":"2026-06-01T14:00:00Z""#);
    assert_eq!(until(&timed, "read"), Some(end), "an end in sight");
    let pending = granted(r#""role":"reader","not_before":"2026-06-01T14:00:00Z","expires_at":"+9h""#);
    assert_eq!(until(&pending, "read"), Some(end), "a beginning in sight");
    let standing = granted(r#""role":"reader","standing":true"#);
    assert_eq!(until(&standing, "read"), None, "nothing in sight");
    let closing = instant("2026-06-01T18:00:00Z");
    assert_eq!(until(&standing, "close"), Some(closing), "a policy compares the time with a constant");
    assert_eq!(until(&standing.at(closing), "close"), None, "and will not come to anything else again");
}

#[test]
fn grant_without_an_end_must_be_asked_for() {
    let line = |rest: &str| format!("{{{ANN},\"role\":\"reader\"{rest}}}");
    let refused = |rest: &str| world().try_with("grants", &line(rest)).unwrap_err()[0].to_string();
    assert!(refused(r#","reason":"x""#).contains("needs an end"), "no end");
    assert!(refused(r#","standing":true,"reason":"""#).contains("reason"), "no reason");
    assert!(
        refused(r#","expires_at":"-1h","not_before":"+1h","reason":"x""#).contains("would end"),
        "ends before it begins"
    );
    assert!(world().try_with("grants", &line(r#","standing":true,"reason":"kept by the owner""#)).is_ok());
}

#[test]
fn grants_that_made_the_answer_possible_are_named() {
    let world = granted(r#""id":"g1","role":"reader","expires_at":"+1h""#).with(
        "grants",
        &format!("{{{ANN},\"id\":\"g2\",\"scope\":\"docs:write\",\"expires_at\":\"+1h\",\"reason\":\"x\"}}"),
    );
    let grants = world.ask("User::ann", "read", "Doc::d1").verdict().grants;
    assert_eq!(grants.iter().map(magistrate_model::GrantId::as_str).collect::<Vec<_>>(), ["g1"]);
    let owner = world.ask("User::bob", "read", "Doc::d1").verdict();
    assert!(owner.grants.is_empty(), "an owner needs none");
}

fn order() -> serde_json::Value {
    json!({ "uid": "Order::\"o1\"", "attributes": { "total": 5 }, "parents": [] })
}

fn partner(scope: &str) -> World {
    world().with(
        "grants",
        &format!(r#"{{"holder":"Partner::\"shop\"","scope":"{scope}","expires_at":"+1h","reason":"x"}}"#),
    )
}

#[test]
fn scope_opens_its_action_group_and_no_other() {
    let ask =
        |world: &World, action: &str| world.ask("Partner::shop", action, "Order::o1").asserting_resource(&order());
    check(ask(&world(), "read"), ScopeCeiling);
    check(ask(&partner("docs:read"), "read"), Permitted);
    check(ask(&partner("docs:read"), "write"), ScopeCeiling);
    check(ask(&partner("docs:*"), "write"), Permitted);
    check(ask(&partner("*:read"), "write"), ScopeCeiling);
}

#[test]
fn scope_ends_at_its_expiry() {
    let world = partner("docs:read");
    let later = world.now().plus(Span::hours(1));
    let ask = |now: Instant| {
        partner("docs:read").at(now).ask("Partner::shop", "read", "Order::o1").asserting_resource(&order())
    };
    check(ask(later.plus(Span::from_micros(-1))), Permitted);
    check(ask(later), ScopeCeiling);
}

#[test]
fn scope_is_no_permit() {
    let world = partner("docs:read");
    check(world.ask("Partner::shop", "read", "Doc::d1"), NoPermit);
}
