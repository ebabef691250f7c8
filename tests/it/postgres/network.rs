//! The way to the database: cut, swallowed, pooled, encrypted.

use std::time::Duration;

use magistrate_client::v1::CheckRequest;
use magistrate_testkit::postgres::{Options, PgBouncer, PoolMode, Proxy};
use magistrate_tests::postgres::{Deployment, Health, Load, Login};
use magistrate_tests::{Running, ran};

use super::{PATIENCE, allowed, edits_document, reads_own_message, ready};

/// The connection breaks with the outcome of a commit unknown: done, or not done. Told or not, every decision is
/// there at most once, and those that were told are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_in_mid_commit_loses_and_repeats_nothing() {
    let deployment = Deployment::shared();
    let proxy = Proxy::start(deployment.cluster().address());
    let node = ready(deployment.node_at(&proxy.url(&deployment.url(Login::App))));
    let load = Load::start(&node, 4).await;
    load.answers(50).await;
    let client = node.client().await;
    for n in 0..10 {
        let marker = format!("mid-commit-{n}");
        match n % 2 {
            0 => proxy.reset_after(marker.as_bytes()),
            _ => proxy.reset_before(marker.as_bytes()),
        }
        let request = CheckRequest { request_id: marker, ..reads_own_message() };
        let _told_or_not = client.check(request, PATIENCE).await;
        assert_eq!(proxy.sprung(), n + 1, "the connection was reset in mid-commit");
        load.answers(20).await;
    }
    // Every connection at once, and no new one for a while.
    proxy.refuse();
    proxy.reset();
    load.refusals(8).await;
    proxy.heal();
    load.answers(20).await;
    let told = load.stop().await;
    told.expect_recorded(&deployment);
    told.expect_told_within(Duration::from_secs(10));
    let marked: Vec<_> = deployment.history().into_values().filter(|it| it.request.starts_with("mid-")).collect();
    assert!(marked.len() >= 5, "what was committed before the reset is there: {marked:?}");
}

/// Packets go nowhere, in either direction, and nobody says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn black_hole_keeps_nobody_waiting() {
    let deployment = Deployment::shared();
    let proxy = Proxy::start(deployment.cluster().address());
    let node = ready(deployment.node_at(&proxy.url(&deployment.url(Login::App))));
    let (health, load) = (Health::of(&node).await, Load::start(&node, 4).await);
    load.answers(50).await;
    proxy.black_hole();
    load.refusals(8).await;
    health.until(false).await;
    proxy.heal();
    load.answers(50).await;
    health.until(true).await;
    let told = load.stop().await;
    told.expect_recorded(&deployment);
    told.expect_told_within(Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_and_administration_work_through_a_transaction_pooler() {
    let deployment = Deployment::shared();
    let pooler = pooler(&deployment);
    let node = ready(pooled_node(&deployment, &pooler, Some(Login::App)));
    let client = node.client().await;
    assert!(allowed(&client, reads_own_message()).await);
    assert!(!allowed(&client, edits_document(0)).await);
    let folder = ["--on", "Company::Folder::handbook", "--expires", "+1h", "--id", "g-pooled", "--reason", "test"];
    let mut grant = pooled(&deployment, &pooler, Login::Admin);
    grant.args(["-o", "json", "grant", "add", "Company::User::ana", "--role", "editor"]).args(folder);
    let revision = ran(&mut grant).code(0).revision();
    assert!(allowed(&client, edits_document(revision)).await);
    let load = Load::start(&node, 4).await;
    load.answers(500).await;
    let told = load.stop().await;
    told.expect_recorded(&deployment);
    assert!(told.refused.is_empty(), "{:?}", told.refused);
    let mut search = pooled(&deployment, &pooler, Login::Auditor);
    let found = ran(search.args(["-o", "json", "audit", "search", "--decision", "deny"])).code(0).json();
    assert_eq!(found.as_array().unwrap().len(), 1);
}

/// A pooler that lets every login in.
pub(super) fn pooler(deployment: &Deployment) -> PgBouncer {
    let names = [Login::App, Login::Admin, Login::Auditor].map(|it| (deployment.role(it), it.password()));
    let users: Vec<(&str, &str)> = names.iter().map(|(name, password)| (&**name, *password)).collect();
    PgBouncer::start(deployment.cluster(), PoolMode::Transaction, &users)
}

/// The binary, told of the pooler.
fn pooled(deployment: &Deployment, pooler: &PgBouncer, login: Login) -> std::process::Command {
    let mut command = deployment.command(login);
    command.env("MAGISTRATE_DATABASE_URL", pooler.url(&deployment.url(login)));
    command.env("MAGISTRATE_DATABASE_POOLER", "transaction");
    command
}

/// A node behind a pooler, with a way past it or not.
pub(super) fn pooled_node(deployment: &Deployment, pooler: &PgBouncer, direct: Option<Login>) -> Running {
    let mut command = pooled(deployment, pooler, Login::App);
    if let Some(login) = direct {
        command.env("MAGISTRATE_DATABASE_DIRECT_URL", deployment.url(login));
    }
    Running::launch(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_is_believed_by_its_certificate_only() {
    let only_tls = vec!["hostnossl all all all reject".to_owned()];
    let deployment = Deployment::private(&Options { tls: true, hba: only_tls, ..Options::default() });
    let url = |authority: &str| format!("{}?sslmode=verify-full&sslrootcert={authority}", deployment.url(Login::App));
    let authority = deployment.cluster().authority();
    let node = ready(deployment.node_at(&url(authority.to_str().unwrap())));
    assert!(allowed(&node.client().await, reads_own_message()).await);
    let encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename LIKE '%_app'";
    assert_eq!(deployment.sql(encrypted), "t");
    let other = Deployment::bare(&Options { tls: true, ..Options::default() });
    let wrong = url(other.cluster().authority().to_str().unwrap());
    let mut doctor = deployment.command(Login::App);
    let told = ran(doctor.env("MAGISTRATE_DATABASE_URL", wrong).arg("doctor"));
    assert!(told.code != 0 && format!("{}{}", told.out, told.err).contains("did not prove"), "{told:?}");
}
