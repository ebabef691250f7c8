//! The verbs of administration on the real program: what they change, tell and refuse.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use magistrate_tests::{Ran, Store, program};
use serde_json::{Value as Json, json};

const ANA: &str = "Company::User::ana";
const GROUP: &str = r#"{"uid":"Company::Group::\"testers\""}"#;
const GRANT: &str = r#"{"id":"g-test","holder":"Company::User::\"ana\"","role":"editor","expires_at":"2099-01-01T00:00:00Z","reason":"tests"}"#;

/// Where the store stands.
pub(crate) fn revision(store: &Store) -> u64 {
    number(&store.run(&["-o", "json", "policy", "status"]).code(0).json(), "revision")
}

fn number(json: &Json, field: &str) -> u64 {
    json.get(field).and_then(Json::as_u64).unwrap()
}

/// Runs a changing verb with a reason.
#[track_caller]
fn change(store: &Store, arguments: &[&str]) -> Ran {
    store.run(&[arguments, &["--reason", "test"]].concat())
}

fn list(store: &Store, arguments: &[&str]) -> Vec<Json> {
    let ran = store.run(&[&["-o", "json"], arguments].concat()).code(0);
    ran.json().as_array().unwrap().clone()
}

/// The values of one field of every row.
fn all<'a>(rows: &'a [Json], pointer: &str) -> BTreeSet<&'a str> {
    rows.iter().filter_map(|row| row.pointer(pointer).and_then(Json::as_str)).collect()
}

/// Expects a change of these counts, as JSON, made as one revision.
#[track_caller]
fn changes(store: &Store, arguments: &[&str], [added, updated, removed, unchanged]: [u64; 4]) {
    let before = revision(store);
    let told = change(store, &[&["-o", "json"], arguments].concat()).code(0).json();
    let counts = ["added", "updated", "removed", "unchanged"].map(|name| number(&told, name));
    assert_eq!(counts, [added, updated, removed, unchanged], "{arguments:?}");
    let moved = u64::from(added + updated + removed > 0);
    assert_eq!(number(&told, "revision"), before + moved, "{arguments:?}");
    assert_eq!(revision(store), before + moved, "{arguments:?}");
}

#[test]
fn entities_are_put_listed_and_deleted() {
    let store = Store::example();
    let put = ["entity", "put", "Company::Folder::drafts", "--parent", "Company::Folder::library"];
    changes(&store, &put, [1, 0, 0, 0]);
    changes(&store, &put, [0, 0, 0, 1]);
    changes(&store, &put[..3], [0, 1, 0, 0]);
    let device = r#"{"owner":{"type":"Company::User","id":"ana"},"managed":true}"#;
    changes(&store, &["entity", "put", "Company::Device::test", "--attributes", device], [1, 0, 0, 0]);
    let file = store.file("device.json", &device.replace("true", "false"));
    let from_file = format!("@{file}");
    changes(&store, &["entity", "put", "Company::Device::test", "--attributes", &from_file], [0, 1, 0, 0]);
    let folders = list(&store, &["entity", "list", "--type", "Company::Folder"]);
    assert!(all(&folders, "/uid/id").contains("drafts"));
    assert_eq!(all(&folders, "/uid/type"), ["Company::Folder"].into());
    let devices = list(&store, &["entity", "list", "--type", "Company::Device"]);
    let device = devices.iter().find(|device| device["uid"]["id"] == "test").unwrap();
    assert_eq!(device["attributes"]["managed"], false);
    changes(&store, &["entity", "delete", "Company::Folder::drafts"], [0, 0, 1, 0]);
    assert!(!all(&list(&store, &["entity", "list", "--type", "Company::Folder"]), "/uid/id").contains("drafts"));
}

