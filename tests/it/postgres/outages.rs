//! At class `process` the database is behind the journal: while it is away or slow, answers go on, and all of them arrive.

use std::path::Path;
use std::time::{Duration, Instant};

use magistrate_testkit::postgres::Options;
use magistrate_tests::postgres::{Deployment, Load, Login};
use magistrate_tests::{CLASS, Running, ran};

use super::{is_long, ready};

const CLIENTS: usize = 4;

/// A node that answers once its journal has the record.
fn node(deployment: &Deployment, journal: &Path) -> Running {
    let mut command = deployment.command(Login::App);
    command.env(CLASS, "process").env("MAGISTRATE_JOURNAL", journal).env("MAGISTRATE_NODE", "node-1");
    ready(Running::launch(command))
}

/// Every answer of a load is in the history once the node has stopped, and none was refused.
async fn expect_all(deployment: &Deployment, load: Load, mut node: Running) {
    let told = load.stop().await;
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    assert!(told.refused.is_empty(), "{:?}", told.refused.last());
    told.expect_nothing_wrong();
    told.expect_recorded(deployment);
}

/// The database is away for a minute (`LONG_TESTS=1`), or for as long as two thousand answers take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long the database stays away is what is tested")]
async fn database_that_is_away_holds_up_nobody_and_gets_everything() {
    let deployment = Deployment::private(&Options::default());
    let mut node = node(&deployment, &deployment.home().join("journal"));
    let load = Load::start(&node, CLIENTS).await;
    load.answers(100).await;
    deployment.cluster().stop();
    let (away, minute) = (Instant::now(), if is_long() { Duration::from_mins(1) } else { Duration::ZERO });
    loop {
        load.answers(2_000).await;
        if away.elapsed() >= minute {
            break;
        }
    }
    node.wait_for("the decision store does not take them");
    deployment.cluster().start();
    node.wait_for("takes records again");
    load.answers(100).await;
    expect_all(&deployment, load, node).await;
}

/// Every batch takes the database a fifth of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_slow_holds_up_nobody_and_gets_everything() {
    let deployment = Deployment::private(&Options::default());
    let node = node(&deployment, &deployment.home().join("journal"));
    deployment.sql(
        "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_catalog.pg_sleep(0.2); RETURN NULL; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON audit.decision FOR EACH STATEMENT EXECUTE FUNCTION public.slow()",
    );
    let load = Load::start(&node, CLIENTS).await;
    load.answers(5_000).await;
    expect_all(&deployment, load, node).await;
}

/// Two nodes that were given one name by mistake: streams tell them apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_one_name_lose_nothing() {
    let deployment = Deployment::shared();
    let journals = ["one", "two"].map(|name| deployment.home().join(name));
    let nodes = journals.each_ref().map(|journal| node(&deployment, journal));
    let mut loads = Vec::new();
    for node in &nodes {
        loads.push(Load::start(node, CLIENTS).await);
    }
    for load in &loads {
        load.answers(500).await;
    }
    for (load, node) in loads.into_iter().zip(nodes) {
        expect_all(&deployment, load, node).await;
    }
    let keys = journals.map(|journal| {
        let mut command = deployment.command(Login::Auditor);
        ran(command.env("MAGISTRATE_JOURNAL", journal).args(["audit", "key"])).code(0).out.trim().to_owned()
    });
    let verify = ["audit", "verify", "--key", &keys[0], "--key", &keys[1]];
    let told = ran(deployment.command(Login::Auditor).args(verify)).code(0);
    assert!(told.out.contains("are those that were sealed"), "{}", told.out);
}
