//! Acts of this node on their way to a store.

use std::collections::VecDeque;

use magistrate_ledger::{Act, ActId, ActRecord, SealedAct};
use magistrate_model::{Actor, Instant};

use crate::log::{LogError, Sequencing};

/// Acts that a store does not have yet. INVARIANT: each is given to the store until it has it, under one id, so that it is
/// there once, whatever became of a try.
#[derive(Debug)]
pub(crate) struct Outbox<S> {
    store: S,
    /// Whose acts they are: this node's.
    actor: Actor,
    /// Chance, for the names of acts.
    random: fn() -> [u8; 16],
    waiting: VecDeque<SealedAct>,
}

/// What became of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// The store has it.
    Recorded,
    /// It never will be.
    Dropped,
}

impl<S: Sequencing> Outbox<S> {
    pub(crate) fn new(store: S, actor: Actor, random: fn() -> [u8; 16]) -> Self {
        Self { store, actor, random, waiting: VecDeque::new() }
    }

    /// Takes an act over, unless a text in it is too long.
    pub(crate) fn put(&mut self, at: Instant, act: Act, became: impl FnOnce(&Act, Became)) {
        let record = ActRecord { id: ActId((self.random)()), at, actor: self.actor.clone(), act };
        match record.clone().seal() {
            Ok(sealed) => self.waiting.push_back(sealed),
            Err(_) => became(&record.act, Became::Dropped),
        }
    }

    /// Gives the store all that waits. After an error the rest is kept for the next time; an act that the store refuses is
    /// dropped. Dropped half-way, it goes on where it was.
    pub(crate) async fn empty(&mut self, became: impl Fn(&Act, Became) + Send + Sync) -> Result<(), LogError> {
        while let Some(act) = self.waiting.front() {
            let outcome = self.store.record_act(act).await;
            match &outcome {
                Ok(()) => became(&act.record.act, Became::Recorded),
                Err(LogError::Refused(_)) => became(&act.record.act, Became::Dropped),
                Err(LogError::Unreachable(_)) => return outcome,
            }
            self.waiting.pop_front();
            outcome?;
        }
        Ok(())
    }
}
