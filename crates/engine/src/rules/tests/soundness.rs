//! The conditions under which leaving out policies changes no answer, one by one: each holds for Cedar's authorizer,
//! and for rules.

use std::collections::BTreeMap;

use magistrate_model::{AttributeName, EntityUid, Record, Value};

use super::generate::{Given, Request, Stored, World};
use super::harness::Asking;

/// Entities with their parents; policies `p0`, `p1`, … with what their slots are filled with.
fn world(entities: &[(&str, &[&str])], policies: &[(&str, Option<&str>, Option<&str>)]) -> World {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let stored = |parents: &[&str]| Stored {
        attributes: Record::new(),
        tags: Record::new(),
        parents: parents.iter().map(|parent| uid(parent)).collect(),
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    World {
        policies: policies
            .iter()
            .map(|(text, one, other)| Given {
                text: (*text).to_owned(),
                principal: owned(*one),
                resource: owned(*other),
            })
            .collect(),
        entities: entities.iter().map(|(of, parents)| (uid(of), stored(parents))).collect::<BTreeMap<_, _>>(),
        requests: Vec::new(),
    }
}

/// The policies that are satisfied when the principal asks for the action, holding roles; both ways.
#[track_caller]
fn check(world: &World, principal: &str, action: &'static str, resource: &str, held: &[&str], expected: &[&str]) {
    let request = Request {
        principal: principal.parse().unwrap(),
        action,
        resource: resource.parse().unwrap(),
        context: Record::new(),
        held: held.iter().map(|role| role.parse().unwrap()).collect(),
    };
    let asking = Asking::of(world);
    let (ours, theirs) = (asking.rules(&request), asking.authorizer(&request));
    assert_eq!(ours, theirs);
    assert_eq!(ours.reasons.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

const USER: &str = r#"User::"a""#;
const OTHER: &str = r#"User::"b""#;
const GROUP: &str = r#"Group::"a""#;
const ABOVE: &str = r#"Group::"b""#;
const ROLE: &str = r#"Role::"a""#;
const HIGHER: &str = r#"Role::"b""#;
const DOC: &str = r#"Doc::"a""#;
const FOLDER: &str = r#"N::Folder::"a""#;

fn permit(principal: &str, action: &str, resource: &str) -> String {
    format!("permit(principal{principal}, action{action}, resource{resource});")
}

/// Policies without slots, in order.
fn of(entities: &[(&str, &[&str])], policies: &[String]) -> World {
    world(entities, &policies.iter().map(|text| (text.as_str(), None, None)).collect::<Vec<_>>())
}

#[test]
fn what_is_above_a_party_selects_for_it() {
    let entities = [(USER, &[GROUP][..]), (GROUP, &[ABOVE]), (ABOVE, &[]), (DOC, &[FOLDER]), (FOLDER, &[])];
    let policies = [
        permit(&format!(" in {ABOVE}"), "", ""),
        permit("", "", &format!(" in {FOLDER}")),
        permit(&format!(" in {GROUP}"), "", &format!(" in {FOLDER}")),
        permit(&format!(" in {USER}"), "", &format!(" in {DOC}")),
    ];
    let world = of(&entities, &policies);
    check(&world, USER, "read", DOC, &[], &["p0", "p1", "p2", "p3"]);
    check(&world, OTHER, "read", DOC, &[], &["p1"]);
    check(&world, USER, "read", OTHER, &[], &["p0"]);
}

/// A principal's roles for one request are keys, and so is what is above them; for whatever is below it, too.
#[test]
fn what_a_request_adds_selects_for_it() {
    let entities = [(GROUP, &[][..]), (ROLE, &[HIGHER]), (HIGHER, &[]), (USER, &[GROUP]), (OTHER, &[])];
    let policies = [
        permit(&format!(" in {ROLE}"), "", ""),
        permit(&format!(" in {HIGHER}"), "", ""),
        permit("", "", &format!(" in {ROLE}")),
        permit("", "", &format!(" in {HIGHER}")),
    ];
    let world = of(&entities, &policies);
    check(&world, GROUP, "read", USER, &[ROLE], &["p0", "p1", "p2", "p3"]);
    check(&world, GROUP, "read", GROUP, &[ROLE], &["p0", "p1", "p2", "p3"]);
    check(&world, GROUP, "read", OTHER, &[ROLE], &["p0", "p1"]);
    check(&world, GROUP, "read", USER, &[], &[]);
    // What nothing is known of is a member of nothing.
    check(&world, DOC, "read", OTHER, &[ROLE], &[]);
}

#[test]
fn name_counts_whether_or_not_the_entity_is_known() {
    let policies = [permit(&format!(" == {USER}"), "", ""), permit(&format!(" in {USER}"), "", &format!(" == {DOC}"))];
    check(&of(&[], &policies), USER, "read", DOC, &[], &["p0", "p1"]);
    check(&of(&[(USER, &[]), (DOC, &[])], &policies), USER, "read", DOC, &[], &["p0", "p1"]);
}

#[test]
fn ancestor_never_answers_for_equality() {
    let entities = [(USER, &[GROUP][..]), (GROUP, &[])];
    let policies = [permit(&format!(" == {GROUP}"), "", ""), permit(&format!(" in {GROUP}"), "", "")];
    check(&of(&entities, &policies), USER, "read", DOC, &[], &["p1"]);
    check(&of(&entities, &policies), GROUP, "read", DOC, &[], &["p0", "p1"]);
}

#[test]
fn type_beside_a_group_is_tested() {
    let entities = [(USER, &[GROUP][..]), (GROUP, &[]), (DOC, &[FOLDER]), (FOLDER, &[])];
    let policies = [
        permit(&format!(" is User in {GROUP}"), "", &format!(" is Doc in {FOLDER}")),
        permit(&format!(" is Group in {GROUP}"), "", ""),
        permit("", "", &format!(" is N::Folder in {FOLDER}")),
        permit(" is User", "", " is Doc"),
    ];
    check(&of(&entities, &policies), USER, "read", DOC, &[], &["p0", "p3"]);
    check(&of(&entities, &policies), GROUP, "read", FOLDER, &[], &["p1", "p2"]);
}

#[test]
fn groups_of_actions_are_those_of_the_schema() {
    let all = r#" in Action::"all""#;
    let policies = [
        permit("", all, ""),
        permit("", r#" in Action::"writes""#, ""),
        permit("", r#" == Action::"all""#, ""),
        permit("", r#" in [Action::"drop", Action::"edit"]"#, ""),
        permit("", " in []", ""),
        permit("", "", ""),
        format!("permit(principal, action, resource) when {{ action{all} }};"),
    ];
    let world = of(&[], &policies);
    check(&world, USER, "edit", DOC, &[], &["p0", "p1", "p3", "p5", "p6"]);
    check(&world, USER, "read", DOC, &[], &["p0", "p5", "p6"]);
    check(&world, USER, "drop", DOC, &[], &["p3", "p5"]);
}

#[test]
fn slots_are_filled_before() {
    let entities = [(USER, &[GROUP][..]), (GROUP, &[])];
    let policies = [
        ("permit(principal == ?principal, action, resource);", Some(USER), None),
        ("permit(principal in ?principal, action, resource == ?resource);", Some(GROUP), Some(DOC)),
        ("permit(principal is Group in ?principal, action, resource);", Some(GROUP), None),
        ("permit(principal, action, resource in ?resource);", None, Some(FOLDER)),
    ];
    check(&world(&entities, &policies), USER, "read", DOC, &[], &["p0", "p1"]);
    check(&world(&entities, &policies), GROUP, "read", FOLDER, &[], &["p2", "p3"]);
}

/// An entity that a constant names is not constant: what it is like is asked when the request is there.
#[test]
fn entity_in_a_constant_is_looked_up() {
    let policy = r#"permit(principal, action, resource) when { {who: User::"b"} has who.n };"#.to_owned();
    let mut world = of(&[(OTHER, &[])], &[policy]);
    let stored = world.entities.values_mut().next().unwrap();
    stored.attributes.insert(AttributeName::new("n").unwrap(), Value::Long(1));
    check(&world, USER, "read", DOC, &[], &["p0"]);
}

/// What is constant keeps its meaning when it is evaluated ahead of time: failing, and never being reached.
#[test]
fn folding_changes_nothing() {
    let when = |text: &str| format!("permit(principal, action, resource) when {{ {text} }};");
    let policies = [
        when("[1, 2, 2].contains(1 + 1)"),
        when(r#"false && ip("nonsense").isIpv4()"#),
        when(r#"true || decimal("x") == decimal("y")"#),
        when("1 + 9223372036854775807 > 0"),
        when(r#"if datetime("2026-01-01") < datetime("2026-01-02") then true else 1 == "a""#),
        // What an entity is like is not constant, however constant its name.
        when(r#"{who: User::"b"} has who.n"#),
        when(r#"User::"a" in Group::"a""#),
        when(r#"[User::"a", Group::"a"].containsAny([Group::"a"])"#),
    ];
    let world = of(&[(USER, &[GROUP][..]), (GROUP, &[])], &policies);
    check(&world, OTHER, "read", DOC, &[], &["p0", "p2", "p4", "p6", "p7"]);
}