#[test]
fn roles_are_put_listed_and_deleted() {
    let store = Store::example();
    changes(&store, &["role", "put", "proof-reader", "--includes", "viewer"], [1, 0, 0, 0]);
    changes(&store, &["role", "put", "Company::Role::proof-reader", "--includes", "viewer"], [0, 0, 0, 1]);
    changes(&store, &["role", "put", "proof-reader"], [0, 1, 0, 0]);
    let roles = list(&store, &["role", "list"]);
    let found = roles.iter().find(|role| role["role"] == "Company::Role::\"proof-reader\"").unwrap();
    assert_eq!(found["includes"], json!([]));
    changes(&store, &["role", "delete", "proof-reader"], [0, 0, 1, 0]);
    assert_eq!(list(&store, &["role", "list"]).len(), roles.len() - 1);
    let _ran = change(&store, &["role", "delete", "viewer"]).code(1).says(&["is a member of it"]);
}

#[test]
fn scopes_are_put_listed_and_deleted() {
    let store = Store::example();
    let put = ["scope", "put", "orders:list", "--action-group", "Company::Action::\"listOrders\""];
    changes(&store, &put, [1, 0, 0, 0]);
    changes(&store, &[&put[..], &["--description", "lists"]].concat(), [0, 1, 0, 0]);
    let scopes = list(&store, &["scope", "list"]);
    let found = scopes.iter().find(|scope| scope["scope"] == "orders:list").unwrap();
    assert_eq!(found["description"], "lists");
    changes(&store, &["scope", "delete", "orders:list"], [0, 0, 1, 0]);
    let _ran =
        change(&store, &["scope", "delete", "orders:read"]).code(1).says(&["is granted by", "revoke that first"]);
}

#[test]
fn grants_are_added_listed_and_revoked() {
    let store = Store::example();
    let add = ["grant", "add", ANA, "--role", "editor", "--on", "Company::Folder::handbook", "--expires", "+1h"];
    let told = change(&store, &[&["-o", "json"], &add[..]].concat()).code(0).json();
    let id = told["grant"].as_str().expect("the id is told, or nobody could revoke it").to_owned();
    let again = change(&store, &add).code(0);
    assert!(again.out.starts_with("grant g-") && !again.out.contains(&id), "{}", again.out);
    let on = ["grant", "list", "--holder", ANA, "--role", "editor", "--on", "Company::Folder::handbook"];
    let held = list(&store, &on);
    assert_eq!(held.len(), 2);
    assert!(all(&held, "/id").contains(id.as_str()));
    assert_eq!(all(&held, "/reason"), ["test"].into());
    changes(&store, &["grant", "revoke", &id], [0, 0, 1, 0]);
    assert_eq!(list(&store, &on).len(), 1);
    let _ran = change(&store, &["grant", "revoke", &id]).code(1).says(&["it does not exist"]);
}

#[test]
fn grant_that_is_refused_names_no_id() {
    let store = Store::example();
    let add = ["grant", "add", ANA, "--role", "none", "--expires", "+1h"];
    let ran = change(&store, &add).code(1).says(&["the role `Company::Role::\"none\"` does not exist"]);
    assert_eq!(ran.out, "");
}

#[test]
fn grants_are_told_apart_by_their_term() {
    let store = Store::example();
    let add = |id: &str, term: &[&str]| {
        let _ran = change(&store, &[&["grant", "add", ANA, "--role", "auditor", "--id", id], term].concat()).code(0);
    };
    add("g-soon", &["--not-before", "-1h", "--expires", "+1h"]);
    add("g-later", &["--not-before", "+1h", "--expires", "+2h"]);
    add("g-over", &["--not-before", "2020-01-01T00:00:00Z", "--expires", "2020-01-02T00:00:00Z"]);
    add("g-long", &["--expires", "+30d"]);
    add("g-standing", &["--standing"]);
    let auditor = ["grant", "list", "--holder", ANA, "--role", "auditor"];
    let all_held = list(&store, &auditor);
    assert_eq!(all(&all_held, "/id"), ["g-later", "g-long", "g-over", "g-soon", "g-standing"].into());
    let in_force = list(&store, &[&auditor[..], &["--in-force"]].concat());
    assert_eq!(all(&in_force, "/id"), ["g-long", "g-soon", "g-standing"].into());
    let expiring = |within: &str| {
        let rows = list(&store, &["grant", "expiring", "--within", within]);
        let ours = all(&rows, "/id").into_iter().filter(|id| id.len() < 12).map(str::to_owned);
        ours.collect::<Vec<_>>()
    };
    assert_eq!(expiring("2h"), ["g-soon"]);
    assert_eq!(expiring("31d"), ["g-long", "g-soon"]);
    let table = store.run(&auditor).code(0).out;
    let state = |id: &str| table.lines().find(|line| line.contains(id)).unwrap().to_owned();
    for (id, said) in [("g-soon", "in force"), ("g-later", "not yet"), ("g-over", "over"), ("g-standing", "standing")] {
        assert!(state(id).contains(said), "{}", state(id));
    }
}

