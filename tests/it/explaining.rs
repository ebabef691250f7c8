//! `magistrate explain`, against a running server and against files.

use magistrate_tests::{Running, Store};
use serde_json::Value as Json;

/// In this order.
#[track_caller]
fn tells(text: &str, said: &[&str]) {
    let mut rest = text;
    for part in said {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no `{part}`, or not there, in:\n{text}")).1;
    }
}

const QUESTION: [&str; 3] = ["Company::User::mia", "readDocument", "Company::Document::welcome"];

/// A server and the same files tell the same of the same question, in words and as JSON.
#[test]
fn server_and_files_explain_alike() {
    let store = Store::example();
    let node = Running::start(&store);
    let policies = magistrate_tests::workspace().join("policies");
    let ask = |format: &str, place: [&str; 2]| {
        let arguments = [&["-o", format, "explain"][..], &place, &QUESTION].concat();
        store.run(&arguments).code(0)
    };
    let (server, files) = (["--server", &node.url()], ["--offline", policies.to_str().unwrap()]);
    let said = [
        "ALLOW  permitted by `documents.owner.keep`",
        "Policies whose scope matches",
        "+ permit documents.owner.keep",
        "+ when { resource.owner == principal }",
        "resource.owner is Company::User::\"mia\"",
        "- forbid guardrails.suspended.nothing",
        "Grants in force",
    ];
    let (online, offline) = (ask("table", server), ask("table", files));
    tells(&online.out, &said);
    tells(&offline.out, &said);
    // Grants of files have their terms from now on; everything before them is the same.
    let policies_of = |text: &str| {
        let told = text.split_once("\nPolicies whose").map_or("", |(_, rest)| rest);
        told.split_once("\nGrants in").map_or("", |(told, _)| told).to_owned()
    };
    assert_eq!(policies_of(&online.out), policies_of(&offline.out));
    let (online, offline) = (ask("json", server).json(), ask("json", files).json());
    assert_eq!(online["explanation"]["policies"], offline["explanation"]["policies"]);
    let used: Vec<_> =
        online["explanation"]["grants"].as_array().unwrap().iter().filter(|it| it["used"] == true).collect();
    let named = |grant: &&Json| online["grants"].as_array().unwrap().contains(&grant["grant_id"]);
    assert!(!used.is_empty() && used.iter().all(named), "{online}");
}

/// A deny tells what came nearest and what it lacks; `check` keeps to the answer.
#[test]
fn deny_is_explained_by_what_it_lacks() {
    let policies = magistrate_tests::workspace().join("policies");
    let store = Store::example();
    let question = ["--offline", policies.to_str().unwrap(), "Company::User::ana", "editDocument", QUESTION[2]];
    let explained = store.run(&[&["explain"][..], &question].concat()).code(5);
    let said = [
        "DENY  no permit policy matches",
        "Permits that came nearest, and what they lack",
        "- permit documents.editor.write",
        "- principal in Company::Role::\"editor\"",
    ];
    tells(&explained.out, &said);
    let checked = store.run(&[&["check"][..], &question].concat()).code(5);
    assert!(!checked.out.contains("Permits that came nearest"), "{}", checked.out);
}
