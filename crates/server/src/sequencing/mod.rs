//! The sequencer of the global log: one node at a time appends to it, and signs it.
//!
//! INVARIANT: a log that went back, or is another than what was signed, is never signed over: the sequencer stops, and says
//! so in the log and as a metric.

mod key;
mod round;
mod vitals;

use std::path::PathBuf;
use std::time::Duration;

use magistrate_journal::Export;
use magistrate_ledger::{NoteSigner, Sequencer, StreamId};
use magistrate_model::{Instant, Span};
use magistrate_pdp::Clock as _;
use tokio::sync::oneshot;
use tracing::{debug, error, info};

pub(crate) use key::{enrolment, key_of};
pub(crate) use vitals::{LogVitals, LogWatch};

use crate::os::SystemClock;
use crate::store::{Store, StoreSink};

/// How often is looked for what is not in the log.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a lease lasts, and after how long it is asked for again.
const LEASE: Span = Span::seconds(6);
const RENEW: Span = Span::seconds(2);
/// How long is tried to bring what is left into the log when the server stops.
const LAST_TRY: Duration = Duration::from_secs(5);

/// What sequencing needs.
pub(crate) struct Sequencing {
    pub(crate) store: Store,
    /// Keeps checkpoints.
    pub(crate) sink: StoreSink,
    pub(crate) signer: NoteSigner,
    /// The node's name.
    pub(crate) node: String,
    /// Who holds the lease: this process run.
    pub(crate) holder: StreamId,
    /// Given every checkpoint that the store has.
    pub(crate) export: Export,
    /// The file of checkpoints that this node made.
    pub(crate) checkpoints: PathBuf,
    pub(crate) watch: LogWatch,
}

impl std::fmt::Debug for Sequencing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequencing").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The log while this node holds it.
struct Held {
    term: u64,
    sequencer: Sequencer,
    asked_at: Instant,
}

/// Why a round came to nothing.
enum Setback {
    /// It is tried again.
    Again(String),
    /// The log must not be gone on with.
    Alarm(String),
}

impl<E: std::error::Error> From<E> for Setback {
    fn from(error: E) -> Self {
        Self::Again(error.to_string())
    }
}

/// Sequences until told to stop; then what is left, as far as the store takes it. Ends early, and is not begun again, where
/// the log must not be gone on with.
pub(crate) async fn run(mut sequencing: Sequencing, mut stop: oneshot::Receiver<()>) {
    let mut held = None;
    loop {
        let round = sequencing.step(&mut held, false);
        let going = tokio::select! {
            going = round => going,
            _ = &mut stop => break,
        };
        if !going {
            let _stopped = stop.await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = &mut stop => break,
        }
    }
    // What was under way when the stop came is not known.
    held = None;
    let _late = tokio::time::timeout(LAST_TRY, sequencing.finish(&mut held)).await;
}

impl Sequencing {
    /// One round, and what came of it; false where there must be no other.
    async fn step(&mut self, held: &mut Option<Held>, all: bool) -> bool {
        match self.round(held, all).await {
            Ok(()) => {
                self.watch.change(|vitals| vitals.trouble = None);
                true
            }
            Err(Setback::Again(why)) => {
                *held = None;
                debug!(why, "the global log is tried again");
                self.watch.change(|vitals| vitals.trouble = Some(why));
                true
            }
            Err(Setback::Alarm(why)) => {
                *held = None;
                error!(why, "the global log is not gone on with, and nothing of it is signed any more");
                self.watch.change(|vitals| (vitals.holds, vitals.alarm) = (false, Some(why)));
                let _released = self.release().await;
                false
            }
        }
    }

    /// Brings what is there into the log, signs it, and lets another node go on.
    async fn finish(&mut self, held: &mut Option<Held>) {
        if self.step(held, true).await {
            if let Err(error) = self.release().await {
                info!(%error, "the lease of the global log ends by itself");
            }
            self.watch.change(|vitals| vitals.holds = false);
        }
    }

    fn now() -> Instant {
        SystemClock.now()
    }
}
