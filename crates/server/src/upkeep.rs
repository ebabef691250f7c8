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
/// How often it is asked whether history could be changed; while it could, or cannot be asked, more often.
const INSPECT_EVERY: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// After so many questions without an answer what was known is known no longer.
const MOST_FAILURES: u32 = 12;
/// How often partitions are made ahead of time; they are made for a week.
const PREPARE_EVERY: Duration = Duration::from_hours(1);

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

/// Starts all of it; no task ends by itself, and dropping what is returned ends them.
pub(crate) fn start(store: &PostgresStore, pdp: &Arc<Pdp>, node: Node, inspector: Inspector) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(wake(store.clone(), Arc::clone(pdp)));
    tasks.spawn(report(store.clone(), Arc::clone(pdp), node));
    tasks.spawn(inspector.run());
    tasks.spawn(prepare(store.clone()));
    tasks
}

/// Whether the database protects the decision history, as far as it is known. INVARIANT: nothing is answered
/// before it said so once, nor after it said that it does not, nor when it could not be asked for long.
#[derive(Debug)]
pub(crate) struct Inspector {
    store: PostgresStore,
    pdp: Arc<Pdp>,
    /// Why nothing is answered; `None` while everything is as it should be.
    held: Option<String>,
    failures: u32,
}

impl Inspector {
    /// Holds the decision point until the first inspection.
    pub(crate) fn new(store: &PostgresStore, pdp: &Arc<Pdp>) -> Self {
        let held = Some("it is not known yet whether the database protects the decision history".to_owned());
        pdp.hold(held.clone());
        Self { store: store.clone(), pdp: Arc::clone(pdp), held, failures: 0 }
    }

    /// Asks the database, and holds or releases the decision point by what it says.
    pub(crate) async fn inspect(&mut self) {
        let why = match self.store.hardening().await {
            Ok(hardening) if hardening.level >= HardeningLevel::Standard => None,
            Ok(hardening) => Some(format!(
                "the database does not protect the decision history: {}; see `magistrate doctor`",
                hardening.findings.join("; ")
            )),
            Err(error) => {
                self.fail(&error.to_string());
                return;
            }
        };
        self.failures = 0;
        if self.held != why {
            match &why {
                Some(why) => warn!(why, "nothing is answered"),
                None => info!("the database protects the decision history"),
            }
        }
        self.held = why;
        self.pdp.hold(self.held.clone());
    }

    fn fail(&mut self, error: &str) {
        self.failures += 1;
        if self.failures == 1 {
            warn!(error, "cannot ask whether the database protects the decision history");
        }
        if self.failures >= MOST_FAILURES && self.held.is_none() {
            self.held =
                Some("it was not known for too long whether the database protects the decision history".to_owned());
            self.pdp.hold(self.held.clone());
        }
    }

    fn pause(&self) -> Duration {
        if self.held.is_some() || self.failures > 0 { ASK_AGAIN } else { INSPECT_EVERY }
    }

    async fn run(mut self) {
        loop {
            tokio::time::sleep(self.pause()).await;
            self.inspect().await;
        }
    }
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
                std::future::pending::<()>().await;
            }
            Err(error) => {
                debug!(%error, "cannot listen for changes");
                tokio::time::sleep(REPORT_EVERY).await;
            }
        }
    }
}

async fn report(store: PostgresStore, pdp: Arc<Pdp>, node: Node) {
    let mut told = false;
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
        match store.report(&report).await {
            Ok(()) => told = false,
            Err(error) if !told => {
                warn!(%error, "cannot tell which revision is served");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

async fn prepare(store: PostgresStore) {
    loop {
        match store.prepare_days().await {
            Ok(()) => tokio::time::sleep(PREPARE_EVERY).await,
            Err(error) => {
                warn!(%error, "cannot make partitions ahead of time; the next try is in a minute");
                tokio::time::sleep(INSPECT_EVERY).await;
            }
        }
    }
}
