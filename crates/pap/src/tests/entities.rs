//! What an entity, a role or a scope must be to be put.

use super::{accepted, refused};

fn user(rest: &str) -> String {
    format!(r#"{{"uid":"User::\"eve\"",{rest}}}"#)
}

#[test]
fn entity_fits_the_schema() {
    let check = |rest: &str, says: &str| refused("entities", &user(rest), 1, says);
    accepted("entities", &user(r#""attributes":{"level":1}"#));
    check(r#""attributes":{}"#, "`attributes.level` is required and absent; send a whole number");
    check(r#""attributes":{"level":"1"}"#, "`attributes.level` is a string; send a whole number");
    check(
        r#""attributes":{"level":1,"age":3}"#,
        "`attributes.age` is not declared in the schema; declared are level, manager",
    );
    check(r#""attributes":{"level":1,"manager":{"type":"Doc","id":"plan"}}"#, "`attributes.manager`");
    check(r#""attributes":{"level":1},"parents":["Folder::\"top\""]"#, "cannot be a member of `Folder::\"top\"`");
    refused("entities", r#"{"uid":"Robot::\"r2\""}"#, 1, "`Robot` is not an entity type of the schema");
}

#[test]
fn attributes_have_the_bounds_of_a_request() {
    let text = |bytes: usize| format!(r#"{{"uid":"Device::\"x\"","attributes":{{"note":"{}"}}}}"#, "n".repeat(bytes));
    refused("entities", &text(16 * 1024), 1, "an entity's attributes holds");
    refused("entities", &text(1), 1, "is not declared");
}

#[test]
fn roles_and_scopes_are_never_put_as_entities_or_parents() {
    let parent = |uid: &str| user(&format!(r#""attributes":{{"level":1}},"parents":["{uid}"]"#));
    accepted("entities", &parent(r#"Group::\"all\""#));
    refused("entities", &parent(r#"Role::\"reader\""#), 1, "use `magistrate grant add`");
    refused("entities", &parent(r#"Scope::\"docs:read\""#), 1, "use `magistrate grant add`");
    refused("entities", r#"{"uid":"Role::\"owner\""}"#, 1, "is a role; use `magistrate role put`");
    refused("entities", r#"{"uid":"Scope::\"docs:read\""}"#, 1, "is a scope; use `magistrate scope put`");
}

#[test]
fn asserted_entities_are_not_stored() {
    refused("entities", r#"{"uid":"Order::\"o\"","attributes":{"total":1}}"#, 1, "are asserted, not stored");
}

#[test]
fn what_an_entity_names_exists() {
    let check = |rest: &str, names: &str| {
        refused("entities", &user(rest), 1, &format!("names `{names}`, which does not exist"));
    };
    check(r#""attributes":{"level":1},"parents":["Group::\"none\""]"#, "Group::\"none\"");
    check(r#""attributes":{"level":1,"manager":{"type":"User","id":"none"}}"#, "User::\"none\"");
    let later = format!(
        "{}\n{}",
        user(r#""attributes":{"level":1},"parents":["Group::\"none\""]"#),
        r#"{"uid":"Group::\"none\""}"#
    );
    assert_eq!(accepted("entities", &later).added, 2, "the same import may bring it, in any order");
}

#[test]
fn nobody_is_above_itself() {
    let check = |kind: &str, lines: &str| refused(kind, lines, 1, "would be a member of itself through its parents");
    check("entities", r#"{"uid":"Group::\"x\"","parents":["Group::\"x\""]}"#);
    check(
        "entities",
        r#"{"uid":"Group::\"x\"","parents":["Group::\"y\""]}
           {"uid":"Group::\"y\"","parents":["Group::\"x\""]}"#,
    );
    // `sub` is below `top` already: what is known counts as much as what is given.
    check("entities", r#"{"uid":"Folder::\"top\"","parents":["Folder::\"sub\""]}"#);
    check("roles", r#"{"role":"reader","parents":["editor"]}"#);
    accepted(
        "entities",
        r#"{"uid":"Folder::\"top\"","parents":["Folder::\"sub\""]}
           {"uid":"Folder::\"sub\""}"#,
    );
}

#[test]
fn an_item_stands_once_in_an_import() {
    let check = |kind: &str, line: &str, name: &str| {
        let lines = format!("{line}\n{line}");
        refused(kind, &lines, 2, &format!("`{name}` stands twice, first at {kind}.jsonl:1"));
        accepted(kind, line);
    };
    check("entities", r#"{"uid":"User::\"eve\"","attributes":{"level":1}}"#, "User::\"eve\"");
    check("roles", r#"{"role":"owner"}"#, "Role::\"owner\"");
    check("scopes", r#"{"scope":"docs:list","action_group":"Action::\"read\""}"#, "docs:list");
    check("grants", r#"{"id":"g-1","holder":"User::\"ana\"","role":"reader","standing":true,"reason":"r"}"#, "g-1");
}

#[test]
fn role_is_of_a_role_type_and_includes_roles() {
    accepted("roles", r#"{"role":"Role::\"owner\"","parents":["Role::\"reader\"","editor"]}"#);
    refused("roles", r#"{"role":"User::\"ana\""}"#, 1, "`User::\"ana\"` is not a role: its type must be annotated");
    refused("roles", r#"{"role":"owner","parents":["Group::\"all\""]}"#, 1, "`Group::\"all\"` is not a role");
    refused("roles", r#"{"role":"owner","parents":["none"]}"#, 1, "names `Role::\"none\"`, which does not exist");
    refused("roles", r#"{"role":""}"#, 1, "it is empty");
}

#[test]
fn scope_is_declared_by_name_for_actions_of_the_schema() {
    let check = |scope: &str, group: &str, says: &str| {
        refused("scopes", &format!(r#"{{"scope":"{scope}","action_group":"{group}"}}"#), 1, says);
    };
    accepted("scopes", r#"{"scope":"docs:list","action_group":"Action::\"docs:read\""}"#);
    check("docs:list", r#"Action::\"fly\""#, "`Action::\"fly\"` is not an action or action group of the schema");
    check("docs:list", r#"User::\"ana\""#, "is not an action: its type must end in `Action`");
    check("docs:*", r#"Action::\"read\""#, "the catalogue declares each scope by name");
    check("docs", r#"Action::\"read\""#, "write `resource:verb` in lower case");
}
