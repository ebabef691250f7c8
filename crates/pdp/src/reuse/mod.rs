//! Earlier answers, used again where nothing that they came from is another.
//!
//! A question is known by its words, and its answer holds as long as the policy set is the same, none of the entities, roles
//! and grants that it was made from has changed, and time alone cannot change it: then another evaluation would come to the
//! same, and the record of it is that of an evaluation. Not kept: answers of policies that read facts which pass (the time, the
//! age of the data, an address), and those that deny since something is not stored. What is explained is evaluated.
//!
//! A question is kept when it is asked for the second time. A sample of what is used again is evaluated all the same, by
//! whoever compares; a difference ends the use of earlier answers.

mod entry;
mod seen;
mod touched;

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foldhash::quality::RandomState;
use magistrate_model::{Instant, Query, Question, Span, Verdict};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::error::CheckError;
use crate::state::{Decided, View};

use entry::{Asked, Entry, Words};
use seen::Seen;
pub(crate) use touched::Touched;

/// How answers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReuseSettings {
    /// Bytes that earlier answers may take, about; 0: every question is evaluated.
    pub max_bytes: u64,
    /// Entities whose changes are told apart; with more of them, everything counts as changed once.
    pub most_touched: usize,
}

impl Default for ReuseSettings {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024 * 1024, most_touched: 8_192 }
    }
}

impl ReuseSettings {
    /// No answer is used again.
    pub const OFF: Self = Self { max_bytes: 0, most_touched: 0 };
}

/// Earlier answers of one process.
#[derive(Debug)]
pub struct Reuse {
    /// `None` where answers are not used again.
    kept: Option<Kept>,
    /// Cleared by the first answer that was used and would have been another.
    trusted: AtomicBool,
    counts: Counts,
}

#[derive(Debug)]
struct Kept {
    /// By hash of the words: an entry says whose it is, so that questions that share a hash only displace one another.
    entries: Cache<u64, Arc<Entry>, foldhash::fast::RandomState>,
    seen: Seen,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Counts {
    used: AtomicU64,
    absent: AtomicU64,
    changed: AtomicU64,
    expired: AtomicU64,
    compared: AtomicU64,
    differed: AtomicU64,
}

/// Why an earlier answer is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// There is none.
    Absent,
    /// Policies, or what it hangs on, may have changed.
    Changed,
    /// Time may have changed it.
    Expired,
}

/// What became of earlier answers, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReuseVitals {
    /// Decisions that are earlier answers.
    pub used: u64,
    /// Questions that had no earlier answer.
    pub absent: u64,
    /// Those whose earlier answer was made from what may have changed since.
    pub changed: u64,
    /// Those whose earlier answer time may have changed.
    pub expired: u64,
    /// Answers that were used and evaluated all the same, to compare.
    pub compared: u64,
    /// Of which so many differed.
    pub differed: u64,
    /// Answers that are kept.
    pub entries: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeReused {
    /// What was asked, and what is known.
    pub question: Question,
    /// What is answered.
    pub verdict: Verdict,
    /// Whether it is an earlier answer.
    pub is_reused: bool,
}

impl Reuse {
    /// None yet.
    pub fn new(settings: ReuseSettings) -> Self {
        let kept = || Kept {
            entries: Cache::builder()
                .weigher(|_, entry: &Arc<Entry>| entry.weight())
                .max_capacity(settings.max_bytes)
                .eviction_policy(EvictionPolicy::tiny_lfu())
                .build_with_hasher(foldhash::fast::RandomState::default()),
            seen: Seen::default(),
            hasher: RandomState::default(),
        };
        Self { kept: (settings.max_bytes > 0).then(kept), trusted: AtomicBool::new(true), counts: Counts::default() }
    }

    /// The answer of a state to a query at an instant: an earlier one where that is the same. `age` is how long ago the data
    /// was last confirmed.
    pub fn answer(&self, view: &View, query: Query, now: Instant, age: Span) -> Result<MaybeReused, CheckError> {
        let Some(kept) = self.kept.as_ref().filter(|_| !query.explain && self.is_trusted()) else {
            return view.decide(query, now, age).map(MaybeReused::anew);
        };
        let hash = kept.hasher.hash_one(Words::of(&query));
        let found = kept.entries.get(&hash).filter(|entry| entry.is_of(&query));
        let miss = match found.as_ref().map(|entry| entry.holds(view, now).map(|()| entry)) {
            Some(Ok(entry)) => {
                self.counts.used.fetch_add(1, Ordering::Relaxed);
                let (question, verdict) = entry.answer(query, view, now, age);
                return Ok(MaybeReused { question, verdict, is_reused: true });
            }
            Some(Err(miss)) => miss,
            None => Miss::Absent,
        };
        self.counts.of(miss).fetch_add(1, Ordering::Relaxed);
        if !kept.seen.again(hash) {
            return view.decide(query, now, age).map(MaybeReused::anew);
        }
        let asked = Asked::of(&query);
        let decided = view.decide(query, now, age)?;
        if let Some(entry) = Entry::of(asked, &decided) {
            kept.entries.insert(hash, Arc::new(entry));
        }
        Ok(MaybeReused::anew(decided))
    }

    /// Whether no answer that was used was found to be another.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    /// Notes that an answer that was used was evaluated all the same, and whether it came out so. If not, no answer is used
    /// again in this process.
    pub(crate) fn compared(&self, agrees: bool) {
        self.counts.compared.fetch_add(1, Ordering::Relaxed);
        if !agrees {
            self.counts.differed.fetch_add(1, Ordering::Relaxed);
            self.trusted.store(false, Ordering::Relaxed);
            self.kept.iter().for_each(|kept| kept.entries.invalidate_all());
        }
    }

    /// The figures.
    pub fn vitals(&self) -> ReuseVitals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { used, absent, changed, expired, compared, differed } = &self.counts;
        let entries = self.kept.as_ref().map(|kept| &kept.entries);
        entries.into_iter().for_each(Cache::run_pending_tasks);
        ReuseVitals {
            used: count(used),
            absent: count(absent),
            changed: count(changed),
            expired: count(expired),
            compared: count(compared),
            differed: count(differed),
            entries: entries.map_or(0, Cache::entry_count),
            bytes: entries.map_or(0, Cache::weighted_size),
        }
    }
}

impl Counts {
    fn of(&self, miss: Miss) -> &AtomicU64 {
        match miss {
            Miss::Absent => &self.absent,
            Miss::Changed => &self.changed,
            Miss::Expired => &self.expired,
        }
    }
}

impl MaybeReused {
    fn anew(decided: Decided) -> Self {
        Self { question: decided.question, verdict: decided.verdict, is_reused: false }
    }
}

#[cfg(test)]
mod tests;
