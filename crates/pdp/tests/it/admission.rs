//! Queries that are no question.

use magistrate_model::Malformed;
use magistrate_pdp::CheckError;
use magistrate_testkit::Ask;
use serde_json::json;

use crate::small_world::world;

/// Asks and expects one violation at a field, whose text holds `says`.
fn refused(ask: Ask, field: &str, says: &str) {
    let malformed: Malformed = match ask.answer() {
        Err(CheckError::Malformed(malformed)) => malformed,
        other => panic!("expected a malformed query, got {other:?}"),
    };
    let hit =
        malformed.violations().iter().any(|violation| violation.field == field && violation.description.contains(says));
    assert!(hit, "no violation at `{field}` saying `{says}`: {malformed}");
}

fn bob(action: &str) -> Ask {
    world().ask("User::bob", action, "Doc::d1")
}

#[test]
fn what_the_schema_does_not_declare_is_malformed() {
    refused(bob("Read"), "action", "did you mean");
    refused(bob("fly"), "action", "not an action");
    refused(world().ask("Robot::r", "read", "Doc::d1"), "principal.uid.type", "not an entity type");
    refused(world().ask("User::bob", "read", "Planet::p"), "resource.uid.type", "not an entity type");
    refused(world().ask("Device::good", "read", "Doc::d1"), "principal.uid.type", "applies to");
    refused(bob("docs:read"), "principal.uid.type", "group of actions");
    refused(bob("read").context(&json!({ "mood": "good" })), "context.mood", "declared are");
    refused(bob("read").context(&json!({ "mfa": "yes" })), "context.mfa", "send a boolean");
}

#[test]
fn data_sent_against_its_source_is_malformed() {
    let user = json!({ "uid": "User::\"bob\"", "attributes": { "suspended": false, "level": 9 } });
    refused(bob("read").asserting_principal(&user), "principal.attributes", "is stored");
    refused(world().ask("User::bob", "read", "Order::o"), "resource.attributes", "send its attributes");
    let session = json!({ "uid": "Session::\"s\"", "attributes": {} });
    refused(
        world().ask("Session::s", "read", "Doc::d1").asserting_principal(&session),
        "principal.attributes",
        "is token",
    );
}

#[test]
fn asserted_attributes_must_fit_the_schema() {
    let order = |attributes: serde_json::Value| {
        let entity = json!({ "uid": "Order::\"o\"", "attributes": attributes });
        world().ask("User::bob", "read", "Order::o").asserting_resource(&entity)
    };
    refused(order(json!({})), "resource.attributes.total", "required");
    refused(order(json!({ "total": "5" })), "resource.attributes.total", "whole number");
    refused(order(json!({ "total": 5, "colour": 1 })), "resource.attributes.colour", "not declared");
    refused(
        order(json!({ "total": 5, "buyer": { "__entity": { "type": "Folder", "id": "top" } } })),
        "resource.attributes.buyer",
        "refers to a `Folder`",
    );
}

#[test]
fn roles_scopes_facts_and_actions_cannot_be_smuggled() {
    let order = |parent: &str| {
        let entity = json!({ "uid": "Order::\"o\"", "attributes": { "total": 5 }, "parents": [parent] });
        world().ask("User::bob", "read", "Order::o").asserting_resource(&entity)
    };
    refused(order("Role::\"reader\""), "resource.parents[0]", "is a role");
    refused(order("Scope::\"docs:read\""), "resource.parents[0]", "is a scope");
    refused(order("Action::\"docs:read\""), "resource.parents[0]", "is a action");
    let device = |type_name: &str| json!({ "device": { "__entity": { "type": type_name, "id": "x" } } });
    refused(bob("read").context(&device("Role")), "context", "is a role");
    refused(bob("read").context(&device("Action")), "context", "is a action");
    refused(bob("close").context(&json!({ "facts": {} })), "context.facts", "supplied");
    refused(bob("read").context(&json!({ "facts": {} })), "context.facts", "supplied");
    refused(world().ask("Role::reader", "read", "Doc::d1"), "principal.uid.type", "applies to");
}

#[test]
fn asserted_parents_must_fit_the_schema() {
    let order = |parent: &str| {
        let entity = json!({ "uid": "Order::\"o\"", "attributes": { "total": 5 }, "parents": [parent] });
        world().ask("User::bob", "read", "Order::o").asserting_resource(&entity)
    };
    refused(order("Group::\"staff\""), "resource.parents[0]", "cannot be a member");
    refused(order("Planet::\"p\""), "resource.parents[0]", "cannot be a member");
    refused(order("Order::\"o\""), "resource.parents[0]", "its own parent");
    assert!(order("Folder::\"mid\"").answer().is_ok());
}

#[test]
fn one_entity_is_not_described_in_two_ways() {
    let bot = |level: i64| json!({ "uid": "Bot::\"b\"", "attributes": { "level": level } });
    let ask = |resource: i64| {
        world().ask("Bot::b", "poke", "Bot::b").asserting_principal(&bot(1)).asserting_resource(&bot(resource))
    };
    refused(ask(2), "resource", "described otherwise");
    assert!(ask(1).answer().is_ok());
}