#[test]
fn imports_are_idempotent() {
    let store = Store::example();
    let csv =
        "holder_type,holder_id,scope,expires_at,reason\nCompany::Partner,acme-shop,orders:*,2099-01-01T00:00:00Z,r\n";
    for (kind, name, text) in [
        ("entity", "e.jsonl", GROUP),
        ("role", "r.jsonl", r#"{"role":"tester","parents":["viewer"]}"#),
        ("scope", "s.jsonl", r#"{"scope":"orders:list","action_group":"Company::Action::\"listOrders\""}"#),
        ("grant", "g.jsonl", GRANT),
        ("grant", "g.csv", csv),
    ] {
        let file = store.file(name, text);
        changes(&store, &[kind, "import", &file], [1, 0, 0, 0]);
        changes(&store, &[kind, "import", &file], [0, 0, 0, 1]);
    }
    let changed = store.file("g2.jsonl", &GRANT.replace("2099", "2098"));
    changes(&store, &["grant", "import", &changed], [0, 1, 0, 0]);
    assert_eq!(list(&store, &["grant", "list", "--holder", ANA, "--in-force"]).len(), 2);
}

#[test]
fn import_reads_standard_input() {
    let store = Store::example();
    let import = |text: &str| {
        let mut child = Command::new(program())
            .current_dir(store.home())
            .args(["grant", "import", "-", "--reason", "test"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(import(GRANT), (Some(0), String::new()));
    assert!(all(&list(&store, &["grant", "list", "--holder", ANA]), "/id").contains("g-test"));
    let (code, told) = import("{}");
    assert_eq!(code, Some(1));
    assert!(told.contains("standard input:1: `holder` is missing"), "{told}");
}

#[test]
fn dry_run_changes_nothing_and_its_exit_code_tells_what_would() {
    let store = Store::example();
    let (new, bad) = (store.file("new.jsonl", GRANT), store.file("bad.jsonl", "{}"));
    let before = revision(&store);
    let dry = |file: &str| change(&store, &["grant", "import", file, "--dry-run"]);
    let ran = dry(&new).code(6);
    assert!(ran.out.starts_with("dry run: 1 added; nothing was changed"), "{}", ran.out);
    assert_eq!(revision(&store), before);
    assert!(!all(&list(&store, &["grant", "list", "--holder", ANA]), "/id").contains("g-test"));
    let _ran = dry(&bad).code(1).says(&["bad.jsonl:1: `holder` is missing"]);
    let _ran = change(&store, &["grant", "import", &new]).code(0);
    let ran = dry(&new).code(0);
    assert!(ran.out.starts_with("dry run: 1 unchanged"), "{}", ran.out);
    let json = change(&store, &["-o", "json", "grant", "import", &new, "--dry-run"]).code(0).json();
    assert_eq!((&json["dry_run"], &json["unchanged"]), (&Json::Bool(true), &Json::from(1)));
}

#[test]
fn one_bad_line_refuses_the_import() {
    let store = Store::example();
    let before = revision(&store);
    let lines = [GROUP, r#"{"uid":"Company::Group::\"other\"","parents":["Company::Group::\"none\""]}"#, GROUP];
    let file = store.file("groups.jsonl", &lines.join("\n"));
    let _ran = change(&store, &["entity", "import", &file]).code(1).says(&[
        "groups.jsonl:2: `Company::Group::\"other\"` names `Company::Group::\"none\"`, which does not exist",
        "groups.jsonl:3: `Company::Group::\"testers\"` stands twice, first at ",
    ]);
    assert_eq!(revision(&store), before);
}

#[test]
fn change_log_tells_who_and_why() {
    let store = Store::example();
    let before = revision(&store);
    let put = |id: &str, extra: &[&str]| {
        let _ran = store.run(&[&["entity", "put", id], extra].concat()).code(0);
    };
    put("Company::Group::a", &["--reason", "the first"]);
    put("Company::Group::b", &["--reason", "the second", "--actor", "ci:main"]);
    let _ran = change(&store, &["entity", "delete", "Company::Group::a"]).code(0);
    let _ran = store.run(&["entity", "put", "Company::Robot::c", "--reason", "refused"]).code(1);
    let rows = list(&store, &["audit", "changes", "--after", &before.to_string()]);
    let told = |row: &Json| ["kind", "key", "actor", "reason"].map(|field| row[field].as_str().unwrap().to_owned());
    assert_eq!(
        rows.iter().map(told).collect::<Vec<_>>(),
        [
            ["entity.put", "Company::Group::\"a\"", "os:tester", "the first"],
            ["entity.put", "Company::Group::\"b\"", "ci:main", "the second"],
            ["entity.delete", "Company::Group::\"a\"", "os:tester", "test"],
        ]
    );
    assert_eq!((&rows[0]["before"], &rows[2]["after"]), (&Json::Null, &Json::Null));
    assert_eq!(rows[0]["after"], rows[2]["before"]);
    let table = store.run(&["audit", "changes", "-n", "1"]).code(0).out;
    assert!(table.contains("entity.delete") && !table.contains("entity.put"), "{table}");
}

#[test]
fn migrations_tell_who_and_why() {
    let store = Store::empty();
    let policies = magistrate_tests::workspace().join("policies");
    let apply = |extra: &[&str]| {
        let _ran = store.run(&[&["policy", "apply", policies.to_str().unwrap()], extra].concat()).code(0);
    };
    apply(&["--reason", "the first", "--name", "start"]);
    let directory = store.home().join("policies");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(policies.join("schema.cedarschema"), directory.join("schema.cedarschema")).unwrap();
    let shrunk = ["policy", "apply", "policies", "--reason", "empty", "--actor", "ci:main"];
    let _ran = store.run(&shrunk).code(1).says(&["the set has 0 policies", "--allow-shrink"]);
    let _ran = store.run(&[&shrunk[..], &["--allow-shrink"]].concat()).code(0);
    let status = store.run(&["-o", "json", "policy", "status"]).code(0).json();
    let told = |row: &Json| ["name", "actor", "reason"].map(|field| row[field].as_str().unwrap().to_owned());
    let rows = status["migrations"].as_array().unwrap();
    assert_eq!(told(&rows[0]), ["start", "os:tester", "the first"]);
    assert_eq!(told(&rows[1]), ["apply", "ci:main", "empty"]);
    assert_eq!(rows[1]["base"], rows[0]["result"]);
    let table = store.run(&["policy", "status"]).code(0).out;
    assert!(table.contains("ACTOR") && table.contains("ci:main"), "{table}");
}

#[test]
fn no_change_without_a_reason() {
    let store = Store::example();
    let file = store.file("g.jsonl", GRANT);
    let before = revision(&store);
    for verb in [
        &["policy", "apply", "policies"][..],
        &["entity", "put", "Company::Group::x"],
        &["entity", "delete", "Company::Group::x"],
        &["entity", "import", &file],
        &["role", "put", "x"],
        &["role", "delete", "x"],
        &["role", "import", &file],
        &["scope", "put", "a:b", "--action-group", "Company::Action::\"readOrder\""],
        &["scope", "delete", "a:b"],
        &["scope", "import", &file],
        &["grant", "add", ANA, "--role", "editor", "--expires", "+1h"],
        &["grant", "revoke", "g-x"],
        &["grant", "import", &file],
        &["grant", "import", &file, "--dry-run"],
    ] {
        let _ran = store.run(verb).code(2).says(&["--reason <TEXT>"]);
        let _ran = store.run(&[verb, &["--reason", ""]].concat()).code(1);
    }
    assert_eq!(revision(&store), before);
}

#[test]
fn lists_are_tables_for_people_and_json_for_programs() {
    let store = Store::example();
    let check = |verb: &[&str], header: &[&str], row: &str| {
        let table = store.run(verb).code(0).out;
        let first: Vec<&str> =
            table.lines().next().unwrap().split("  ").map(str::trim).filter(|h| !h.is_empty()).collect();
        assert_eq!(first, header, "{verb:?}");
        assert!(table.contains(row), "wanted `{row}` in: {table}");
        assert!(!list(&store, verb).is_empty());
    };
    let entities = ["entity", "list", "--type", "Company::Group"];
    check(&entities, &["ENTITY", "PARENTS", "ATTRIBUTES"], "Company::Group::\"support\"");
    check(&["role", "list"], &["ROLE", "INCLUDES"], "Company::Role::\"viewer\"");
    check(&["scope", "list"], &["SCOPE", "ACTION GROUP", "DESCRIPTION"], "orders:read");
    let headers = ["GRANT", "HOLDER", "CONFERS", "ON", "BEGINS", "ENDS", "STATE", "REASON"];
    check(&["grant", "list"], &headers, "scope orders:*");
    let nothing = store.run(&["grant", "list", "--holder", "Company::User::nobody"]).code(0);
    assert_eq!(nothing.out, "nothing found\n");
    assert_eq!(list(&store, &["grant", "list", "--holder", "Company::User::nobody"]), Vec::<Json>::new());
}

#[test]
fn list_that_was_cut_says_how_to_go_on() {
    let store = Store::example();
    let page =
        |after: &[&str]| store.run(&[&["entity", "list", "--type", "Company::Group", "--limit", "5"], after].concat());
    let first = page(&[]).code(0).out;
    let last = first.lines().nth(5).unwrap().trim().split("  ").next().unwrap();
    assert!(first.contains(&format!("there may be more: add --after '{last}'")), "{first}");
    let second = page(&["--after", last]).code(0).out;
    let entities = |table: &str| table.lines().skip(1).take(5).map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(entities(&first).union(&entities(&second)).count(), 10, "{second}");
    assert!(store.run(&["grant", "list", "--limit", "2"]).code(0).out.contains("there may be more: raise --limit"));
    assert!(!store.run(&["grant", "list"]).code(0).out.contains("there may be more"));
}

#[test]
fn every_exit_code_means_one_thing() {
    let store = Store::example();
    store.file("broken/schema.cedarschema", "entity");
    store.file(
        "failing/schema.cedarschema",
        "@source(\"stored\") entity U; action a appliesTo { principal: U, resource: U };",
    );
    store.file("failing/p.cedar", "@id(\"p\") permit (principal, action, resource);");
    let case = "now: 2026-06-01T12:00:00Z\ntests:\n- {name: n, principal: 'U::x', action: 'Action::\"a\"', resource: 'U::x', expect: allow}\n";
    store.file("failing/tests/t.yaml", case);
    let new = store.file("new.jsonl", GRANT);
    let policies = magistrate_tests::workspace().join("policies");
    let ask = |principal: &'static str| {
        ["check", "--offline", policies.to_str().unwrap(), principal, "readMessage", "Company::Message::m-1001"]
    };
    for (code, verb) in [
        (0, &ask(ANA)[..]),
        (1, &["grant", "revoke", "g-none", "--reason", "r"]),
        (2, &["grant", "revoke"]),
        (3, &["policy", "lint", "broken"]),
        (3, &["-o", "json", "policy", "lint", "broken"]),
        (3, &["policy", "test", "broken"]),
        (3, &["policy", "apply", "broken", "--reason", "r"]),
        (4, &["policy", "test", "failing"]),
        (5, &ask("Company::Service::payments")),
        (6, &["grant", "import", &new, "--dry-run", "--reason", "r"]),
    ] {
        let ran = store.run(verb);
        assert_eq!(ran.code, code, "{verb:?}: {}{}", ran.out, ran.err);
    }
}
