//! Verifying one stream.

use std::collections::VecDeque;
use std::sync::Arc;

use magistrate_model::{Digest, Instant, Span};

use super::chain::{HeaderChain, Link};
use super::erased::{Erasures, GoneValues};
use super::expired::ExpiredPlaces;
use super::{Finding, Kind};
use crate::header::{Covered, LeftStream};
use crate::merkle::Tree;
use crate::record::{InvalidRecord, SealedRecord};
use crate::sealer::origin;
use crate::stored::{StoredDecision, StoredHeader};
use crate::stream::DecisionId;

mod gaps;

use gaps::MissingPlaces;

/// A stream that said nothing for longer than this is silent: it says something every minute, and ships within seconds.
const SILENT_AFTER: Span = Span::seconds(180);

/// Verifies one stream: first its headers, then its records in the order of their places, with the headers over them once
/// more.
///
/// It holds a page of headers at a time. Before a record is taken, [`StreamVerifier::wants`] says whether those over it are
/// still to be given, and so before the end.
#[derive(Debug)]
pub struct StreamVerifier {
    chain: HeaderChain,
    /// Headers whose records are to be read, with their numbers, and how far they were given.
    window: VecDeque<(u64, Covered)>,
    again: Link,
    /// What was read of the first of these.
    leaves: Tree,
    /// A record of that header is missing, or not known: its root cannot be compared.
    broken: bool,
    last_seq: u64,
    /// Records behind the last header.
    tail: u64,
    not_covered: u64,
    records: u64,
    /// What a later run says of how this one ended, and what was read of the records it says it found.
    left: Option<LeftStream>,
    told: Tree,
    /// What retention took out, and how much of it was passed over.
    expired: ExpiredPlaces,
    passed: u64,
    /// The places that are missing and were passed over last.
    missing: Option<MissingPlaces>,
    gone: GoneValues,
    findings: Vec<Finding>,
}

impl StreamVerifier {
    /// Goes on with records, once every header was taken.
    pub fn new(chain: HeaderChain) -> Self {
        Self {
            window: VecDeque::new(),
            again: chain.start(),
            leaves: Tree::default(),
            broken: false,
            last_seq: 0,
            tail: 0,
            not_covered: 0,
            records: 0,
            left: None,
            told: Tree::default(),
            expired: ExpiredPlaces::default(),
            passed: 0,
            missing: None,
            gone: GoneValues::default(),
            findings: chain.findings(),
            chain,
        }
    }

    /// Its headers, as they were taken before.
    pub fn chain(&self) -> &HeaderChain {
        &self.chain
    }

    /// Behind which header more of them are wanted before what lies at this place, if any are; [`u64::MAX`] is the end. No
    /// record may be left before it: what should lie there is missing.
    pub fn wants(&mut self, seq: u64) -> Option<u64> {
        if !self.lacks(seq) {
            return None;
        }
        let end = self.window.back().map_or(0, |(_, covers)| covers.next_seq());
        if self.last_seq + 1 < end {
            self.skip_to(end);
            self.last_seq = end - 1;
        }
        self.settle_empty();
        Some(self.again.number)
    }

    /// Takes the next headers by number, once more. They must be those that were taken before.
    pub fn headers(&mut self, rows: &[StoredHeader]) {
        let end = self.chain.headers();
        let changed = |at: u64| Finding {
            kind: Kind::Altered,
            at: format!("header {at} of {}", self.chain.stream),
            records: 0,
            why: "it changed, or was taken away, while the stream was verified".to_owned(),
        };
        let mut outcome = if rows.is_empty() { Err(changed(self.again.number + 1)) } else { Ok(()) };
        for row in rows {
            if self.again.number == end || outcome.is_err() {
                break;
            }
            match self.again.take(row) {
                Ok(sealed) => self.window.push_back((self.again.number, sealed.header.covers)),
                Err(finding) => outcome = Err(finding),
            }
        }
        // The last one commits to all before.
        if outcome.is_ok() && self.again.number == end && self.again != self.chain.link {
            outcome = Err(changed(end));
        }
        if let Err(finding) = outcome {
            self.findings.push(finding);
            self.again = self.chain.link.clone();
        }
    }

    /// How many headers it holds.
    pub fn at_hand(&self) -> usize {
        self.window.len()
    }

    /// Whether headers over this place were not given, and there are some.
    fn lacks(&self, seq: u64) -> bool {
        self.again.number < self.chain.headers()
            && self.window.back().is_none_or(|(_, covers)| covers.next_seq() <= seq)
    }

