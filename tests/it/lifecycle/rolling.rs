//! Nodes are restarted one after the other while they are asked: no caller notices, and no record is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use magistrate_client::v1::CheckRequest;
use magistrate_client::{Client, Nodes};
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{Running, request};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Callers that ask without pause.
const CALLERS: usize = 4;
/// Answers waited for between two restarts.
const BETWEEN: usize = 100;
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Told {
    answers: Mutex<BTreeMap<String, String>>,
    failures: Mutex<Vec<String>>,
    answered: AtomicUsize,
    over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_is_not_noticed_by_callers() {
    let deployment = Deployment::shared();
    let mut nodes = [deployment.node(), deployment.node()];
    let told = Arc::new(Told::default());
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let clients = [nodes[0].client().await, nodes[1].client().await];
        callers.spawn(ask(clients.to_vec(), number, Arc::clone(&told)));
    }
    for _round in 0..rounds() {
        for node in &mut nodes {
            wait(&told, BETWEEN).await;
            let address = node.address().to_owned();
            assert_eq!(node.terminate(), 0, "{}", node.logged());
            wait(&told, BETWEEN).await;
            *node = Running::launch_at(deployment.command(Login::App), &address);
            node.wait_for("\"ready\"");
        }
    }
    wait(&told, BETWEEN).await;
    told.over.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let failures = told.failures.lock().await;
    assert!(
        failures.is_empty(),
        "{} of {} failed: {:?}",
        failures.len(),
        told.answered.load(Ordering::SeqCst),
        failures.first()
    );
    let history = deployment.history();
    for (id, asked) in &*told.answers.lock().await {
        let recorded = history.get(id).unwrap_or_else(|| panic!("the acknowledged {id} is lost"));
        assert_eq!(&recorded.request, asked);
    }
}

/// `LONG_TESTS=1` restarts each node 20 times.
fn rounds() -> usize {
    if std::env::var_os("LONG_TESTS").is_some() { 20 } else { 2 }
}

async fn ask(clients: Vec<Client>, number: usize, told: Arc<Told>) {
    let nodes = Nodes::new(clients);
    for n in 0_usize.. {
        if told.over.load(Ordering::SeqCst) {
            return;
        }
        let request_id = format!("rolling-{number}-{n}");
        let question = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
        match nodes.check(CheckRequest { request_id: request_id.clone(), ..question }, DEADLINE).await {
            Ok(answer) => {
                assert!(magistrate_client::is_allowed(&answer));
                told.answers.lock().await.insert(answer.decision_id, request_id);
                told.answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => told.failures.lock().await.push(error.to_string()),
        }
    }
}

/// Waits for so many more answers.
async fn wait(told: &Told, more: usize) {
    let wanted = told.answered.load(Ordering::SeqCst) + more;
    let enough = async {
        while told.answered.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, enough).await.is_ok(), "{:?}", told.failures.lock().await.first());
}
