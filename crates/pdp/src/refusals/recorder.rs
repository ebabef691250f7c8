//! Brings refusals from the lane into the ledger.

use std::sync::Arc;

use magistrate_ledger::Act;
use magistrate_model::{Actor, Instant};

use super::{Refusals, count_of};
use crate::acts::{Became, Outbox};
use crate::log::{LogError, Sequencing};

/// Records what is told to a lane, each act once. While the store has not taken those it was given, nothing more is taken
/// from the lane, which sums up what comes.
#[derive(Debug)]
pub struct RefusalRecorder<S> {
    lane: Arc<Refusals>,
    outbox: Outbox<S>,
}

impl<S: Sequencing> RefusalRecorder<S> {
    /// Records for a node.
    pub fn new(store: S, lane: Arc<Refusals>, actor: Actor, random: fn() -> [u8; 16]) -> Self {
        Self { lane, outbox: Outbox::new(store, actor, random) }
    }

    /// Records what is due, or all of it. After an error the rest is kept for the next time; an act that the store refuses
    /// is told, counted as dropped, and not tried again. Dropped half-way, it goes on where it was.
    pub async fn round(&mut self, now: Instant, all: bool) -> Result<(), LogError> {
        let Self { lane, outbox } = self;
        let became = |act: &Act, became: Became| match became {
            Became::Recorded => lane.recorded(act),
            // What the store refuses; every text was cut.
            Became::Dropped => lane.dropped(count_of(act)),
        };
        outbox.empty(became).await?;
        for (at, act) in lane.take(now, all) {
            outbox.put(at, act, became);
        }
        outbox.empty(became).await
    }
}
