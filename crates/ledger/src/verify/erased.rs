//! Whether the private values that are not there are those that acts say were erased.
//!
//! Acts are in the global log: whoever takes a value away without one, or the act with it, is told. An act that a pinned key
//! signed tells of decisions one by one. Those from before acts were signed tell of decisions by principal, resource and time,
//! and how many; which ones among these, only a copy tells.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_model::Instant;

use super::{Finding, Kind, Verified};
use crate::act::{Act, ActId, ActRecord};
use crate::erasure::SignedErasure;
use crate::note::NoteVerifier;
use crate::record::{IndexColumns, RecordedDecision, holds_commitments};
use crate::sealer::origin;
use crate::selection::Selection;
use crate::stream::{DecisionId, StreamId};

/// Decisions that are kept to be judged again, of one stream.
const KEPT: usize = 100_000;

/// What acts say was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasures {
    /// Who may say so; nobody in particular where no key is pinned at all.
    pinned: Option<Vec<NoteVerifier>>,
    /// Acts that are believed though nobody signed them, each once.
    known: BTreeSet<ActId>,
    /// Places of decisions.
    named: BTreeMap<Said, BTreeMap<StreamId, Stretches>>,
    /// What was asked for, by acts that name no places.
    selected: BTreeSet<(Said, Selection)>,
    /// Of how many decisions acts tell that are believed: signed ones, and others.
    named_count: u64,
    selected_count: u64,
    /// Days that are held, by name, as far as acts were taken.
    holds: BTreeMap<String, Held>,
}

/// How an act is to be taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    /// Why it is not believed, if it is not.
    doubt: Option<&'static str>,
    /// Days that were held when it was said.
    held: Vec<Held>,
}

/// How an act that is believed tells of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Name,
    Selection,
}

const UNTOLD: &str = "no act says that they were erased";
const UNSIGNED: &str = "the act of erasure that tells of them is not signed by a key that is pinned for it";
const REWRAPPED: &str = "the act of erasure that tells of them is not the one that was signed, by whom and when";
const HELD: &str = "the act of erasure that tells of them came while their day was held";

/// Places in a row, by the first: none overlap, and none are next to each other.
type Stretches = BTreeMap<u64, u64>;

/// The first and the last day that is held.
type Held = (i64, Option<i64>);

/// The private values of a stream that are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoneValues {
    erasures: Arc<Erasures>,
    decisions: u64,
    /// Those that only acts tell of that name no places.
    selected: u64,
    /// Those that no act explained, when it was looked: one may have been recorded since.
    unexplained: Vec<Gone>,
    /// More of these than are kept, by why not.
    more: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    id: DecisionId,
    principal: String,
    resource: String,
    at: Instant,
}

impl Erasures {
    /// Acts are believed if one of these keys signed what they say, or they are known; all are where no key is pinned at all,
    /// of nodes neither.
    pub fn new(pinned: &[NoteVerifier], is_pinned: bool, known: BTreeSet<ActId>) -> Self {
        Self { pinned: is_pinned.then(|| pinned.to_vec()), known, ..Self::default() }
    }

