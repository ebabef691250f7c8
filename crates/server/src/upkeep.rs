//! What a node does for the database it shares: wake up when something was committed, tell which revision it
//! serves, keep partitions ahead of time, and refuse to answer while history could be changed.

use std::sync::Arc;
use std::time::Duration;

use magistrate_ledger::StreamId;
use magistrate_model::{Instant, Revision};
use magistrate_pdp::{Clock as _, Pdp};
use magistrate_storage_postgres::{HardeningLevel, NodeReport, PostgresStore};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::os::SystemClock;

/// How often a node tells which revision it serves.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked whether history could be changed.
const INSPECT_EVERY: Duration = Duration::from_secs(60);
/// How often partitions are made ahead of time; they are made for a week.
const PREPARE_EVERY: Duration = Duration::from_secs(3_600);

/// Which node this is.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its name, for people.
    pub(crate) name: String,
    /// The stream of this process run.
    pub(crate) stream: StreamId,
    /// When the process started.
    pub(crate) started_at: Instant,
}

/// Starts all of it; dropping what is returned ends it.
#[expect(clippy::disallowed_methods, reason = "tasks are spawned here, and the set that owns them is returned")]
pub(crate) fn start(store: &PostgresStore, pdp: &Arc<Pdp>, node: Node) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(wake(store.clone(), Arc::clone(pdp)));
    tasks.spawn(report(store.clone(), Arc::clone(pdp), node));
    tasks.spawn(inspect(store.clone(), Arc::clone(pdp)));
    tasks.spawn(prepare(store.clone()));
    tasks
}

/// Refuses answers while the database lets history be changed; tells once.
pub(crate) async fn hold_unless_hardened(store: &PostgresStore, pdp: &Pdp, told: &mut Option<String>) {
    let why = match store.hardening().await {
        Ok(hardening) if hardening.level >= HardeningLevel::Standard => None,
        Ok(hardening) => Some(format!(
            "the database does not protect the decision history: {}; see `magistrate doctor`",
            hardening.findings.join("; ")
        )),
        // What cannot be asked is not known to have changed; a database that is away is told of elsewhere.
        Err(error) => {
            debug!(%error, "cannot ask how well the history is protected");
            return;
        }
    };
    if *told != why {
        match &why {
            Some(why) => warn!(why, "nothing is answered"),
            None => info!("the database protects the decision history again"),
        }
    }
    told.clone_from(&why);
    pdp.hold(why);
}

async fn wake(store: PostgresStore, pdp: Arc<Pdp>) {
    loop {
        match store.listen().await {
            Ok(Some(mut listener)) => loop {
                listener.changed().await;
                pdp.wake();
            },
            Ok(None) => {
                info!("no direct connection to the database: changes are found by polling only");
                return;
            }
            Err(error) => {
                debug!(%error, "cannot listen for changes");
                tokio::time::sleep(REPORT_EVERY).await;
            }
        }
    }
}

async fn report(store: PostgresStore, pdp: Arc<Pdp>, node: Node) {
    loop {
        let served = pdp.served();
        let report = NodeReport {
            stream: node.stream,
            name: node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: served.as_ref().map_or(Revision::ZERO, |view| view.head.revision),
            policy_set: served.as_ref().map(|view| view.snapshot.digest()),
            started_at: node.started_at,
            reported_at: SystemClock.now(),
        };
        drop(served);
        if let Err(error) = store.report(&report).await {
            debug!(%error, "cannot tell which revision is served");
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

async fn inspect(store: PostgresStore, pdp: Arc<Pdp>) {
    let mut told = None;
    loop {
        hold_unless_hardened(&store, &pdp, &mut told).await;
        tokio::time::sleep(INSPECT_EVERY).await;
    }
}

async fn prepare(store: PostgresStore) {
    loop {
        if let Err(error) = store.prepare_days().await {
            warn!(%error, "cannot make partitions ahead of time; the next try is in an hour");
        }
        tokio::time::sleep(PREPARE_EVERY).await;
    }
}
