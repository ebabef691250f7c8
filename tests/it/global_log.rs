//! The global log of real programs: one node sequences, and none goes on with a log that is not what was signed.

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Running, Store, ran, request, skip};
use serde_json::Value as Json;

use super::tampering::edit;

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

async fn ask(node: &Running) {
    let client = node.client().await;
    client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
}

/// The log went back behind what this node signed, checkpoints and all: it is told, and nothing is signed over it, although
/// the node serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_went_back_is_not_signed_over() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    ask(&node).await;
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    let cut = "DELETE FROM log WHERE place > 1; DELETE FROM checkpoint WHERE origin LIKE 'magistrate/log/%'";
    if !edit(&store.data().join("decisions.db"), cut) {
        return skip("log_that_went_back_is_not_signed_over", "no python3 to change the file with");
    }
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("an older state was put back");
    ask(&node).await;
    let trouble = |line: &str| line.starts_with("magistrate_log_trouble") && line.ends_with(" 2");
    assert!(node.get("/metrics").1.lines().any(trouble), "{}", node.get("/metrics").1);
    assert_eq!(node.get("/checkpoint/log").0, 404, "nothing of it is signed");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    assert!(!node.logged().contains("\"origin\":\"magistrate/log/"), "{}", node.logged());
}

/// A store with another log than the one that this node signed is not gone on with either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_is_not_signed() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("\"origin\":\"magistrate/log/");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    if !edit(&store.data().join("decisions.db"), "UPDATE sequencer SET log = zeroblob(16)") {
        return skip("another_log_is_not_signed", "no python3 to change the file with");
    }
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("and the store has `magistrate/log/00000000000000000000000000000000`");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
}

/// A node enrols its key by itself; people enrol and revoke keys, and are told as those who did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_enrolled_and_revoked_by_acts() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("\"origin\":\"magistrate/log/");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let told = verify(&store, &key);
    assert_eq!(told["enrolments"].as_array().unwrap().len(), 1, "{told}");
    assert!(told["enrolments"][0]["actor"].as_str().unwrap().starts_with("node/"), "{told}");
    // Whoever can write to the store can enrol a key; who looks is told.
    let other = store.run(&["audit", "key", "--make", "other.key"]).code(0).out.trim().to_owned();
    let _told = store.run(&["audit", "key", "--enrol", &other]).code(0);
    let told = verify(&store, &key);
    let named = |told: &Json, kind: &str| told["findings"].as_array().unwrap().iter().any(|it| it["kind"] == kind);
    assert!(named(&told, "not_pinned"), "{told}");
    let _told = store.run(&["audit", "key", "--revoke", &other]).code(0);
    assert!(!named(&verify(&store, &key), "not_pinned"));
    // A key that was revoked signs nothing any more.
    let _told = store.run(&["audit", "key", "--revoke", &key]).code(0);
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("the key of this node was revoked by os:");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    assert!(!node.logged().contains("\"origin\":\"magistrate/log/"), "{}", node.logged());
}

fn verify(store: &Store, key: &str) -> Json {
    store.run(&["-o", "json", "audit", "verify", "--key", key]).code(0).json()
}

/// Two nodes of one database: one log, which has the headers of both, and each goes on where the other stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_sequence_one_log_after_each_other() {
    let deployment = Deployment::shared();
    let launch = |name: &str| {
        let mut command = deployment.command(Login::App);
        let journal = deployment.home().join(name);
        command.env("MAGISTRATE_JOURNAL", &journal).env("MAGISTRATE_NODE", name).env(CLASS, "process");
        Running::launch(command)
    };
    let mut one = launch("one");
    one.wait_for("this node sequences the global log");
    let mut two = launch("two");
    ask(&one).await;
    ask(&two).await;
    assert_eq!(one.terminate(), 0, "{}", one.logged());
    two.wait_for("this node sequences the global log");
    ask(&two).await;
    assert_eq!(two.terminate(), 0, "{}", two.logged());
    let key = |name: &str| {
        let mut command = deployment.command(Login::Auditor);
        command.env("MAGISTRATE_JOURNAL", deployment.home().join(name));
        ran(command.args(["audit", "key"])).code(0).out.trim().to_owned()
    };
    let (first, second) = (key("one"), key("two"));
    let mut command = deployment.command(Login::Auditor);
    let told = ran(command.args(["-o", "json", "audit", "verify", "--key", &first, "--key", &second])).code(0).json();
    assert_eq!(told.pointer("/counts/not_covered"), Some(&Json::from(0)), "{told}");
    assert_eq!((told["streams"].as_array().unwrap().len(), &told["log"]["entries"]), (2, &told["log"]["covered"]));
    assert_eq!(told["enrolments"].as_array().unwrap().len(), 2, "{told}");
    let terms = deployment.sql("SELECT term FROM audit.sequencer");
    assert_eq!(terms.trim(), "2");
}