    /// Takes the next act.
    pub fn take(&mut self, record: &ActRecord) {
        match &record.act {
            Act::Erasure(signed) => self.erase(record, signed),
            Act::UnsignedErasure { of, decisions, .. } => {
                let is_believed = self.known.remove(&record.id) || self.pinned.is_none();
                let said = self.said((!is_believed).then_some(UNSIGNED));
                self.selected.insert((said, of.clone()));
                let counted = if is_believed { *decisions } else { 0 };
                self.selected_count = self.selected_count.saturating_add(counted);
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

    fn erase(&mut self, record: &ActRecord, signed: &SignedErasure) {
        let doubt = match &self.pinned {
            Some(pinned) if !signed.is_signed_by(pinned) => Some(UNSIGNED),
            Some(_) | None => (!signed.is_of(record)).then_some(REWRAPPED),
        };
        let counted = if doubt.is_none() { signed.erasure.decisions() } else { 0 };
        self.named_count = self.named_count.saturating_add(counted);
        let streams = self.named.entry(self.said(doubt)).or_default();
        for places in &signed.erasure.places {
            insert(streams.entry(places.stream).or_default(), places.first, places.last);
        }
    }

    fn said(&self, doubt: Option<&'static str>) -> Said {
        Said { doubt, held: self.holds.values().copied().collect() }
    }

    /// Of how many decisions, by acts that are believed.
    pub fn decisions(&self) -> u64 {
        self.named_count.saturating_add(self.selected_count)
    }

    /// Of how many of these, by acts that nobody signed.
    pub fn unsigned(&self) -> u64 {
        self.selected_count
    }

    /// Compares with what is gone of all streams. The acts are those that are there when every record was read.
    pub fn judge<'a>(&self, streams: impl Iterator<Item = (StreamId, &'a Verified)>) -> Vec<Finding> {
        let (mut findings, mut selected) = (Vec::new(), 0_u64);
        for (stream, Verified { gone, .. }) in streams {
            selected += gone.selected;
            findings.extend(self.untold(stream, gone, &mut selected));
        }
        let told = self.selected_count;
        if selected > told && findings.is_empty() {
            let why = format!(
                "the private values of {selected} decisions are not there that no signed act names, and acts say that those of {told} were erased"
            );
            let at = "private values".to_owned();
            findings.push(Finding { kind: Kind::Missing, at, records: selected - told, why });
        }
        findings
    }

    /// What no act explains; what only acts do that name no places is counted.
    fn untold(&self, stream: StreamId, gone: &GoneValues, selected: &mut u64) -> Vec<Finding> {
        let mut untold = BTreeMap::<&str, (Option<DecisionId>, u64)>::new();
        for one in &gone.unexplained {
            match self.explain(one) {
                Ok(By::Name) => {}
                Ok(By::Selection) => *selected += 1,
                Err(why) => untold.entry(why).or_insert((Some(one.id), 0)).1 += 1,
            }
        }
        // What was not kept is judged by the acts that were known then, if these are all there are.
        for (why, count) in gone.more.iter().filter(|_| *gone.erasures == *self) {
            untold.entry(why).or_insert((None, 0)).1 += count;
        }
        let finding = |(why, (first, records)): (&str, (Option<DecisionId>, u64))| {
            let at = first.map_or_else(|| origin(stream), |id| id.to_string());
            let why = format!("the private values of {records} decisions are not there, and {why}");
            Finding { kind: Kind::Missing, at, records, why }
        };
        untold.into_iter().map(finding).collect()
    }

    /// How an act explains that values are gone, or why none does.
    fn explain(&self, gone: &Gone) -> Result<By, &'static str> {
        let (day, mut untold) = (gone.at.day(), UNTOLD);
        for (said, streams) in &self.named {
            let is_named = streams.get(&gone.id.stream).is_some_and(|stretches| holds(stretches, gone.id.seq));
            match said.doubt(day) {
                None if is_named => return Ok(By::Name),
                Some(why) if is_named => untold = why,
                None | Some(_) => {}
            }
        }
        for (said, of) in &self.selected {
            let is_meant = of.covers(&gone.principal, &gone.resource, gone.at);
            match said.doubt(day) {
                None if is_meant => return Ok(By::Selection),
                Some(why) if is_meant => untold = why,
                None | Some(_) => {}
            }
        }
        Err(untold)
    }
}

impl Said {
    /// Why it does not explain what is gone of a day, if it does not.
    fn doubt(&self, day: i64) -> Option<&'static str> {
        let is_held = || self.held.iter().any(|(first, last)| day >= *first && last.is_none_or(|last| day <= last));
        self.doubt.or_else(|| is_held().then_some(HELD))
    }
}

fn holds(stretches: &Stretches, seq: u64) -> bool {
    stretches.range(..=seq).next_back().is_some_and(|(_, last)| *last >= seq)
}

/// Adds a stretch, and makes one of those that it touches.
fn insert(stretches: &mut Stretches, mut first: u64, mut last: u64) {
    while let Some((from, to)) = stretches.range(..=last.saturating_add(1)).next_back().map(|(from, to)| (*from, *to)) {
        if to.saturating_add(1) < first {
            break;
        }
        stretches.remove(&from);
        (first, last) = (first.min(from), last.max(to));
    }
    stretches.insert(first, last);
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
            (Ok(By::Name), _) => {}
            (Ok(By::Selection), _) => self.selected += 1,
            (Err(_), true) => self.unexplained.push(gone),
            (Err(why), false) => *self.more.entry(why).or_default() += 1,
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

    /// What no act explains of those that were known when it was looked.
    pub fn untold(&self, stream: StreamId) -> Vec<Finding> {
        self.erasures.untold(stream, self, &mut 0)
    }

    pub(super) fn finding(&self, stream: StreamId) -> Option<Finding> {
        let decisions = self.decisions;
        let why = format!("the private values of {decisions} decisions are not there, only the commitments to them");
        let at = origin(stream);
        (decisions > 0).then_some(Finding { kind: Kind::Erased, at, records: decisions, why })
    }
}
