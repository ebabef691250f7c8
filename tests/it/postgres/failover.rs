//! A database that is not the one that was followed: behind, or with another past. And one that cannot be read.

use magistrate_testkit::postgres::Options;
use magistrate_tests::Running;
use magistrate_tests::postgres::{Deployment, Health, Login};

use super::{PATIENCE, allowed, edits_document, reads_own_message, ready, refusal, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_copy_in_place_of_the_database_is_not_served() {
    let deployment = Deployment::private(&Options::default());
    let mut node = ready(deployment.node());
    let (health, client) = (Health::of(&node).await, node.client().await);
    let copied = deployment.cluster().copy();
    let served = deployment.grant("g-lost", "ana", "handbook");
    assert!(allowed(&client, edits_document(served)).await);
    deployment.cluster().restore(&copied);
    node.wait_for(&format!("went from revision {served} to {}", served - 1));
    health.until(false).await;
    let why = refusal(&client, reads_own_message()).await;
    assert!(why.contains("restored or replaced") && why.contains("restart"), "{why}");
    // The copy gets commits of its own, up to and beyond the revision that was served.
    for id in ["g-fork-1", "g-fork-2"] {
        deployment.grant(id, "omar", "handbook");
        let why = refusal(&client, reads_own_message()).await;
        assert!(why.contains("restored or replaced"), "{why}");
    }
    node.wait_for(&format!("went from revision {served} to {}", served + 1));
    for request in [reads_own_message(), edits_document(0), edits_document(served)] {
        refusal(&client, request).await;
    }
    health.until(false).await;
    drop(node);
    let node = ready(deployment.node());
    let client = node.client().await;
    assert!(allowed(&client, reads_own_message()).await, "a restart serves what is there");
    assert!(!allowed(&client, edits_document(served + 1)).await, "the lost grant is gone");
}

/// Nothing is recorded, so nothing is answered, whatever may still be served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_nothing_is_answered_and_the_reason_is_told() {
    let deployment = Deployment::private(&Options::default());
    let node = ready(impatient(&deployment));
    let (health, client) = (Health::of(&node).await, node.client().await);
    assert!(allowed(&client, reads_own_message()).await);
    deployment.cluster().stop();
    until(&client, reads_own_message(), |told| {
        assert_ne!(told, &Ok(true));
        told.as_ref().is_err_and(|why| why.contains("could not be recorded"))
    })
    .await;
    until(&client, reads_own_message(), |told| {
        assert_ne!(told, &Ok(true));
        told.as_ref().is_err_and(|why| why.contains("has not confirmed the data"))
    })
    .await;
    health.until(false).await;
    deployment.cluster().start();
    health.until(true).await;
    until(&client, reads_own_message(), |told| told == &Ok(true)).await;
}

/// Decisions can be recorded, policies not read: what was loaded is served until it is too old, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_that_cannot_be_read_any_more_are_served_until_the_limit_only() {
    let cases = [
        ("REVOKE SELECT ON magistrate.revision FROM", "GRANT SELECT ON magistrate.revision TO"),
        ("REVOKE USAGE ON SCHEMA magistrate FROM", "GRANT USAGE ON SCHEMA magistrate TO"),
    ];
    for (block, mend) in cases {
        let deployment = Deployment::shared();
        let node = ready(impatient(&deployment));
        let (health, client) = (Health::of(&node).await, node.client().await);
        let app = deployment.role(Login::App);
        deployment.sql(&format!("{block} {app}"));
        assert!(allowed(&client, reads_own_message()).await, "for a while");
        let blocked_at = last_decision(&deployment);
        until(&client, reads_own_message(), |told| {
            told.as_ref().is_err_and(|why| why.contains("has not confirmed the data"))
        })
        .await;
        let served_for = last_decision(&deployment) - blocked_at;
        assert!(served_for <= HARD_SECONDS * 1_000_000, "{block}: {served_for} us");
        health.until(false).await;
        for _ in 0..20 {
            refusal(&client, reads_own_message()).await;
        }
        deployment.sql(&format!("{mend} {app}"));
        health.until(true).await;
        assert!(client.check(reads_own_message(), PATIENCE).await.is_ok());
    }
}

const HARD_SECONDS: i64 = 4;

/// A node that serves old data for a few seconds only.
fn impatient(deployment: &Deployment) -> Running {
    let limits = format!("[staleness]\nsoft_seconds = 1\nhard_seconds = {HARD_SECONDS}\n");
    let file = deployment.file("magistrate.toml", &limits);
    let mut command = deployment.command(Login::App);
    command.args(["--config", &file]);
    Running::launch(command)
}

fn last_decision(deployment: &Deployment) -> i64 {
    deployment.history().values().map(|it| it.at).max().unwrap()
}
