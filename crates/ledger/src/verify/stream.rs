//! Verifying one stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use magistrate_model::{Digest, Instant, Span};

use super::erased::{Erasures, GoneValues};
use super::expired::ExpiredPlaces;
use super::{Finding, Kind, Trusted};
use crate::header::{LeftStream, Opening, Says, SealedHeader};
use crate::merkle::Tree;
use crate::record::{InvalidRecord, SealedRecord};
use crate::sealer::origin;
use crate::stored::{StoredDecision, StoredHeader};
use crate::stream::{DecisionId, StreamId};

mod gaps;

/// A stream that said nothing for longer than this is silent: it says something every minute, and ships within seconds.
const SILENT_AFTER: Span = Span::seconds(180);

/// Verifies one stream: first its headers, then its records in the order of their places.
#[derive(Debug)]
pub struct StreamVerifier {
    stream: StreamId,
    headers: Vec<SealedHeader>,
    /// The last header that checkpoints cover.
    covered: u64,
    /// The header whose records are being read, and what was read of them.
    at: usize,
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
    gone: GoneValues,
    findings: Vec<Finding>,
}

impl StreamVerifier {
    /// Takes the headers of a stream, and the checkpoints that are believed.
    pub fn new(stream: StreamId, stored: &[StoredHeader], trusted: &Trusted) -> Self {
        let mut verifier = Self {
            stream,
            headers: Vec::new(),
            covered: 0,
            at: 0,
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
            gone: GoneValues::default(),
            findings: Vec::new(),
        };
        verifier.chain(stored);
        verifier.compare(trusted);
        verifier
    }

    /// What the stream's first header says of earlier ones, and when. Where keys are pinned, only a header that a checkpoint
    /// covers is believed: else whoever can write to the store could excuse what is missing.
    pub fn tellings(&self, trusted: &Trusted) -> Vec<(Instant, LeftStream)> {
        let Some(first) = self.headers.first().filter(|_| self.covered > 0 || !trusted.has_keys()) else {
            return Vec::new();
        };
        match &first.header.says {
            Says::Opens(opening) => opening.left.iter().map(|left| (first.header.made_at, left.clone())).collect(),
            Says::Continues | Says::Closes => Vec::new(),
        }
    }

    /// The hashes of its headers, as far as they follow each other.
    pub fn header_hashes(&self) -> Vec<Digest> {
        self.headers.iter().map(|header| header.hash).collect()
    }

    /// Who opened it, and when.
    pub fn opening(&self) -> Option<(&Opening, Instant)> {
        self.headers.first().and_then(|first| match &first.header.says {
            Says::Opens(opening) => Some((opening, first.header.made_at)),
            Says::Continues | Says::Closes => None,
        })
    }

    /// Takes what acts say was erased; before any record.
    pub fn erasures(&mut self, erasures: Arc<Erasures>) {
        self.gone = GoneValues::under(erasures);
    }

    /// Takes what a later run says of how this one ended; before any record.
    pub fn told(&mut self, left: LeftStream) {
        self.left = Some(left);
    }

    /// Takes what retention took out; before any record.
    pub fn expired(&mut self, expired: ExpiredPlaces) {
        self.expired = expired;
    }

    /// Every header must follow the one before; from the first that does not, nothing is sealed.
    fn chain(&mut self, stored: &[StoredHeader]) {
        let (mut previous, mut next_seq) = (Digest::ZERO, 1);
        for row in stored {
            let closed = self.headers.last().is_some_and(|last| last.header.says == Says::Closes);
            let number = self.headers.len() as u64 + 1;
            let at = format!("header {number} of {}", self.stream);
            let sealed = match row.decode() {
                _ if u64::try_from(row.number).is_ok_and(|found| found > number) => {
                    return self.find(Kind::Missing, at, 0, format!("the next one there is header {}", row.number));
                }
                Ok(sealed) => sealed,
                Err(why) => return self.find(Kind::Altered, at, 0, why),
            };
            let header = &sealed.header;
            let opens = matches!(header.says, Says::Opens(_));
            if header.stream != self.stream || header.number != number || opens != (number == 1) {
                return self.find(Kind::Reordered, at, 0, "another header lies there".to_owned());
            }
            if closed {
                let why = "the header before it was the stream's last word: somebody added this one".to_owned();
                return self.find(Kind::Altered, at, 0, why);
            }
            if header.previous != previous || header.covers.first_seq != next_seq {
                let why = "it does not follow the header before it: one of them was replaced".to_owned();
                return self.find(Kind::Altered, at, 0, why);
            }
            (previous, next_seq) = (sealed.hash, header.covers.next_seq());
            self.headers.push(sealed);
        }
    }