    /// What was not given is not there.
    fn must_have(&mut self, seq: u64) {
        if self.lacks(seq) {
            self.headers(&[]);
        }
    }

    /// What is sealed of the records around a place, among the headers at hand.
    pub fn under(&self, seq: u64) -> Option<Covered> {
        self.window.iter().find(|(_, covers)| covers.next_seq() > seq).map(|(_, covers)| *covers)
    }

    /// Takes what acts say was erased; before any record.
    pub fn erasures(&mut self, erasures: Arc<Erasures>) {
        self.gone = GoneValues::under(erasures);
    }

    /// Takes what a later run says of how this one ended; before any record. The header that it found last must have been
    /// asked for.
    pub fn told(&mut self, left: LeftStream) {
        self.left = Some(left);
    }

    /// Takes what retention took out; before any record.
    pub fn expired(&mut self, expired: ExpiredPlaces) {
        self.expired = expired;
    }

    /// Takes the next record by place, as a store keeps it: it must be its one canonical form, and its columns must say what
    /// it says.
    pub fn record(&mut self, row: &StoredDecision) {
        let read = row.decode().inspect(|decision| self.gone.take(decision));
        let read = read.map(|decision| decision.leaf).map_err(|damaged| {
            let kind = match row.misplaced() {
                Some(InvalidRecord::Misplaced { .. }) => Kind::Reordered,
                Some(InvalidRecord::Format(_) | InvalidRecord::NotCanonical) | None => Kind::Altered,
            };
            (kind, damaged.why)
        });
        self.take(row.seq(), read);
    }

    /// Takes the next record by place, of which there are its bytes alone. That they are those that were sealed is what
    /// headers tell; they are read as far as stores index them. An opening that is there must be the record's.
    pub fn bytes(&mut self, seq: u64, bytes: Vec<u8>, opening: Option<&[u8]>) {
        let id = DecisionId { stream: self.chain.stream, seq };
        if let Err(why) = self.gone.unless_opened(id, &bytes, opening) {
            self.find(Kind::Altered, id.to_string(), 1, why);
        }
        let read = SealedRecord::read(id, bytes, None).map(|record| record.leaf).map_err(|why| {
            let kind = match why {
                InvalidRecord::Misplaced { .. } => Kind::Reordered,
                InvalidRecord::Format(_) | InvalidRecord::NotCanonical => Kind::Altered,
            };
            (kind, why.to_string())
        });
        self.take(seq, read);
    }

    fn take(&mut self, seq: u64, read: Result<Digest, (Kind, String)>) {
        let at = format!("{}-{seq}", self.chain.stream);
        self.records += 1;
        self.must_have(seq);
        if seq <= self.last_seq {
            return self.find(Kind::Reordered, at, 1, "two records lie at this place".to_owned());
        }
        self.skip_to(seq);
        self.last_seq = seq;
        let leaf = match read {
            Ok(leaf) => Some(leaf),
            Err((kind, why)) => {
                self.find(kind, at, 1, why);
                None
            }
        };
        self.compare_told(seq, leaf);
        if self.window.is_empty() {
            self.tail += 1;
            return;
        }
        match leaf {
            Some(leaf) => self.leaves.push(leaf),
            // Its place is taken, and what its leaf was is not known.
            None => self.broken = true,
        }
        self.advance(seq);
    }

    /// Headers that cover nothing are passed over.
    fn settle_empty(&mut self) {
        while self.window.front().is_some_and(|(_, covers)| covers.count == 0) {
            self.window.pop_front();
        }
    }

    /// The place was read: if it was the last of its header, what was read is compared with what was sealed.
    fn advance(&mut self, seq: u64) {
        self.settle_empty();
        let Some((number, covers)) = self.window.front().copied() else { return };
        if seq + 1 < covers.next_seq() {
            return;
        }
        let leaves = std::mem::take(&mut self.leaves);
        let whole = !std::mem::take(&mut self.broken);
        if whole && leaves.root() != covers.root {
            let at = format!("{}-{}", self.chain.stream, covers.first_seq);
            let last = covers.next_seq() - 1;
            let why = format!(
                "the records from this place to {last} are not those that header {number} was made over; which of them is not, only a copy tells"
            );
            self.find(Kind::Altered, at, covers.count, why);
        }
        if number > self.chain.covered {
            self.not_covered += covers.count;
        }
        self.window.pop_front();
        self.settle_empty();
    }

