//! Whether the private values that are not there are those that acts say were erased.
//!
//! Acts are in the global log: whoever takes a value away without one, or the act with it, is told. What acts tell of are
//! decisions by principal, resource and time, and how many; which ones among these, only a copy tells.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_model::Instant;

use super::{Finding, Kind, Verified};
use crate::act::{Act, ActRecord};
use crate::record::{IndexColumns, RecordedDecision, holds_commitments};
use crate::sealer::origin;
use crate::selection::Selection;
use crate::stream::{DecisionId, StreamId};

/// Decisions that are kept to be judged again, of one stream.
const KEPT: usize = 100_000;

/// What acts say was erased.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Erasures {
    /// With the days that were held when it was said.
    selections: BTreeSet<(Selection, Vec<Held>)>,
    decisions: u64,
    /// Days that are held, by name, as far as acts were taken.
    holds: BTreeMap<String, Held>,
}

/// The first and the last day that is held.
type Held = (i64, Option<i64>);

/// The private values of a stream that are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoneValues {
    erasures: Arc<Erasures>,
    decisions: u64,
    /// Those that no act told of, when it was looked: one may have been recorded since.
    unexplained: Vec<Gone>,
    /// More of these than are kept.
    more: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    id: DecisionId,
    principal: String,
    resource: String,
    at: Instant,
}

impl Erasures {
    /// Takes the next act.
    pub fn take(&mut self, record: &ActRecord) {
        match &record.act {
            Act::Erasure { of, decisions, .. } => {
                self.selections.insert((of.clone(), self.holds.values().copied().collect()));
                self.decisions = self.decisions.saturating_add(*decisions);
            }
            Act::Hold { name, released: true, .. } => drop(self.holds.remove(name)),
            Act::Hold { name, first, last, .. } => drop(self.holds.insert(name.clone(), (*first, *last))),
            Act::Access { .. }
            | Act::Enrolment { .. }
            | Act::Retention(_)
            | Act::Refusal { .. }
            | Act::Refused(_)
            | Act::Difference(_) => {}
        }
    }

    /// Of how many decisions.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Compares with what is gone of all streams. The acts are those that are there when every record was read.
    pub fn judge<'a>(&self, streams: impl Iterator<Item = (StreamId, &'a Verified)>) -> Vec<Finding> {
        let (mut findings, mut gone) = (Vec::new(), 0_u64);
        for (stream, Verified { gone: of, .. }) in streams {
            gone += of.decisions;
            let mut untold = of.unexplained.iter().filter(|gone| !self.explain(gone)).peekable();
            let first = untold.peek().map(|first| first.id.to_string());
            // What was not kept is judged by the acts that were known then, if these are all there are.
            let more = if *of.erasures == *self { of.more } else { 0 };
            let untold = untold.count() as u64 + more;
            if untold > 0 {
                let at = first.unwrap_or_else(|| origin(stream));
                let why = format!(
                    "the private values of {untold} decisions are not there, and no act says that they were erased"
                );
                findings.push(Finding { kind: Kind::Missing, at, records: untold, why });
            }
        }
        let told = self.decisions;
        if gone > told && findings.is_empty() {
            let why = format!(
                "the private values of {gone} decisions are not there, and acts say that those of {told} were erased"
            );
            findings.push(Finding { kind: Kind::Missing, at: "private values".to_owned(), records: gone - told, why });
        }
        findings
    }

    fn explain(&self, gone: &Gone) -> bool {
        let day = gone.at.day();
        let is_held =
            |held: &[Held]| held.iter().any(|(first, last)| day >= *first && last.is_none_or(|last| day <= last));
        let mut all = self.selections.iter();
        all.any(|(of, held)| of.covers(&gone.principal, &gone.resource, gone.at) && !is_held(held))
    }
}

impl GoneValues {
    pub(super) fn under(erasures: Arc<Erasures>) -> Self {
        Self { erasures, ..Self::default() }
    }

    /// Of how many decisions.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Notes a decision, if its values are not there.
    pub(super) fn take(&mut self, decision: &RecordedDecision) {
        if decision.erased.is_empty() {
            return;
        }
        self.decisions += 1;
        let IndexColumns { principal, resource, .. } = IndexColumns::of(&decision.record);
        let gone = Gone { id: decision.id, principal, resource, at: decision.recorded_at };
        match (self.erasures.explain(&gone), self.unexplained.len() < KEPT) {
            (true, _) => {}
            (false, true) => self.unexplained.push(gone),
            (false, false) => self.more += 1,
        }
    }

    /// Notes a record of which there are its bytes alone, if it commits to values and no opening is beside it; says why an
    /// opening is not the record's. Whether acts tell of it cannot be asked where there are none.
    pub(super) fn unless_opened(&mut self, id: DecisionId, bytes: &[u8], opening: Option<&[u8]>) -> Result<(), String> {
        match opening {
            None => {
                self.decisions += u64::from(holds_commitments(bytes));
                Ok(())
            }
            Some(opening) => {
                // Bytes that are no record are told as such.
                let Ok(decision) = RecordedDecision::decode(id, bytes) else { return Ok(()) };
                decision.open(opening).map(drop).map_err(|why| format!("its opening does not fit: {why}"))
            }
        }
    }

    pub(super) fn finding(&self, stream: StreamId) -> Option<Finding> {
        let decisions = self.decisions;
        let why = format!("the private values of {decisions} decisions are not there, only the commitments to them");
        let at = origin(stream);
        (decisions > 0).then_some(Finding { kind: Kind::Erased, at, records: decisions, why })
    }
}
