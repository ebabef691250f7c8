//! Brings refusals from the lane into the ledger.

use std::collections::VecDeque;
use std::sync::Arc;

use magistrate_ledger::{ActId, ActRecord, SealedAct};
use magistrate_model::{Actor, Instant};

use super::{Refusals, count_of};
use crate::log::{LogError, Sequencing};

/// Records what is told to a lane. INVARIANT: each act is given to the store until it has it, under one id, so that it is
/// there once, whatever became of a try; meanwhile nothing more is taken from the lane, which sums up what comes.
#[derive(Debug)]
pub struct RefusalRecorder<S> {
    store: S,
    lane: Arc<Refusals>,
    /// Who refuses: this node.
    actor: Actor,
    /// Chance, for the names of acts.
    random: fn() -> [u8; 16],
    taken: VecDeque<SealedAct>,
}

impl<S: Sequencing> RefusalRecorder<S> {
    /// Records for a node.
    pub fn new(store: S, lane: Arc<Refusals>, actor: Actor, random: fn() -> [u8; 16]) -> Self {
        Self { store, lane, actor, random, taken: VecDeque::new() }
    }

    /// Records what is due, or all of it. After an error the rest is kept for the next time; an act that the store refuses
    /// is told, counted as dropped, and not tried again. Dropped half-way, it goes on where it was.
    pub async fn round(&mut self, now: Instant, all: bool) -> Result<(), LogError> {
        self.empty().await?;
        self.take(now, all);
        self.empty().await
    }

    fn take(&mut self, now: Instant, all: bool) {
        for (at, act) in self.lane.take(now, all) {
            let count = count_of(&act);
            let record = ActRecord { id: ActId((self.random)()), at, actor: self.actor.clone(), act };
            match record.seal() {
                Ok(sealed) => self.taken.push_back(sealed),
                // Every text in it was cut.
                Err(_) => self.lane.dropped(count),
            }
        }
    }

    async fn empty(&mut self) -> Result<(), LogError> {
        while let Some(act) = self.taken.front() {
            let outcome = self.store.record_act(act).await;
            match &outcome {
                Ok(()) => self.lane.recorded(&act.record.act),
                Err(LogError::Refused(_)) => self.lane.dropped(count_of(&act.record.act)),
                Err(LogError::Unreachable(_)) => return outcome,
            }
            self.taken.pop_front();
            outcome?;
        }
        Ok(())
    }
}
