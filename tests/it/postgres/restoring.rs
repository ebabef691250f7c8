//! A backup is put back, and the history in it verified: what is there is what was sealed, and what is gone is told.

use std::path::{Path, PathBuf};

use magistrate_testkit::postgres::Options;
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, ran};
use serde_json::Value as Json;

use super::{PATIENCE, reads_own_message};

/// A deployment whose node keeps its journal in one place.
struct Kept {
    deployment: Deployment,
    key: String,
}

impl Kept {
    fn new() -> Self {
        Self { deployment: Deployment::private(&Options::default().archived()), key: String::new() }
    }

    fn journal(&self) -> PathBuf {
        self.deployment.home().join("journal")
    }

    fn node(&self, database: Option<&str>) -> Running {
        let mut command = self.deployment.command(Login::App);
        command.env("MAGISTRATE_JOURNAL", self.journal()).env(CLASS, "process");
        if let Some(database) = database {
            // Another history, and so another node: what it signs of the same log must not be what the first one knows.
            command.env("MAGISTRATE_DATABASE_URL", self.url(Login::App, database));
            command.env("MAGISTRATE_JOURNAL", self.deployment.home().join("another-journal"));
        }
        Running::launch(command)
    }

    fn url(&self, login: Login, database: &str) -> String {
        self.deployment.url(login).replace("/postgres", &format!("/{database}"))
    }

    /// So many decisions, all of them in the log under a checkpoint, and a peaceful end. A copy of the checkpoints that left
    /// the node is kept under this name.
    async fn record(&self, mut node: Running, count: usize, seen: &str) -> PathBuf {
        let client = node.client().await;
        let mut last = String::new();
        for _ in 0..count {
            last = client.check(reads_own_message(), PATIENCE).await.unwrap().decision_id;
        }
        let _proof = self.deployment.run(Login::Auditor, &["audit", "prove", "--wait", &last]).code(0);
        assert_eq!(node.terminate(), 0, "{}", node.logged());
        let seen = self.deployment.home().join(seen);
        std::fs::copy(self.journal().join("checkpoints"), &seen).unwrap();
        seen
    }

    fn pin(&mut self) {
        let mut command = self.deployment.command(Login::Auditor);
        let shown = ran(command.env("MAGISTRATE_JOURNAL", self.journal()).args(["audit", "key"]));
        shown.code(0).out.trim().clone_into(&mut self.key);
    }

    /// Verifies with a copy of checkpoints, which a verification that finds all well would replace.
    fn verify(&self, database: Option<&str>, seen: &Path) -> Ran {
        let copy = seen.with_extension("copy");
        std::fs::copy(seen, &copy).unwrap();
        let mut command = self.deployment.command(Login::Auditor);
        if let Some(database) = database {
            command.env("MAGISTRATE_DATABASE_URL", self.url(Login::Auditor, database));
        }
        ran(command.args(["-o", "json", "audit", "verify", "--key", &self.key, "--seen"]).arg(copy))
    }
}

fn records(told: &Json) -> u64 {
    let streams = told.get("streams").and_then(Json::as_array).unwrap();
    streams.iter().filter_map(|stream| stream.get("records").and_then(Json::as_u64)).sum()
}

fn kinds(told: &Json) -> Vec<&str> {
    let findings = told.get("findings").and_then(Json::as_array).unwrap();
    let failures = findings.iter().filter(|it| it.get("failure") == Some(&Json::Bool(true)));
    failures.filter_map(|it| it.get("kind").and_then(Json::as_str)).collect()
}

/// What was restored to a point in time is whole as far as it goes, and newer checkpoints tell that it goes no further. The
/// node that signed these goes on with it only when its operator says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_was_restored_to_a_point_in_time_verifies_as_far_as_it_goes() {
    let mut kept = Kept::new();
    let cluster = kept.deployment.cluster().clone();
    let base = cluster.copy();
    let then = kept.record(kept.node(None), 10, "seen-then").await;
    kept.pin();
    cluster.sql("postgres", "SELECT pg_create_restore_point('then')");
    let newest = kept.record(kept.node(None), 5, "seen-newest").await;
    assert_eq!(records(&kept.verify(None, &newest).code(0).json()), 15);
    let last = cluster.sql("postgres", "SELECT pg_walfile_name(pg_switch_wal())");
    let archived = format!("SELECT last_archived_wal >= '{}' FROM pg_stat_archiver", last.trim());
    while cluster.sql("postgres", &archived).trim() != "t" {
        std::thread::yield_now();
    }
    cluster.restore_to(&base, "then");

    let told = kept.verify(None, &then).code(0).json();
    assert_eq!((records(&told), told.get("whole")), (10, Some(&Json::Bool(true))), "{told}");
    let told = kept.verify(None, &newest).code(7).json();
    assert!(kinds(&told).iter().all(|kind| *kind == "rolled_back"), "{told}");

    let mut node = kept.node(None);
    node.wait_for("an older state was put back");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    std::fs::rename(kept.journal().join("checkpoints"), kept.journal().join("checkpoints.before")).unwrap();
    let after = kept.record(kept.node(None), 3, "seen-after").await;
    let told = kept.verify(None, &then).code(0).json();
    assert!(records(&told) >= 13, "{told}");
    let _whole = kept.verify(None, &after).code(0);
    let told = kept.verify(None, &newest).code(7).json();
    assert!(kinds(&told).iter().all(|kind| ["rolled_back", "forked"].contains(kind)), "{told}");
}

/// A dump that is put into another database is the same history, under the same guards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dump_is_restored_with_its_history_and_its_guards() {
    let mut kept = Kept::new();
    let seen = kept.record(kept.node(None), 10, "seen").await;
    kept.pin();
    let cluster = kept.deployment.cluster();
    cluster.dump_into("postgres", "restored");
    let told = kept.verify(Some("restored"), &seen).code(0).json();
    assert_eq!(records(&told), 10, "{told}");
    let refused = cluster.try_sql("restored", "DELETE FROM audit.decision").unwrap_err();
    assert!(refused.contains("is refused"), "{refused}");
    let node = kept.node(Some("restored"));
    let answer = node.client().await.check(reads_own_message(), PATIENCE).await.unwrap();
    assert!(magistrate_client::is_allowed(&answer));
    drop(node);
    // What was in the dump only as far as it went is told by what left the node since.
    let newer = kept.record(kept.node(None), 1, "seen-newer").await;
    let told = kept.verify(Some("restored"), &newer).code(7).json();
    assert!(kinds(&told).contains(&"rolled_back"), "{told}");
}
