//! Brings what doors refused into the ledger while a server runs.

use std::sync::Arc;
use std::time::Duration;

use magistrate_model::Actor;
use magistrate_pdp::{Clock as _, LogError, RefusalRecorder, Refusals};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::os::{self, SystemClock};
use crate::store::Store;

/// How often is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long is tried to record what is left when the server stops.
const LAST_TRY: Duration = Duration::from_secs(3);

/// What recording refusals needs.
#[derive(Debug)]
pub(crate) struct Refusing {
    lane: Arc<Refusals>,
    recorder: RefusalRecorder<Store>,
    /// The store did not take the last one.
    failing: bool,
}

impl Refusing {
    /// Records what is told to a lane, as the node of that name.
    pub(crate) fn new(store: Store, lane: Arc<Refusals>, node: &str) -> anyhow::Result<Self> {
        // A name that is no actor's is in no act; the stream that the node opens tells it all the same.
        let actor: Actor = format!("node/{node}").parse().or_else(|_| "node".parse())?;
        let recorder = RefusalRecorder::new(store, Arc::clone(&lane), actor, os::random);
        Ok(Self { lane, recorder, failing: false })
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
        let left = self.lane.counts().waiting();
        if left > 0 {
            warn!(refusals = left, "the last refusals are not recorded: the decision store does not take them");
        }
    }

    async fn round(&mut self, all: bool) {
        loop {
            match self.recorder.round(SystemClock.now(), all).await {
                Ok(()) if std::mem::take(&mut self.failing) => info!("the decision store takes refusals again"),
                Ok(()) => {}
                Err(why @ LogError::Refused(_)) => {
                    error!(%why, "a refusal is not recorded: the decision store refuses it");
                    continue;
                }
                Err(why @ LogError::Unreachable(_)) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        warn!(%why, "the decision store does not take refusals; they are summed up until it does");
                    }
                }
            }
            return;
        }
    }
}