    /// Checkpoints are over the headers that are there, or over others.
    fn compare(&mut self, trusted: &Trusted) {
        let origin = origin(self.stream);
        let Some(checkpoints) = trusted.checkpoints.get(&origin) else { return };
        let mut roots = BTreeMap::from([(0, Tree::default().root())]);
        let mut tree = Tree::default();
        for header in &self.headers {
            tree.push(header.hash);
            if checkpoints.contains_key(&tree.size()) {
                roots.insert(tree.size(), tree.root());
            }
        }
        for (size, root) in checkpoints {
            match roots.get(size) {
                Some(found) if found == root => self.covered = self.covered.max(*size),
                Some(_) => {
                    let why = format!(
                        "the first {size} headers are not those that the checkpoint is over: this is another history"
                    );
                    self.find(Kind::Forked, origin.clone(), 0, why);
                    return;
                }
                None => {
                    let why = format!(
                        "a checkpoint covers {size} headers, and {} follow each other here",
                        self.headers.len()
                    );
                    self.find(Kind::RolledBack, origin.clone(), 0, why);
                    return;
                }
            }
        }
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
        let id = DecisionId { stream: self.stream, seq };
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
        let at = format!("{}-{seq}", self.stream);
        self.records += 1;
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
        if self.headers.get(self.at).is_none() {
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
        while self.headers.get(self.at).is_some_and(|header| header.header.covers.count == 0) {
            self.at += 1;
        }
    }

    /// The place was read: if it was the last of its header, what was read is compared with what was sealed.
    fn advance(&mut self, seq: u64) {
        self.settle_empty();
        let Some(header) = self.headers.get(self.at).map(|it| &it.header) else { return };
        if seq + 1 < header.covers.next_seq() {
            return;
        }
        let (number, covers) = (header.number, header.covers);
        let leaves = std::mem::take(&mut self.leaves);
        let whole = !std::mem::take(&mut self.broken);
        if whole && leaves.root() != covers.root {
            let at = format!("{}-{}", self.stream, covers.first_seq);
            let last = covers.next_seq() - 1;
            let why = format!(
                "the records from this place to {last} are not those that header {number} was made over; which of them is not, only a copy tells"
            );
            self.find(Kind::Altered, at, covers.count, why);
        }
        if number > self.covered {
            self.not_covered += covers.count;
        }
        self.at += 1;
        self.settle_empty();
    }

    /// Leaves out headers that end before this place, and returns the first place under the one where it lies: only records
    /// from there on are taken.
    pub fn begin_at(&mut self, seq: u64) -> u64 {
        self.at = self.headers.partition_point(|header| header.header.covers.next_seq() <= seq);
        let tail = self.headers.last().map_or(1, |last| last.header.covers.next_seq());
        let first = self.headers.get(self.at).map_or(tail, |header| header.header.covers.first_seq);
        self.last_seq = first.saturating_sub(1);
        first
    }

    /// The last header over records up to this place, and the last place under it; none where it lies behind all headers.
    pub fn over(&self, seq: u64) -> Option<(&SealedHeader, u64)> {
        let header = self.headers.iter().find(|it| it.header.covers.next_seq() > seq)?;
        Some((header, header.header.covers.next_seq() - 1))
    }

    /// Records up to this place were taken, from [`StreamVerifier::begin_at`] on: what was found of these.
    pub fn stop(mut self, last: u64) -> Vec<Finding> {
        if self.last_seq < last {
            self.skip_to(last + 1);
        }
        self.findings
    }

    /// All records were taken; `last_place` is the last place that the store says it had.
    pub fn finish(mut self, last_place: u64, now: Instant) -> Verified {
        let sealed = self.headers.last().map_or(1, |last| last.header.covers.next_seq());
        let end = sealed.max(last_place.saturating_add(1));
        if self.last_seq + 1 < end {
            self.skip_to(end);
        }
        self.compare_left();
        if self.passed > 0 {
            let why = format!("{} records were taken out by retention, as signed acts say", self.passed);
            self.find(Kind::Expired, origin(self.stream), self.passed, why);
        }
        // What a later run sealed when it began is its business.
        let told = self.left.as_ref().map_or(0, |left| left.unsealed.count);
        let uncovered = self.not_covered + self.tail.saturating_sub(told);
        if uncovered > 0 {
            let at = origin(self.stream);
            let why = format!(
                "{uncovered} records lie behind the newest checkpoint: only the chain of this store speaks for them"
            );
            self.find(Kind::NotCovered, at, uncovered, why);
        }
        self.findings.extend(self.gone.finding(self.stream));
        let last = self.headers.last().map(|last| &last.header);
        let ended = last.is_some_and(|last| last.says == Says::Closes) || self.left.is_some();
        let silent = last.is_none_or(|last| now.since(last.made_at) > SILENT_AFTER);
        if !ended && silent && (self.records > 0 || last.is_some()) {
            let since =
                last.map_or("it has no header".to_owned(), |last| format!("it said nothing since {}", last.made_at));
            self.find(
                Kind::Silent,
                origin(self.stream),
                0,
                format!(
                    "{since}, and did not end; find out what became of its node, and whether its journal is still there"
                ),
            );
        }
        Verified {
            records: self.records,
            headers: self.headers.len() as u64,
            covered: self.covered,
            gone: self.gone,
            findings: self.findings,
        }
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
        if self.headers.last().is_some_and(|last| last.header.says == Says::Closes)
            && self.tail > 0
            && self.left.is_none()
        {
            let why = format!("{} records lie behind the stream's last word: somebody added them", self.tail);
            self.find(Kind::Altered, origin(self.stream), self.tail, why);
        }
        let Some(left) = self.left.clone() else { return };
        let is_there = |hash: &Digest| self.headers.iter().any(|header| header.hash == *hash);
        if left.last_header.as_ref().is_some_and(|hash| !is_there(hash)) {
            let why = "the header that the next run found at the end of this stream is not there".to_owned();
            self.find(Kind::Forked, origin(self.stream), 0, why);
        }
        let (count, found) = (left.unsealed.count, self.told.size());
        let at = format!("{}-{}", self.stream, left.unsealed.first_seq);
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
