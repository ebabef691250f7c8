//! Openings of records that a store has: they need not be in the journal any more, and what is erased in the store must not
//! be there.

use std::sync::Arc;

use magistrate_ledger::SealedRecord;

use crate::segment::Segment;
use crate::shared::Shared;

/// An opening in the journal.
#[derive(Debug)]
struct Opening {
    segment: Arc<Segment>,
    at: u64,
    length: usize,
    /// Whose; of an earlier run if there is none.
    seq: Option<u64>,
}

/// Openings that were read to be shipped, and are still in the journal.
#[derive(Debug, Default)]
pub(crate) struct Openings(Vec<Opening>);

impl Openings {
    /// Notes an opening that begins there, of the running stream or of an earlier one.
    pub(crate) fn note(&mut self, segment: &Arc<Segment>, at: Option<u64>, record: &SealedRecord, is_live: bool) {
        if let (Some(at), Some(opening)) = (at, &record.opening) {
            let seq = is_live.then_some(record.id.seq);
            self.0.push(Opening { segment: Arc::clone(segment), at, length: opening.len(), seq });
        }
    }

    /// What was noted is read again.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// A checkpoint covers every record before `next_seq`, and every earlier run: the store has them. Their openings are
    /// overwritten where their segments stay.
    pub(crate) fn overwrite(&mut self, next_seq: u64, shared: &Shared) {
        let covered = |opening: &Opening| opening.seq.is_none_or(|seq| seq < next_seq);
        let covered: Vec<Opening> = self.0.extract_if(.., |opening| covered(opening)).collect();
        for openings in covered.chunk_by(|one, next| Arc::ptr_eq(&one.segment, &next.segment)) {
            let Some(segment) = openings.first().map(|first| &first.segment).filter(|it| it.is_linked()) else {
                continue;
            };
            if let Err(error) = segment.overwrite(openings.iter().map(|opening| (opening.at, opening.length))) {
                let path = segment.path.display();
                return shared.fail(&format!("cannot write to `{path}`: {error}; look at the disk and the kernel log"));
            }
        }
    }
}
