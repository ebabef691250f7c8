//! Whatever befalls the database under load: no acknowledged decision is lost or recorded twice, callers are told
//! in time, and service resumes by itself.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use magistrate_testkit::postgres::{Disk, Options};
use magistrate_tests::postgres::{Deployment, Health, Load, Login, Told};
use magistrate_tests::{Running, skip, tell};

use super::{ready, wait_for};

const CLIENTS: usize = 4;
/// Callers would wait for 30 s if nobody told them.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A node under load whose database is about to suffer.
struct Storm {
    deployment: Deployment,
    node: Running,
    health: Health,
    load: Load,
}

impl Storm {
    async fn begin(deployment: Deployment) -> Self {
        let node = ready(deployment.node());
        let (health, load) = (Health::of(&node).await, Load::start(&node, CLIENTS).await);
        load.answers(100).await;
        health.until(true).await;
        Self { deployment, node, health, load }
    }

    /// Waits until the fault is felt: requests are refused and the node says that it does not serve.
    async fn felt(&self) {
        self.load.refusals(2 * CLIENTS).await;
        self.health.until(false).await;
    }

    /// Waits until all is as before, and looks at what was told.
    async fn over(self) -> Told {
        self.load.answers(100).await;
        self.health.until(true).await;
        let told = self.load.stop().await;
        told.expect_recorded(&self.deployment);
        told.expect_told_within(TOLD_WITHIN);
        let (answers, refusals) = (told.acknowledged.len(), told.refused.len());
        let why = told.refused.last().map_or("", |last| &last.text);
        tell(&format!("{answers} answers, {refusals} refusals, slowest {:?}, last refusal: {why}", told.slowest()));
        drop(self.node);
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_loses_and_repeats_nothing() {
    let storm = Storm::begin(Deployment::private(&Options { durable: true, ..Options::default() })).await;
    storm.deployment.cluster().kill_9();
    storm.felt().await;
    storm.deployment.cluster().start();
    storm.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_restart_loses_and_repeats_nothing() {
    let storm = Storm::begin(Deployment::private(&Options::default())).await;
    storm.deployment.cluster().stop();
    storm.felt().await;
    storm.deployment.cluster().start();
    storm.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_server_keeps_nobody_waiting() {
    let storm = Storm::begin(Deployment::private(&Options::default())).await;
    storm.deployment.cluster().pause();
    storm.felt().await;
    storm.deployment.cluster().resume();
    storm.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_server_is_told_and_left_again() {
    let storm = Storm::begin(Deployment::private(&Options::default())).await;
    let switch = |sql: &str| storm.deployment.sql(&format!("{sql};\nSELECT pg_reload_conf();"));
    switch("ALTER SYSTEM SET default_transaction_read_only = on");
    storm.felt().await;
    switch("SET default_transaction_read_only = off;\nALTER SYSTEM RESET default_transaction_read_only");
    let told = storm.over().await;
    assert!(told.refused.iter().any(|it| it.text.contains("takes no writes")), "{:?}", told.refused.last());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taken_connections_are_told_and_used_again() {
    let options = Options { max_connections: Some(20), ..Options::default() };
    let options = options.set("superuser_reserved_connections", &(20 - FREE).to_string());
    let storm = Storm::begin(Deployment::private(&options)).await;
    let deployment = &storm.deployment;
    let (node, others) = (deployment.role(Login::App), deployment.role(Login::Auditor));
    // Sessions that are just being let in count too, so that at times nobody else gets in.
    let ask = |sql: &str| deployment.cluster().try_sql(deployment.name(), sql);
    let count = |role: &str| ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'")).ok();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{node}'");
    let mut taken = Vec::new();
    wait_for("every connection to be taken", || {
        taken.retain_mut(|it: &mut Taken| it.0.try_wait().unwrap().is_none());
        taken.resize_with(FREE, || Taken::by(deployment));
        ask(&end).ok()?;
        (count(&others)? == FREE.to_string() && count(&node)? == "0").then_some(())
    });
    storm.felt().await;
    drop(taken);
    deployment.cluster().terminate_backends(&format!("usename = '{others}'"));
    let told = storm.over().await;
    assert!(told.refused.iter().any(|it| it.text.contains("no more connections")), "{:?}", told.refused.last());
}

/// Connections that are not kept for superusers.
const FREE: usize = 13;

/// A connection that somebody else holds.
struct Taken(Child);

impl Taken {
    fn by(deployment: &Deployment) -> Self {
        let url = deployment.url_with_password(Login::Auditor);
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--dbname", &url, "--command", "SELECT pg_sleep(600)"]);
        Self(psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_told_and_service_resumes_with_space() {
    let disk = match Disk::of_mebibytes(160) {
        Ok(disk) => disk,
        Err(why) => return skip("full_disk_is_told_and_service_resumes_with_space", &why),
    };
    let options = Options { data_on: Some(disk.path().to_owned()), ..Options::default() };
    let options = options.set("min_wal_size", "32MB").set("max_wal_size", "32MB");
    let storm = Storm::begin(Deployment::private(&options)).await;
    disk.fill();
    storm.felt().await;
    disk.free();
    wait_for("the server to be back", || {
        if std::net::TcpStream::connect(storm.deployment.cluster().address()).is_err() {
            // It gives up by itself when it cannot even recover.
            storm.deployment.cluster().start();
        }
        storm.deployment.cluster().try_sql("postgres", "SELECT 1").ok()
    });
    storm.over().await;
}
