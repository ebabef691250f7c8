//! Imports in parts, on the real program: progress, interruption, and what is there afterwards.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};

use magistrate_client::v1::CheckRequest;
use magistrate_tests::{Ran, Running, Store, program, request};
use serde_json::{Value as Json, json};

use crate::administration::revision;

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// Users below ten groups; the groups stand last, where a part of the file alone would not find them.
fn users(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let unit = r#"{"type":"Company::OrgUnit","id":"company"}"#;
        let attributes =
            format!(r#"{{"unit":{unit},"clearance":{},"employment":"employee","suspended":false}}"#, n % 4);
        let parent = format!(r#"{{"type":"Company::Group","id":"bulk-{}"}}"#, n % 10);
        let uid = format!(r#"{{"type":"Company::User","id":"bulk-{n:06}"}}"#);
        writeln!(lines, r#"{{"uid":{uid},"attributes":{attributes},"parents":[{parent}]}}"#).unwrap();
    }
    for group in 0..10 {
        writeln!(lines, r#"{{"uid":{{"type":"Company::Group","id":"bulk-{group}"}}}}"#).unwrap();
    }
    lines
}

fn grants(count: usize) -> String {
    let mut lines = String::from("holder_type,holder_id,role,expires_at,reason\n");
    (0..count).for_each(|n| writeln!(lines, "Company::User,ana,editor,+90d,reason {n}").unwrap());
    lines
}

#[track_caller]
fn import(store: &Store, kind: &str, file: &str, extra: &[&str]) -> Ran {
    store.run(&[&["-o", "json", kind, "import", file, "--reason", "test"], extra].concat())
}

fn starting(store: &Store, file: &str, part_size: &str) -> Child {
    let mut command = Command::new(program());
    command.current_dir(store.home()).args(["entity", "import", file, "--reason", "test", "--part-size", part_size]);
    command.env("USER", "tester").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until an import has committed some parts, and is not done.
fn wait_for_revision(store: &Store, child: &mut Child, wanted: u64) {
    while revision(store) < wanted {
        assert!(child.try_wait().unwrap().is_none(), "the import ended before revision {wanted}");
    }
}

fn entities(store: &Store) -> Json {
    store.run(&["-o", "json", "entity", "list", "--limit", "1000000"]).code(0).json()
}

#[test]
fn killed_import_goes_on_to_the_same_result() {
    let (whole, killed) = (Store::example(), Store::example());
    let text = users(12_000);
    let file = whole.file("users.jsonl", &text);
    let told = import(&whole, "entity", &file, &[]).code(0).json();
    assert_eq!((&told["added"], &told["parts"]), (&json!(12_010), &json!(2)), "{told}");
    assert_eq!(told["revisions"], json!({ "first": 2, "last": 3 }));
    let file = killed.file("users.jsonl", &text);
    let before = revision(&killed);
    let mut child = starting(&killed, &file, "500");
    wait_for_revision(&killed, &mut child, before + 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let parts = revision(&killed) - before;
    assert!((3..25).contains(&parts), "killed in the midst: {parts} parts");
    let again = import(&killed, "entity", &file, &["--part-size", "500"]).code(0).json();
    assert_eq!(again["unchanged"], json!(parts * 500), "every part is whole: {again}");
    assert_eq!(again["added"], json!(12_010 - parts * 500), "{again}");
    assert!(entities(&killed) == entities(&whole), "the result is that of an import that was not killed");
}

#[test]
fn interrupted_import_ends_between_parts_and_says_how_to_go_on() {
    let store = Store::example();
    let file = store.file("users.jsonl", &users(6_000));
    let before = revision(&store);
    let mut child = starting(&store, &file, "500");
    wait_for_revision(&store, &mut child, before + 2);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let done = 500 * (revision(&store) - before);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("error: interrupted\n"), "{told}");
    let revision = revision(&store);
    let says = format!("{done} of 6010 items are in the store as given, up to revision {revision}; run the same");
    assert!(told.contains(&says), "wanted `{says}` in: {told}");
    let again = import(&store, "entity", &file, &[]).code(0).json();
    assert_eq!((&again["unchanged"], &again["added"]), (&json!(done), &json!(6_010 - done)));
}

#[test]
fn large_import_is_checked_whole_and_tried_dry() {
    let store = Store::example();
    let before = revision(&store);
    let file = store.file("g.csv", &grants(25));
    let parts = ["--part-size", "10"];
    let dry = import(&store, "grant", &file, &[&parts[..], &["--dry-run"]].concat()).code(6).json();
    assert_eq!((&dry["added"], &dry["parts"], &dry["revisions"]), (&json!(25), &json!(3), &Json::Null));
    let bad = store.file("bad.csv", &(grants(25) + &"Company::User,nobody,editor,+90d,r\n".repeat(30)));
    let ran = import(&store, "grant", &bad, &parts).code(1);
    let ran = ran.says(&["bad.csv:27: the holder `Company::User::\"nobody\"` does not exist", "\n… and 10 more"]);
    assert_eq!((ran.out.as_str(), revision(&store)), ("", before), "nothing is written");
    let ran = import(&store, "grant", &file, &parts).code(0);
    assert_eq!(ran.json()["revisions"], json!({ "first": before + 1, "last": before + 3 }));
    let ran = store.run(&["grant", "import", &file, "--reason", "test", "--part-size", "10"]).code(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("25 unchanged; revision 4\n", ""));
    let ran = store.run(&["grant", "import", &file, "--reason", "test", "--part-size", "0"]).code(2);
    let _ran = ran.says(&["0 is not in 1..=100000"]);
}

#[test]
fn small_import_tells_no_progress_and_parts_are_told() {
    let store = Store::example();
    let file = store.file("users.jsonl", &users(10));
    let ran = store.run(&["entity", "import", &file, "--reason", "test"]).code(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("20 added; revision 2\n", ""));
    let file = store.file("more.jsonl", &users(30));
    let ran = store.run(&["entity", "import", &file, "--reason", "test", "--part-size", "8"]).code(0);
    assert_eq!(ran.out, "20 added, 20 unchanged; 3 revisions, from 3 to 5\n");
}

/// While parts are committed, a server answers on, and follows to the last of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_answered_while_an_import_runs() {
    let store = Store::example();
    let file = store.file("users.jsonl", &users(5_000));
    let running = Running::start(&store);
    let mut child = starting(&store, &file, "500");
    let mut answers = 0;
    while child.try_wait().unwrap().is_none() {
        let answer = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
        assert_eq!(answer.decision, 1, "{answer:?}");
        answers += 1;
    }
    assert!(child.wait().unwrap().success() && answers > 0);
    let client = running.client().await;
    let last = CheckRequest {
        at_least_revision: revision(&store),
        ..request(("User", "bulk-004999"), "readMessage", ("Message", "m-1001"))
    };
    for _ in 0..100 {
        if let Ok(answer) = client.check(last.clone(), PATIENCE).await {
            assert_eq!(answer.decision, 2, "the last user is known, and may not: {answer:?}");
            return;
        }
    }
    panic!("the server never followed to the last part");
}
