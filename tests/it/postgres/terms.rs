//! Terms of grants, by the instants of the decisions themselves.

use std::time::Duration;

use magistrate_client::v1::CheckRequest;
use magistrate_tests::postgres::Deployment;

use super::{allowed, edits_document, ready, until};

/// Allowed before its expiry, denied at it and after, without anything being committed or read in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grant_ends_at_its_expiry() {
    let deployment = Deployment::shared();
    let node = ready(deployment.node());
    let client = node.client().await;
    let mut brief = None;
    // On a busy machine the briefest is over before anybody could ask.
    for term in ["+3s", "+12s", "+48s"] {
        let what = ["--role", "editor", "--on", "Company::Folder::handbook", "--expires", term, "--id", term];
        let revision = deployment.change(&[&["grant", "add", "Company::User::ana"], &what[..]].concat());
        let request = CheckRequest { request_id: "term".into(), ..edits_document(revision) };
        if allowed(&client, request.clone()).await {
            brief = Some((term, request));
            break;
        }
    }
    let (id, request) = brief.expect("it is allowed for a while");
    let expiry = deployment.sql(&format!("SELECT expires_at FROM magistrate.role_assignment WHERE id = '{id}'"));
    let expiry: i64 = expiry.parse().unwrap();
    until(&client, request.clone(), |told| told == &Ok(false)).await;
    for _ in 0..10 {
        until(&client, request.clone(), |told| told == &Ok(false)).await;
    }
    let mut decisions: Vec<_> = deployment.history().into_values().filter(|it| it.request == "term").collect();
    decisions.sort_by_key(|it| it.at);
    // Terms that were over too soon are not what is looked at.
    let decisions: Vec<_> = decisions.into_iter().skip_while(|it| it.decision == "deny").collect();
    for decided in &decisions {
        let expected = if decided.at < expiry { "allow" } else { "deny" };
        assert_eq!(decided.decision, expected, "{} us after the expiry", decided.at - expiry);
    }
    let last_allow = decisions.iter().filter(|it| it.decision == "allow").map(|it| it.at).max().unwrap();
    let first_deny = decisions.iter().filter(|it| it.decision == "deny").map(|it| it.at).min().unwrap();
    let around = Duration::from_micros(u64::try_from(first_deny - last_allow).unwrap());
    assert!(last_allow < expiry && expiry <= first_deny && around < Duration::from_secs(1), "{around:?} around it");
}
