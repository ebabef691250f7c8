//! Taking whole days out of a store: which ones may go, what stays for the sake of the others, and what keeps them in it.

mod plan;

use std::future::Future;

use magistrate_ledger::{Act, DecisionId, SealedAct, StreamId};

pub use plan::{Covering, DayPlan, Keeping, NotCovered, covering, plan_day};

use crate::history::HistoryError;
use crate::log::LogError;

/// A UTC day of which there are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredDay {
    /// Counted from 1970-01-01.
    pub day: i64,
    /// Whether it is held.
    pub held: bool,
}

/// What there is of a stream on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOfDay {
    /// The stream.
    pub stream: StreamId,
    /// The first place.
    pub first: u64,
    /// The last place.
    pub last: u64,
    /// How many records.
    pub records: u64,
}

/// Days that are held, or were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name, used once.
    pub name: String,
    /// The first day, counted from 1970-01-01.
    pub first: i64,
    /// The last day; none for all to come.
    pub last: Option<i64>,
    /// Whether it was released.
    pub released: bool,
}

/// A day that goes.
#[derive(Debug, Clone)]
pub struct DayExpiry {
    /// The day, counted from 1970-01-01.
    pub day: i64,
    /// How many records it has.
    pub records: u64,
    /// The acts that say so: at least one.
    pub acts: Vec<SealedAct>,
    /// How many entries the checkpoint of the global log covers that the headers over them lie under.
    pub covered: u64,
    /// Records whose leaves stay: others are verified with these.
    pub kept: Vec<DecisionId>,
}

/// A store from which days are taken out, and in which they are held. Its login may do so.
pub trait Retention: Send + Sync + 'static {
    /// Every day of which there are records, the oldest first.
    fn days(&self) -> impl Future<Output = Result<Vec<StoredDay>, HistoryError>> + Send;

    /// The streams of a day.
    fn streams_of_day(&self, day: i64) -> impl Future<Output = Result<Vec<StreamOfDay>, HistoryError>> + Send;

    /// Every hold, by name.
    fn holds(&self) -> impl Future<Output = Result<Vec<Hold>, HistoryError>> + Send;

    /// Holds days, or releases a hold, with the act that says so: an [`Act::Hold`]. A name is used once.
    fn hold(&self, act: &SealedAct) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Takes a day out: first the acts, then the records, all in one transaction. Refused are days that are held, that are
    /// not over for a whole day, of which there is another number of records, and such with a record that neither lies under
    /// a covered header nor leaves its leaf.
    fn expire(&self, expiry: &DayExpiry) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// What an act of holding says, for the row of a store.
pub type HoldRow<'a> = (&'a str, i64, Option<i64>, bool);

/// Reads such an act; another one is refused.
pub fn hold_of(act: &SealedAct) -> Result<HoldRow<'_>, LogError> {
    match &act.record.act {
        Act::Hold { name, first, last, released, .. } => Ok((name, *first, *last, *released)),
        Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Refusal { .. }
        | Act::Refused(_)
        | Act::Erasure(_)
        | Act::UnsignedErasure { .. }
        | Act::Difference(_) => Err(LogError::Refused("this act holds no days".to_owned())),
    }
}
