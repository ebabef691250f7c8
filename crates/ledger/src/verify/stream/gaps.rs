//! Places that hold nothing: taken out, lost, or missing.

use super::super::Kind;
use super::super::expired::Stretch;
use super::StreamVerifier;

/// Places in a row that hold nothing and should, and what was found of them.
#[derive(Debug)]
pub(super) struct MissingPlaces {
    first: u64,
    next: u64,
    more: String,
    at: usize,
}

impl StreamVerifier {
    /// Passes over places that hold nothing, up to this one.
    pub(super) fn skip_to(&mut self, seq: u64) {
        self.settle_empty();
        let mut first = self.last_seq + 1;
        while first < seq {
            let next = match self.expired.at(first) {
                Stretch::Expired { last } => {
                    let next = seq.min(last.saturating_add(1));
                    self.pass_expired(first, next);
                    next
                }
                Stretch::Expected { before } => {
                    let next = before.map_or(seq, |before| seq.min(before));
                    self.pass_missing(first, next);
                    next
                }
            };
            first = next;
        }
    }

    /// Passes over places whose records should be there, up to the place behind them.
    fn pass_missing(&mut self, first: u64, next: u64) {
        self.tell_missing(first, next);
        while let Some((_, covers)) = self.window.front().copied() {
            if covers.first_seq >= next {
                break;
            }
            self.broken = true;
            let last = covers.next_seq() - 1;
            if last >= next {
                break;
            }
            self.advance(last);
        }
    }

    /// Places in a row are told together, however few headers are at hand when they are passed over.
    fn tell_missing(&mut self, first: u64, next: u64) {
        let run = match self.missing.take().filter(|before| before.next == first) {
            Some(before) => MissingPlaces { next, ..before },
            None => {
                let (kind, more) = self.why_missing(first, next);
                self.find(kind, format!("{}-{first}", self.chain.stream), 0, String::new());
                MissingPlaces { first, next, more, at: self.findings.len() - 1 }
            }
        };
        let count = run.next - run.first;
        if let Some(finding) = self.findings.get_mut(run.at) {
            finding.records = count;
            finding.why = format!("{count} records from this place on are not there{}", run.more);
        }
        self.missing = Some(run);
    }

    fn why_missing(&self, first: u64, next: u64) -> (Kind, String) {
        // What is under a header was in the store when the header was made: no crash excuses it.
        let sealed = self.chain.link.next_seq;
        match (self.expired.claimed(first), first < sealed, self.lost(first, next - 1)) {
            (Some(doubt), ..) => (Kind::Missing, format!(", and {doubt}")),
            (None, true, _) => (Kind::Missing, ", and a header covers them".to_owned()),
            (None, false, true) => (Kind::LostInCrash, "; the next run said so when it began".to_owned()),
            (None, false, false) => (Kind::Missing, ", and the store has or had later ones".to_owned()),
        }
    }

    /// Passes over places whose records retention took out, up to the place behind them. A header over nothing else is
    /// believed as it is; where others lie under it too, the leaves that were kept stand for those that are gone.
    fn pass_expired(&mut self, first: u64, next: u64) {
        self.passed += next - first;
        let mut at = first;
        while at < next {
            let Some((_, covers)) = self.window.front().copied() else {
                return self.pass_expired_tail(at, next);
            };
            let end = covers.next_seq().min(next);
            if at == covers.first_seq && end == covers.next_seq() {
                self.broken = true;
            } else {
                for seq in at..end {
                    self.push_kept(seq);
                }
            }
            self.advance(end - 1);
            at = end;
        }
    }

    /// Behind the last header: the leaves of all are kept, for what a later run says of them.
    fn pass_expired_tail(&mut self, first: u64, next: u64) {
        let kept = self.expired.kept_between(first, next);
        if (kept.len() as u64) < next - first {
            self.without_leaf(first);
        }
        self.tail = self.tail.saturating_add(next - first);
        for (seq, leaf) in kept {
            self.compare_told(seq, Some(leaf));
        }
    }

    fn push_kept(&mut self, seq: u64) {
        match self.expired.kept(seq) {
            Some(leaf) => self.leaves.push(leaf),
            None if !self.broken => {
                self.without_leaf(seq);
                self.broken = true;
            }
            None => {}
        }
    }

    fn without_leaf(&mut self, seq: u64) {
        let at = format!("{}-{seq}", self.chain.stream);
        let why = "its record was taken out by retention, and its leaf, which others are verified with, was not kept";
        self.find(Kind::Missing, at, 1, why.to_owned());
    }

    fn lost(&self, first: u64, last: u64) -> bool {
        self.left
            .as_ref()
            .is_some_and(|left| left.lost.iter().any(|lost| lost.contains(&first) && lost.contains(&last)))
    }
}