    /// Leaves out headers that end before this place, which was asked for, and returns the first place under the one where it
    /// lies: only records from there on are taken.
    pub fn begin_at(&mut self, seq: u64) -> u64 {
        self.again = self.chain.before(seq);
        let first = self.again.next_seq;
        self.last_seq = first.saturating_sub(1);
        first
    }

    /// Records up to this place were taken, from [`StreamVerifier::begin_at`] on: what was found of these, and what of their
    /// private values no act explains that was given before.
    pub fn stop(mut self, last: u64) -> Vec<Finding> {
        self.must_have(last);
        if self.last_seq < last {
            self.skip_to(last + 1);
        }
        self.findings.extend(self.gone.untold(self.chain.stream));
        self.findings
    }

    /// All records were taken; `last_place` is the last place that the store says it had.
    pub fn finish(mut self, last_place: u64, now: Instant) -> Verified {
        self.must_have(u64::MAX);
        let end = self.chain.link.next_seq.max(last_place.saturating_add(1));
        if self.last_seq + 1 < end {
            self.skip_to(end);
        }
        self.compare_left();
        if self.passed > 0 {
            let why = format!("{} records were taken out by retention, as signed acts say", self.passed);
            self.find(Kind::Expired, origin(self.chain.stream), self.passed, why);
        }
        // What a later run sealed when it began is its business.
        let told = self.left.as_ref().map_or(0, |left| left.unsealed.count);
        let uncovered = self.not_covered + self.tail.saturating_sub(told);
        if uncovered > 0 {
            let at = origin(self.chain.stream);
            let why = format!(
                "{uncovered} records lie behind the newest checkpoint: only the chain of this store speaks for them"
            );
            self.find(Kind::NotCovered, at, uncovered, why);
        }
        self.findings.extend(self.gone.finding(self.chain.stream));
        self.look_for_silence(now);
        Verified {
            records: self.records,
            headers: self.chain.headers(),
            covered: self.chain.covered,
            gone: self.gone,
            findings: self.findings,
        }
    }

    fn look_for_silence(&mut self, now: Instant) {
        let last = self.chain.last_made_at;
        let ended = self.chain.link.closed || self.left.is_some();
        let silent = last.is_none_or(|last| now.since(last) > SILENT_AFTER);
        if ended || !silent || (self.records == 0 && last.is_none()) {
            return;
        }
        let since = last.map_or("it has no header".to_owned(), |last| format!("it said nothing since {last}"));
        let why = format!(
            "{since}, and did not end; find out what became of its node, and whether its journal is still there"
        );
        self.find(Kind::Silent, origin(self.chain.stream), 0, why);
    }

    /// Records that a later run says it found behind the last header that it found. The store may have had more headers, and
    /// more records, than a journal whose disk lost its newest part.
    fn compare_told(&mut self, seq: u64, leaf: Option<Digest>) {
        let Some(left) = &self.left else { return };
        let is_told = seq >= left.unsealed.first_seq
            && self.told.size() < left.unsealed.count
            && !left.lost.iter().any(|lost| lost.contains(&seq));
        if is_told && let Some(leaf) = leaf {
            self.told.push(leaf);
        }
    }

    fn compare_left(&mut self) {
        if self.chain.link.closed && self.tail > 0 && self.left.is_none() {
            let why = format!("{} records lie behind the stream's last word: somebody added them", self.tail);
            self.find(Kind::Altered, origin(self.chain.stream), self.tail, why);
        }
        let Some(left) = self.left.clone() else { return };
        if left.last_header.as_ref().is_some_and(|hash| !self.chain.has(hash)) {
            let why = "the header that the next run found at the end of this stream is not there".to_owned();
            self.find(Kind::Forked, origin(self.chain.stream), 0, why);
        }
        let (count, found) = (left.unsealed.count, self.told.size());
        let at = format!("{}-{}", self.chain.stream, left.unsealed.first_seq);
        if found < count {
            let why = format!("the next run found {count} records from this place on, and {found} of them are there");
            self.find(Kind::Missing, at, count - found, why);
        } else if self.told.root() != left.unsealed.root {
            let why = format!("the {count} records from this place on are not those that the next run found");
            self.find(Kind::Altered, at, count, why);
        }
    }

    fn find(&mut self, kind: Kind, at: String, records: u64, why: String) {
        self.findings.push(Finding { kind, at, records, why });
    }
}

/// What was found of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records read.
    pub records: u64,
    /// Headers that follow each other.
    pub headers: u64,
    /// How many of them checkpoints cover.
    pub covered: u64,
    /// The private values that are not there.
    pub gone: GoneValues,
    /// What was found, in the order it was.
    pub findings: Vec<Finding>,
}
