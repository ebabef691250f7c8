//! Verifying one stream.

use std::collections::BTreeMap;

use magistrate_model::{Digest, Instant, Span};

use super::{Finding, Kind, Trusted};
use crate::header::{LeftStream, Says, SealedHeader};
use crate::merkle::Tree;
use crate::record::InvalidRecord;
use crate::sealer::origin;
use crate::stored::{StoredDecision, StoredHeader};
use crate::stream::StreamId;

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
    missing: u64,
    last_seq: u64,
    /// Records behind the last header.
    tail: Tree,
    tail_from: Option<u64>,
    not_covered: u64,
    records: u64,
    /// What a later run says of how this one ended.
    left: Option<LeftStream>,
    findings: Vec<Finding>,
}

impl StreamVerifier {
    /// Takes the headers of a stream, what later runs say of it, and the checkpoints that are believed.
    pub fn new(stream: StreamId, stored: &[StoredHeader], left: Option<LeftStream>, trusted: &Trusted) -> Self {
        let mut verifier = Self {
            stream,
            headers: Vec::new(),
            covered: 0,
            at: 0,
            leaves: Tree::default(),
            missing: 0,
            last_seq: 0,
            tail: Tree::default(),
            tail_from: None,
            not_covered: 0,
            records: 0,
            left,
            findings: Vec::new(),
        };
        verifier.chain(stored);
        verifier.compare(trusted);
        verifier
    }

    /// What the stream's first header says of earlier ones.
    pub fn left_by(stored: &[StoredHeader]) -> Vec<LeftStream> {
        let opening = stored.first().and_then(|first| match first.decode().ok()?.header.says {
            Says::Opens(opening) => Some(opening.left),
            Says::Continues | Says::Closes => None,
        });
        opening.unwrap_or_default()
    }

    /// Every header must follow the one before; from the first that does not, nothing is sealed.
    fn chain(&mut self, stored: &[StoredHeader]) {
        let (mut previous, mut next_seq) = (Digest::ZERO, 1);
        for row in stored {
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

    /// Takes the next record by place.
    pub fn record(&mut self, row: &StoredDecision) {
        let seq = row.seq();
        let at = format!("{}-{seq}", self.stream);
        self.records += 1;
        if seq <= self.last_seq {
            return self.find(Kind::Reordered, at, 1, "two records lie at this place".to_owned());
        }
        self.skip_to(seq);
        self.last_seq = seq;
        let leaf = match row.decode() {
            Ok(decision) => decision.leaf,
            Err(damaged) => {
                let kind = match row.misplaced() {
                    Some(InvalidRecord::Misplaced { .. }) => Kind::Reordered,
                    Some(InvalidRecord::Format(_) | InvalidRecord::NotCanonical) | None => Kind::Altered,
                };
                self.find(kind, at, 1, damaged.why);
                // Its place is taken, and what its leaf was is not known.
                self.missing += 1;
                return self.advance(seq);
            }
        };
        match self.headers.get(self.at) {
            Some(_) => {
                self.leaves.push(leaf);
                self.advance(seq);
            }
            None => {
                self.tail_from.get_or_insert(seq);
                self.tail.push(leaf);
            }
        }
    }

    /// Passes over places that hold nothing, up to this one.
    fn skip_to(&mut self, seq: u64) {
        let gap = self.last_seq + 1..seq;
        if gap.is_empty() {
            self.settle_empty();
            return;
        }
        let lost = self.lost(gap.start, gap.end - 1);
        let sealed = self.headers.last().map_or(0, |last| last.header.covers.next_seq());
        let at = format!("{}-{}", self.stream, gap.start);
        let count = gap.end - gap.start;
        let why = format!("{count} records from this place on are not there");
        let (kind, more) = match (lost, gap.start < sealed) {
            (true, _) => (Kind::LostInCrash, "; the next run said so when it began"),
            (false, true) => (Kind::Missing, ", and a header covers them"),
            (false, false) => (Kind::Missing, ", and the store has or had later ones"),
        };
        self.find(kind, at, count, format!("{why}{more}"));
        for place in gap {
            self.missing += 1;
            self.advance(place);
            if self.headers.get(self.at).is_none() {
                break;
            }
        }
        self.settle_empty();
    }

    fn lost(&self, first: u64, last: u64) -> bool {
        self.left
            .as_ref()
            .is_some_and(|left| left.lost.iter().any(|lost| lost.contains(&first) && lost.contains(&last)))
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
        let whole = std::mem::take(&mut self.missing) == 0;
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

    /// All records were taken; `last_place` is the last place that the store says it had.
    pub fn finish(mut self, last_place: u64, now: Instant) -> Verified {
        let sealed = self.headers.last().map_or(1, |last| last.header.covers.next_seq());
        let end = sealed.max(last_place.saturating_add(1));
        if self.last_seq + 1 < end {
            self.skip_to(end);
        }
        self.compare_tail();
        // What a later run sealed when it began is its business.
        let uncovered = self.not_covered + if self.left.is_none() { self.tail.size() } else { 0 };
        if uncovered > 0 {
            let at = origin(self.stream);
            let why = format!(
                "{uncovered} records lie behind the newest checkpoint: only the chain of this store speaks for them"
            );
            self.find(Kind::NotCovered, at, uncovered, why);
        }
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
            findings: self.findings,
        }
    }

    /// Records behind the last header are sealed by the run that found them.
    fn compare_tail(&mut self) {
        let Some(left) = self.left.clone() else { return };
        let last_header = self.headers.last().map(|last| last.hash);
        if left.last_header.is_some() && left.last_header != last_header {
            let why = "it is not the one that the next run found at its end".to_owned();
            self.find(Kind::Forked, format!("the last header of {}", self.stream), 0, why);
        }
        let (count, found) = (left.unsealed.count, self.tail.size());
        if self.tail.root() != left.unsealed.root {
            let at = format!("{}-{}", self.stream, left.unsealed.first_seq);
            let (kind, why) = match found.cmp(&count) {
                std::cmp::Ordering::Less => (
                    Kind::Missing,
                    format!("the next run found {count} records from this place on, and {found} are there"),
                ),
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => (
                    Kind::Altered,
                    format!("the {found} records from this place on are not the {count} that the next run found"),
                ),
            };
            self.find(kind, at, count, why);
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
    /// What was found, in the order it was.
    pub findings: Vec<Finding>,
}
