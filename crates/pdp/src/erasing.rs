//! Erasing private values: the records that commit to them stay, and so does everything that was sealed.

use std::future::Future;

use magistrate_ledger::{Act, ActId, ActRecord, DecisionId, SealedAct, Selection};
use magistrate_model::{Actor, Instant};

use crate::history::HistoryError;
use crate::log::LogError;
use crate::retention::Retention;

/// Decisions of one act: so many are erased, all or none, before the next act.
pub const AT_ONCE: u32 = 1_000;

/// A decision whose private values can be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasable {
    /// Its UTC day, counted from 1970-01-01.
    pub day: i64,
    /// Which one.
    pub id: DecisionId,
}

/// How many decisions have private values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasableCount {
    /// In days that nobody holds.
    pub erasable: u64,
    /// In days that are held.
    pub held: u64,
}

/// A store in which private values are erased. Its login may do so.
pub trait Erasing: Send + Sync + 'static {
    /// How many of these decisions have private values.
    fn count_erasable(&self, of: &Selection) -> impl Future<Output = Result<ErasableCount, HistoryError>> + Send;

    /// Such decisions in days that nobody holds, at most so many.
    fn erasable(&self, of: &Selection, limit: u32) -> impl Future<Output = Result<Vec<Erasable>, HistoryError>> + Send;

    /// Records the act, then erases the private values of these decisions: all or nothing. Refused are days that are held,
    /// and decisions that have none.
    fn erase(&self, act: &SealedAct, decisions: &[Erasable]) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Brings what was erased out of files that still have it, as far as the store can.
    fn clean(&self) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// How many of these decisions have private values, counted day by day: each statement is over one.
pub async fn count_erasable<S: Erasing + Retention>(store: &S, of: &Selection) -> Result<ErasableCount, HistoryError> {
    let mut all = ErasableCount::default();
    for day in store.days().await? {
        let Some(of) = of.on_day(day.day) else { continue };
        let ErasableCount { erasable, held } = store.count_erasable(&of).await?;
        all.erasable = all.erasable.saturating_add(erasable);
        all.held = all.held.saturating_add(held);
    }
    Ok(all)
}

/// Who erases, and why.
#[derive(Debug, Clone)]
pub struct Eraser {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: String,
    /// Gives a fresh name for each act.
    pub act_id: fn() -> [u8; 16],
    /// Tells the time.
    pub now: fn() -> Instant,
}

/// Private values were not erased, or not all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraseError {
    /// Which ones there are could not be read.
    #[error(transparent)]
    Unread(#[from] HistoryError),
    /// The act says too much.
    #[error("this cannot be recorded, so nothing is erased: {0}")]
    NoAct(String),
    /// The store did not do it.
    #[error("the values of {erased} decisions were erased, then: {why}; what is left can be erased again")]
    Cut {
        /// Of so many decisions before.
        erased: u64,
        /// Why no more.
        why: LogError,
    },
}

/// Erases the private values of these decisions, act by act, but for those in days that are held; returns of how many.
pub async fn erase<S: Erasing>(store: &S, of: &Selection, by: &Eraser) -> Result<u64, EraseError> {
    let mut erased = 0;
    loop {
        let decisions = store.erasable(of, AT_ONCE).await?;
        if decisions.is_empty() {
            break;
        }
        let act = by.act(of, decisions.len() as u64).map_err(EraseError::NoAct)?;
        store.erase(&act, &decisions).await.map_err(|why| EraseError::Cut { erased, why })?;
        erased += decisions.len() as u64;
    }
    // Also where nothing was left to be erased: a run before may have been cut here.
    store.clean().await.map_err(|why| EraseError::Cut { erased, why })?;
    Ok(erased)
}

impl Eraser {
    fn act(&self, of: &Selection, decisions: u64) -> Result<SealedAct, String> {
        let act = Act::Erasure { of: of.clone(), reason: self.reason.clone(), decisions };
        let record = ActRecord { id: ActId((self.act_id)()), at: (self.now)(), actor: self.actor.clone(), act };
        record.seal().map_err(|why| why.to_string())
    }
}
