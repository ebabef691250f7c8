//! A stream that is verified with a few of its headers at hand at a time.

use std::ops::{Deref, DerefMut};

use super::*;

/// Headers that are read at once.
pub(super) const PAGES: [usize; 5] = [1, 2, 3, 4, 100];

/// A verifier, and the headers that it is given when it wants them.
pub(super) struct Paged {
    verifier: StreamVerifier,
    /// As they are when they are read again.
    pub(super) headers: Vec<StoredHeader>,
    page: usize,
}

impl Paged {
    pub(super) fn new(stored: &Stored, trusted: &Trusted, page: usize, places: &[u64]) -> Self {
        let header = stored.left.as_ref().and_then(|left| left.last_header);
        let mut chain = HeaderChain::new(STREAM, trusted, Asked { header, root_of: 0, places: places.to_vec() });
        stored.headers.chunks(page).for_each(|rows| chain.take(rows));
        let mut verifier = StreamVerifier::new(chain);
        stored.left.iter().cloned().for_each(|left| verifier.told(left));
        Self { verifier, headers: stored.headers.clone(), page }
    }

    /// Gives headers as a store does: those behind a number.
    fn give(&mut self, seq: u64) {
        while let Some(after) = self.verifier.wants(seq) {
            let behind = |row: &&StoredHeader| u64::try_from(row.number).is_ok_and(|number| number > after);
            let rows: Vec<_> = self.headers.iter().filter(behind).take(self.page).cloned().collect();
            self.verifier.headers(&rows);
            assert!(self.verifier.at_hand() <= self.page, "no more are held than were given at once");
        }
    }

    pub(super) fn record(&mut self, row: &StoredDecision) {
        self.give(row.seq());
        self.verifier.record(row);
    }

    pub(super) fn finish(mut self, last_place: u64, now: Instant) -> Verified {
        self.give(u64::MAX);
        self.verifier.finish(last_place, now)
    }

    pub(super) fn stop(mut self, last: u64) -> Vec<Finding> {
        self.give(last);
        self.verifier.stop(last)
    }
}

impl Deref for Paged {
    type Target = StreamVerifier;

    fn deref(&self) -> &StreamVerifier {
        &self.verifier
    }
}

impl DerefMut for Paged {
    fn deref_mut(&mut self) -> &mut StreamVerifier {
        &mut self.verifier
    }
}

/// Whoever takes away or exchanges a header while the stream is verified is told of, wherever it is.
#[test]
fn headers_must_be_those_that_they_were() {
    let stored = history();
    let trusted = Trusted::of(stored.checkpoints.iter().map(String::as_str), &pinned());
    let other = written(signer(), "another text");
    for page in PAGES {
        for at in 0..stored.headers.len() {
            let edits: [fn(&mut Vec<StoredHeader>, &Stored, usize); 3] = [
                |headers, _, at| drop(headers.remove(at)),
                |headers, _, at| headers.truncate(at),
                |headers, other, at| headers.splice(at.., other.headers[at..].iter().cloned()).for_each(drop),
            ];
            for (number, edit) in edits.iter().enumerate() {
                let mut verifier = Paged::new(&stored, &trusted, page, &[]);
                edit(&mut verifier.headers, &other, at);
                // The first header says the same in both.
                let is_same = verifier.headers == stored.headers;
                stored.records.iter().for_each(|record| verifier.record(record));
                let found = verifier.finish(stored.last_place, now()).findings;
                let touched = found.iter().any(|it| it.kind.is_failure());
                assert_eq!(touched, !is_same, "edit {number} of header {at} in pages of {page}: {found:?}");
            }
        }
    }
}

/// A caller that does not give what is wanted is told that it is missing, and nothing is taken for whole.
#[test]
fn headers_that_are_not_given_are_missed() {
    let stored = history();
    let trusted = Trusted::of(stored.checkpoints.iter().map(String::as_str), &pinned());
    for given in [0, 1] {
        let mut verifier = Paged::new(&stored, &trusted, 2, &[]);
        let records = || stored.records.iter();
        records().take(given).for_each(|record| verifier.record(record));
        records().skip(given).for_each(|record| verifier.verifier.record(record));
        let found = verifier.verifier.finish(12, now()).findings;
        assert!(found.iter().any(|it| it.kind == Kind::Altered), "{found:?}");
    }
}
