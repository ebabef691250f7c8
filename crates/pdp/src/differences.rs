//! The lane of differences: decisions that are made otherwise the second time, until the ledger has them.
//!
//! Whoever compares tells them; no Check waits for that. The first ones of a process are acts of their own: from the first on
//! the authorizer answers, or no earlier answer is used, so that more are a matter of what was under way, and tell nothing new.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use magistrate_ledger::{Act, Answered, Asked, DifferingDecision, PrivateFields, SecondWay, question_digest};
use magistrate_model::{Actor, Instant, Verdict};

use crate::acts::{Became, Outbox};
use crate::comparison::{Difference, Second};
use crate::log::{LogError, Sequencing};

/// Bytes of each uid.
const LONGEST: usize = 512;

/// What was told, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DifferenceCounts {
    /// All of them.
    pub told: u64,
    /// In the ledger.
    pub recorded: u64,
    /// Not in the ledger, and never will be: beyond the first ones, or refused by the store.
    pub dropped: u64,
}

impl DifferenceCounts {
    /// What waits to be recorded.
    pub const fn waiting(&self) -> u64 {
        self.told.saturating_sub(self.recorded.saturating_add(self.dropped))
    }
}

/// The lane.
#[derive(Debug, Default)]
pub struct Differences {
    /// What an act does not tell, not even by a digest.
    private: PrivateFields,
    /// Each with the instant of its decision.
    waiting: Mutex<Vec<(Instant, Act)>>,
    told: AtomicU64,
    recorded: AtomicU64,
    dropped: AtomicU64,
}

impl Differences {
    /// Differences of one process that are acts of their own.
    pub const MOST: u64 = 64;

    /// An empty lane.
    pub fn new(private: PrivateFields) -> Self {
        Self { private, ..Self::default() }
    }

    /// Takes a difference to be recorded; returns whether it will be. That nothing was said the second time is none.
    pub fn tell(&self, difference: &Difference) -> bool {
        let (second, says) = match &difference.second {
            Second::Authorizer(Ok(says)) => (SecondWay::Authorizer, says),
            Second::Anew(Ok(anew)) => (SecondWay::Evaluation, &anew.1),
            Second::Authorizer(Err(_)) | Second::Anew(Err(_)) => return false,
        };
        if self.told.fetch_add(1, Ordering::Relaxed) >= Self::MOST {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let act = Act::Difference(Box::new(self.differing(difference, second, says)));
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((difference.question.facts.instant, act));
        true
    }

    fn differing(&self, difference: &Difference, second: SecondWay, says: &Verdict) -> DifferingDecision {
        let Difference { decision, question, answered, .. } = difference;
        let query = &question.query;
        let cut = |text: String| {
            let end = text.floor_char_boundary(LONGEST);
            Some(text.get(..end).unwrap_or_default().to_owned())
        };
        DifferingDecision {
            decision: *decision,
            question: question_digest(question, answered, &self.private),
            asked: Asked {
                principal: cut(query.principal.uid().to_string()),
                action: cut(query.action.to_string()),
                resource: cut(query.resource.uid().to_string()),
            },
            revision: answered.revision,
            policy_set: answered.policy_set_digest,
            answered: Answered::of(answered),
            second,
            says: Answered::of(says),
        }
    }

    pub(crate) fn take(&self) -> Vec<(Instant, Act)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was told so far, and what became of it.
    pub fn counts(&self) -> DifferenceCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // What was told is read last: no count is above it.
        let (recorded, dropped) = (count(&self.recorded), count(&self.dropped));
        DifferenceCounts { told: count(&self.told), recorded, dropped }
    }

    fn became(&self, became: Became) {
        let counter = match became {
            Became::Recorded => &self.recorded,
            Became::Dropped => &self.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Brings differences from the lane into the ledger, each once.
#[derive(Debug)]
pub struct DifferenceRecorder<S> {
    lane: Arc<Differences>,
    outbox: Outbox<S>,
}

impl<S: Sequencing> DifferenceRecorder<S> {
    /// Records for a node.
    pub fn new(store: S, lane: Arc<Differences>, actor: Actor, random: fn() -> [u8; 16]) -> Self {
        Self { lane, outbox: Outbox::new(store, actor, random) }
    }

    /// Records all that was told. After an error the rest is kept for the next time; an act that the store refuses is counted
    /// as dropped, and not tried again. Dropped half-way, it goes on where it was.
    pub async fn round(&mut self) -> Result<(), LogError> {
        let Self { lane, outbox } = self;
        let became = |_: &Act, became: Became| lane.became(became);
        for (at, act) in lane.take() {
            outbox.put(at, act, became);
        }
        outbox.empty(became).await
    }
}
