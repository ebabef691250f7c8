//! What history says could be taken away.

use std::time::Duration;

use magistrate_tests::{Running, Store, request, skip};
use serde_json::Value as Json;

const PATIENCE: Duration = Duration::from_mins(1);

/// The texts of a field of the objects of a list.
fn texts<'a>(told: &'a Json, list: &str, field: &str) -> Vec<&'a str> {
    let items = told.get(list).and_then(Json::as_array).unwrap();
    items.iter().map(|it| it.get(field).and_then(Json::as_str).unwrap()).collect()
}

async fn ask(node: &Running, who: (&str, &str), action: &str, on: (&str, &str)) -> Vec<String> {
    node.client().await.check(request(who, action, on), PATIENCE).await.unwrap().grants
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn review_names_what_nothing_needed() {
    let store = Store::example();
    let node = Running::start(&store);
    ask(&node, ("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    for _ in 0..2 {
        ask(&node, ("Service", "payments"), "readMessage", ("Message", "m-1001")).await;
    }
    let granted = ask(&node, ("User", "mia"), "editDocument", ("Document", "benefits-overview")).await;
    let [used] = granted.as_slice() else { panic!("{granted:?}") };
    let review = |options: &[&str]| store.run(&[&["-o", "json", "audit", "review"], options].concat()).code(0).json();

    let told = review(&["--within", "1h"]);
    assert_eq!(told.get("decisions").and_then(Json::as_u64), Some(4));
    assert!(texts(&told, "unused_grants", "id").is_empty(), "all of them are new: {told}");
    assert!(texts(&told, "unused_policies", "policy").is_empty(), "all of them are new: {told}");
    assert_eq!(texts(&told, "most_denied", "principal"), [r#"Company::Service::"payments""#]);
    assert!(told.pointer("/most_denied/0/denials") == Some(&Json::from(2)), "{told}");
    assert!(
        texts(&told, "ending_grants", "id").len() < texts(&review(&["--soon", "9000d"]), "ending_grants", "id").len()
    );
    let page = store.run(&["audit", "review"]).code(0).out;
    assert!(page.contains("policies that decided nothing: 0") && page.contains("payments"), "{page}");

    // As if everything had been granted long before.
    let earlier = "UPDATE change_log SET at = at - 864000000000";
    if !crate::tampering::edit(&store.data().join("policy.db"), earlier) {
        return skip("review_names_what_nothing_needed", "no python3 to change the file with");
    }
    let told = review(&["--within", "1h"]);
    let unused = texts(&told, "unused_grants", "id");
    assert!(!unused.is_empty() && !unused.contains(&used.as_str()), "{used}: {told}");
    let policies = texts(&told, "unused_policies", "policy");
    assert!(!policies.contains(&"messages.owner.read") && policies.contains(&"guardrails.suspended.nothing"), "{told}");
}
