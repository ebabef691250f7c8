//! Brings what doors refused, and decisions that differed, into the ledger while a server runs.

use std::sync::Arc;
use std::time::Duration;

use magistrate_model::Actor;
use magistrate_pdp::{Clock as _, DifferenceRecorder, Differences, LogError, RefusalRecorder, Refusals};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::os::{self, SystemClock};
use crate::store::Store;

/// How often is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long is tried to record what is left when the server stops.
const LAST_TRY: Duration = Duration::from_secs(3);

/// What recording them needs.
#[derive(Debug)]
pub(crate) struct Telling {
    refusals: Arc<Refusals>,
    differences: Arc<Differences>,
    of_refusals: RefusalRecorder<Store>,
    of_differences: DifferenceRecorder<Store>,
    /// The store did not take the last one.
    failing: bool,
}

impl Telling {
    /// Records what is told to the lanes, as the node of that name.
    pub(crate) fn new(
        store: Store,
        refusals: Arc<Refusals>,
        differences: Arc<Differences>,
        node: &str,
    ) -> anyhow::Result<Self> {
        // A name that is no actor's is in no act; the stream that the node opens tells it all the same.
        let actor: Actor = format!("node/{node}").parse().or_else(|_| "node".parse())?;
        let of_refusals = RefusalRecorder::new(store.clone(), Arc::clone(&refusals), actor.clone(), os::random);
        let of_differences = DifferenceRecorder::new(store, Arc::clone(&differences), actor, os::random);
        Ok(Self { refusals, differences, of_refusals, of_differences, failing: false })
    }

    /// Records until told to stop; then all that is left, as far as the store takes it within a short time.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                _ = &mut stop => break,
                () = self.round(false) => {}
            }
            tokio::select! {
                _ = &mut stop => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let _late = tokio::time::timeout(LAST_TRY, self.round(true)).await;
        let (refusals, differences) = (self.refusals.counts().waiting(), self.differences.counts().waiting());
        if refusals > 0 {
            warn!(refusals, "the last refusals are not recorded: the decision store does not take them");
        }
        if differences > 0 {
            error!(differences, "decisions that differed are not in the ledger: the decision store does not take them");
        }
    }

    async fn round(&mut self, all: bool) {
        // Those that differed come first: there are few of them, and each counts.
        loop {
            match self.of_differences.round().await {
                Ok(()) => break,
                Err(why @ LogError::Refused(_)) => {
                    error!(%why, "a decision that differed is not in the ledger: the decision store refuses it");
                }
                Err(why @ LogError::Unreachable(_)) => return self.fail(&why),
            }
        }
        loop {
            match self.of_refusals.round(SystemClock.now(), all).await {
                Ok(()) if std::mem::take(&mut self.failing) => info!("the decision store takes refusals again"),
                Ok(()) => {}
                Err(why @ LogError::Refused(_)) => {
                    error!(%why, "a refusal is not recorded: the decision store refuses it");
                    continue;
                }
                Err(why @ LogError::Unreachable(_)) => self.fail(&why),
            }
            return;
        }
    }

    fn fail(&mut self, why: &LogError) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%why, "the decision store does not take refusals; they are summed up until it does, and decisions that differed kept");
        }
    }
}
