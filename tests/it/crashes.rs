//! `kill -9` again and again, at any moment under load: every decision that a client was told is in history, once.
//!
//! `CRASH_KILLS=200` kills each of the four that often; CI does so a few times.

use std::collections::BTreeMap;

use magistrate_tests::postgres::{Deployment, Load, Login, Told};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, tell};

/// Clients of a node.
const CLIENTS: usize = 4;

fn kills() -> usize {
    std::env::var("CRASH_KILLS").map_or(3, |kills| kills.parse().unwrap())
}

/// Kills what `start` starts while it is asked, and expects what was told to be what `history` has, by id and leaf, after
/// a last run that stops in peace.
async fn crash(
    name: &str,
    start: impl Fn() -> Running,
    history: impl Fn() -> BTreeMap<String, String>,
    verify: impl Fn() -> Ran,
) {
    let mut told = Told::default();
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..kills() {
        let mut node = start();
        let load = Load::start(&node, CLIENTS).await;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        load.answers(usize::try_from(seed >> 33).unwrap() % 400 + 1).await;
        node.kill();
        let said = load.stop().await;
        told.acknowledged.extend(said.acknowledged);
        told.wrong.extend(said.wrong);
    }
    let mut node = start();
    node.wait_for("\"ready\"");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    told.expect_nothing_wrong();
    let verified = verify().code(0).json();
    let silent = verified.pointer("/counts/silent").and_then(serde_json::Value::as_u64);
    assert_eq!(silent, Some(0), "each run is told of by the next one: {verified}");
    let recorded = history();
    let lost: Vec<_> = told.acknowledged.iter().filter(|it| recorded.get(&it.id) != Some(&it.leaf)).collect();
    let (count, kills) = (told.acknowledged.len(), kills());
    assert!(
        lost.is_empty(),
        "{name}: {} of {count} acknowledged decisions are lost or other ones: {:?}",
        lost.len(),
        lost.first()
    );
    tell(&format!("{name}: {count} acknowledged over {kills} kills, {} recorded, none lost", recorded.len()));
}

async fn crash_embedded(class: &str) {
    let store = Store::example();
    let history = || {
        let row = |row: &serde_json::Value| (text(row, "id"), text(row, "leaf"));
        let rows: Vec<_> = store.history().iter().map(row).collect();
        let count = rows.len();
        let history: BTreeMap<_, _> = rows.into_iter().collect();
        assert_eq!(history.len(), count, "each once");
        history
    };
    let key = || store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let verify = || store.run(&["-o", "json", "audit", "verify", "--key", &key()]);
    crash(&format!("embedded, {class}"), || Running::with(&store, &[(CLASS, class)]), history, verify).await;
}

fn text(row: &serde_json::Value, name: &str) -> String {
    row[name].as_str().unwrap().to_owned()
}

async fn crash_postgres(class: &str) {
    let deployment = Deployment::shared();
    let journal = deployment.home().join("journal");
    let start = || {
        let mut command = deployment.command(Login::App);
        command.env(CLASS, class).env("MAGISTRATE_JOURNAL", &journal);
        Running::launch(command)
    };
    let history = || deployment.history().into_iter().map(|(id, it)| (id, it.leaf)).collect();
    let auditor = |arguments: &[&str]| {
        ran(deployment.command(Login::Auditor).env("MAGISTRATE_JOURNAL", &journal).args(arguments))
    };
    let key = || auditor(&["audit", "key"]).code(0).out.trim().to_owned();
    let verify = || auditor(&["-o", "json", "audit", "verify", "--key", &key()]);
    crash(&format!("PostgreSQL, {class}"), start, history, verify).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_store_loses_nothing_at_class_process() {
    crash_embedded("process").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_store_loses_nothing_at_class_disk() {
    crash_embedded("disk").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_loses_nothing_at_class_process() {
    crash_postgres("process").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_loses_nothing_at_class_disk() {
    crash_postgres("disk").await;
}
