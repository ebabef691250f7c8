//! Erasing private values: the records that commit to them stay, and so does everything that was sealed.

use std::future::Future;

use magistrate_ledger::{Act, ActId, ActRecord, DecisionId, Erasure, NoteSigner, Places, SealedAct, Selection};
use magistrate_model::{Actor, Instant};

use crate::history::HistoryError;
use crate::log::LogError;
use crate::retention::Retention;

/// Decisions of one act, at most: so many are erased, all or none, before the next act.
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

    /// Records the act, an [`Act::Erasure`] of exactly these decisions, then erases their private values: all or nothing.
    /// Refused are days that are held, and decisions that have none.
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
    /// Signs each act.
    pub signer: NoteSigner,
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
    #[error(
        "the values of {erased} decisions were erased, then: {why}; what is left can be erased again. An act was signed for it, {act}: whoever keeps the database may have it"
    )]
    Cut {
        /// Of so many decisions before.
        erased: u64,
        /// Why no more.
        why: LogError,
        /// The act that was signed.
        act: ActId,
    },
    /// The store did not clean up.
    #[error("the values of {erased} decisions were erased, then: {why}; run it again")]
    NotCleaned {
        /// Of so many decisions.
        erased: u64,
        /// Why not.
        why: LogError,
    },
}

/// Erases the private values of these decisions, act by act, but for those in days that are held; returns of how many.
pub async fn erase<S: Erasing>(store: &S, of: &Selection, by: &Eraser) -> Result<u64, EraseError> {
    let mut erased = 0;
    loop {
        let mut decisions = store.erasable(of, AT_ONCE).await?;
        if decisions.is_empty() {
            break;
        }
        let act = by.act(of, places_of(&mut decisions)).map_err(EraseError::NoAct)?;
        let done = store.erase(&act, &decisions).await;
        done.map_err(|why| EraseError::Cut { erased, why, act: act.record.id })?;
        erased += decisions.len() as u64;
    }
    // Also where nothing was left to be erased: a run before may have been cut here.
    store.clean().await.map_err(|why| EraseError::NotCleaned { erased, why })?;
    Ok(erased)
}

impl Eraser {
    fn act(&self, of: &Selection, places: Vec<Places>) -> Result<SealedAct, String> {
        let (id, at) = (ActId((self.act_id)()), (self.now)());
        let (of, reason, actor) = (of.clone(), self.reason.clone(), self.actor.clone());
        let erasure = Erasure { act: id, of, places, reason, actor: actor.clone(), at };
        let act = Act::Erasure(Box::new(erasure.sign(&self.signer)));
        ActRecord { id, at, actor, act }.seal().map_err(|why| why.to_string())
    }
}

/// Where these are. What has no room in an act is left for the next one.
fn places_of(decisions: &mut Vec<Erasable>) -> Vec<Places> {
    decisions.sort_by_key(|it| it.id);
    let (mut places, mut taken) = (Vec::<Places>::new(), 0);
    for Erasable { id: DecisionId { stream, seq }, .. } in decisions.iter().copied() {
        let is_full = places.len() == Erasure::MOST_PLACES;
        match places.last_mut() {
            Some(last) if last.stream == stream && last.last + 1 == seq => last.last = seq,
            Some(_) | None if is_full => break,
            Some(_) | None => places.push(Places { stream, first: seq, last: seq }),
        }
        taken += 1;
    }
    decisions.truncate(taken);
    places
}

/// Refuses an act that does not erase exactly these decisions.
pub fn check_names(act: &SealedAct, decisions: &[Erasable]) -> Result<(), LogError> {
    let mut decisions = decisions.to_vec();
    let count = decisions.len();
    let places = places_of(&mut decisions);
    match &act.record.act {
        Act::Erasure(signed) if signed.erasure.places == places && decisions.len() == count => Ok(()),
        Act::Erasure(_) => Err(LogError::Refused("this act does not erase what it names".to_owned())),
        Act::UnsignedErasure { .. }
        | Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Refusal { .. }
        | Act::Hold { .. }
        | Act::Refused(_)
        | Act::Difference(_) => Err(LogError::Refused("this act erases nothing".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use magistrate_ledger::StreamId;

    use super::*;

    fn at(stream: u8, seq: u64) -> Erasable {
        Erasable { day: 1, id: DecisionId { stream: StreamId::new([stream; 16]), seq } }
    }

    #[test]
    fn decisions_in_a_row_are_one_stretch() {
        let mut decisions = vec![at(2, 9), at(1, 5), at(1, 3), at(2, 10), at(1, 4)];
        let places = |stream, first, last| Places { stream: StreamId::new([stream; 16]), first, last };
        assert_eq!(places_of(&mut decisions), [places(1, 3, 5), places(2, 9, 10)]);
        assert_eq!(decisions, [at(1, 3), at(1, 4), at(1, 5), at(2, 9), at(2, 10)]);
    }

    /// What is left is found again, and has an act of its own.
    #[test]
    fn decisions_that_have_no_room_in_an_act_are_left() {
        let mut decisions: Vec<Erasable> = (0..600).rev().map(|n| at(1, 2 * n + 1)).collect();
        let places = places_of(&mut decisions);
        assert_eq!((places.len(), decisions.len(), decisions.last()), (512, 512, Some(&at(1, 1_023))));
    }
}
