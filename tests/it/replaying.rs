//! History is counted, and decided again, by the real program on both stores.

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, request, workspace};
use serde_json::Value as Json;

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

async fn ask(node: &Running, user: &str) {
    node.client().await.check(request(("User", user), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
}

fn number(told: &Json, of: &str) -> u64 {
    told.get(of).and_then(Json::as_u64).unwrap()
}

/// What stands at a JSON pointer.
fn text<'a>(told: &'a Json, at: &str) -> &'a str {
    told.pointer(at).and_then(Json::as_str).unwrap()
}

/// Runs a verb and reads what it told.
type Run<'a> = &'a dyn Fn(&[&str], i32) -> Ran;

/// Asks, changes who may do what, asks again; then history is decided again.
async fn check_replay(node: Running, run: Run<'_>) {
    ask(&node, "ana").await;
    ask(&node, "ben").await;
    let suspended = r#"{"unit":{"__entity":{"type":"Company::OrgUnit","id":"commerce"}},"clearance":1,
        "employment":"employee","suspended":true}"#;
    let _changed =
        run(&["entity", "put", "Company::User::ana", "--attributes", suspended, "--reason", "left the company"], 0);
    let policies = workspace().join("policies");
    let told = run(&["-o", "json", "audit", "replay", "--since", "1h"], 0).json();
    assert_eq!((number(&told, "replayed"), number(&told, "same")), (2, 2), "{told}");

    let told = run(&["-o", "json", "audit", "replay", "--since", "1h", "--under", "current"], 6).json();
    assert_eq!((number(&told, "same"), number(&told, "otherwise")), (1, 1), "{told}");
    assert_eq!(text(&told, "/decisions/0/departures/0/what"), "cause");
    assert_eq!(text(&told, "/decisions/0/departures/0/replayed"), "Forbidden");
    assert_eq!(text(&told, "/decisions/0/recorded/principal"), r#"Company::User::"ana""#);

    let told =
        run(&["-o", "json", "audit", "replay", "--since", "1h", "--under", policies.to_str().unwrap()], 0).json();
    assert_eq!(number(&told, "same"), 2, "{told}");

    let found = run(&["-o", "json", "audit", "search", "--principal", "Company::User::ana"], 0).json();
    let id = text(&found, "/0/id");
    assert!(run(&["audit", "replay", id], 0).out.contains("1 came out the same"));

    let counted = run(&["-o", "json", "audit", "search", "--count", "--principal", "!Company::User::ana"], 0).json();
    assert_eq!(number(&counted, "decisions"), 1, "{counted}");
    let told =
        run(&["-o", "json", "audit", "search", "--since", "1h", "--histogram", "1h", "--revision", "1"], 0).json();
    let buckets = told.get("histogram").and_then(Json::as_array).unwrap();
    let counted: u64 = buckets.iter().map(|it| number(it, "allowed") + number(it, "denied")).sum();
    assert_eq!(counted, 2, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_history_is_decided_again() {
    let store = Store::example();
    let node = Running::with(&store, &[(CLASS, "database")]);
    check_replay(node, &|arguments, code| store.run(arguments).code(code)).await;
    // Whoever rewrites what was known then is told of.
    let database = store.data().join("policy.db");
    let script = r#"UPDATE entity SET attributes = replace(attributes, '"ana"', '"ben"') WHERE id = 'm-1001'"#;
    if crate::tampering::edit(&database, script) {
        let told = store.run(&["-o", "json", "audit", "replay", "--since", "1h"]).code(7).json();
        assert!(number(&told, "otherwise") >= 1, "{told}");
        assert_eq!(text(&told, "/decisions/0/departures/0/what"), "entities_digest");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_history_is_decided_again() {
    let deployment = Deployment::shared();
    let mut command = deployment.command(Login::App);
    command.env(CLASS, "database");
    check_replay(Running::launch(command), &|arguments, code| {
        let login = if arguments.contains(&"entity") { Login::Admin } else { Login::Auditor };
        ran(deployment.command(login).args(arguments)).code(code)
    })
    .await;
}
