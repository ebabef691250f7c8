//! Proofs that need no store: that a decision is in the global log, and that one state of the log continues another.
//!
//! Nothing in a proof is believed. What is trusted are verifier keys that were pinned elsewhere.

mod json;
#[cfg(test)]
mod tests;

use magistrate_model::Digest;

use crate::header::{Header, SealedHeader};
use crate::log::LogId;
use crate::merkle::{is_consistent, is_included};
use crate::note::{Checkpoint, InvalidNote, NoteVerifier, open_note};
use crate::record::{InvalidRecord, RecordedDecision};
use crate::stream::DecisionId;

pub use json::InvalidProof;

/// Something that can be verified, in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// That a decision is in the log.
    Decision(DecisionProof),
    /// That a state of the log continues an earlier one.
    Consistency(ConsistencyProof),
}

/// That a decision is in the log: it is under a header, and the header is under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionProof {
    /// Which decision.
    pub id: DecisionId,
    /// Its record.
    pub record: Vec<u8>,
    /// Where it is among the records of its header.
    pub batch: Place,
    /// The header that covers it.
    pub header: Vec<u8>,
    /// Where the header is in the log.
    pub log: Place,
    /// A checkpoint of the log: a signed note.
    pub checkpoint: String,
}

/// A place in a tree, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The index of the leaf.
    pub index: u64,
    /// The hashes beside its way to the root (RFC 6962, section 2.1.1).
    pub path: Vec<Digest>,
}

/// That a state of the log continues an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier checkpoint: a signed note.
    pub old: String,
    /// The later one.
    pub new: String,
    /// What proves it (RFC 6962, section 2.1.2).
    pub path: Vec<Digest>,
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// This decision is what was recorded.
    Decision(Box<ProvenDecision>),
    /// The log of the new checkpoint begins with all that the old one covers.
    Consistency {
        /// The old one.
        old: Checkpoint,
        /// The new one.
        new: Checkpoint,
    },
}

/// A decision that is what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenDecision {
    /// What was asked, known and answered.
    pub decision: RecordedDecision,
    /// The header that covers it.
    pub header: Header,
    /// The header's place in the log.
    pub index: u64,
    /// The checkpoint that covers the header.
    pub checkpoint: Checkpoint,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The record is none, or belongs to another place.
    #[error("the record is not the one of this decision: {0}")]
    Record(InvalidRecord),
    /// The header is none.
    #[error("the header is none: {0}")]
    Header(InvalidRecord),
    /// The header is of another stream, or covers other places.
    #[error("the header does not cover this place")]
    NotCovered,
    /// The record is not under the header's root at this place.
    #[error("the record is not among those that the header was made over")]
    NotInBatch,
    /// A checkpoint is none that a pinned key signed.
    #[error("a checkpoint is not to be believed: {0}")]
    Untrusted(#[from] InvalidNote),
    /// A checkpoint is not over a global log, or two are over different ones.
    #[error("the checkpoint is not over the log that is asked about: `{0}`")]
    OtherLog(String),
    /// The header is not under the checkpoint's root at this place.
    #[error("the header is not in the log that the checkpoint is over")]
    NotInLog,
    /// Two checkpoints are of one size and over different roots: whoever signed both told two histories.
    #[error("two checkpoints are over {0} entries and have different roots: whoever signed both told two histories")]
    Forked(u64),
    /// The new state does not begin with the old one, or the proof is another's.
    #[error("the log of the new checkpoint is not shown to begin with what the old one covers")]
    NotContinued,
}

impl Proof {
    /// What it proves, if it does, to whoever pinned these keys.
    pub fn verify(&self, keys: &[NoteVerifier]) -> Result<Proven, Refused> {
        match self {
            Self::Decision(proof) => proof.verify(keys).map(|proven| Proven::Decision(Box::new(proven))),
            Self::Consistency(proof) => proof.verify(keys),
        }
    }
}

impl DecisionProof {
    /// What it proves, if it does.
    pub fn verify(&self, keys: &[NoteVerifier]) -> Result<ProvenDecision, Refused> {
        self.in_batch()?;
        self.under(open(&self.checkpoint, keys)?)
    }

    /// The record, and the header that covers it.
    fn in_batch(&self) -> Result<(RecordedDecision, SealedHeader), Refused> {
        let decision = RecordedDecision::decode(self.id, &self.record).map_err(Refused::Record)?;
        let sealed = SealedHeader::decode(&self.header).map_err(Refused::Header)?;
        let covers = sealed.header.covers;
        let index = self.id.seq.checked_sub(covers.first_seq).filter(|index| *index < covers.count);
        if sealed.header.stream != self.id.stream || index != Some(self.batch.index) {
            return Err(Refused::NotCovered);
        }
        if !is_included(decision.leaf, self.batch.index, covers.count, &self.batch.path, covers.root) {
            return Err(Refused::NotInBatch);
        }
        Ok((decision, sealed))
    }

    /// What it proves to whoever believes this checkpoint, if it does: its own is not asked for.
    pub fn under(&self, checkpoint: Checkpoint) -> Result<ProvenDecision, Refused> {
        let (decision, sealed) = self.in_batch()?;
        if !is_included(sealed.hash, self.log.index, checkpoint.size, &self.log.path, checkpoint.root) {
            return Err(Refused::NotInLog);
        }
        Ok(ProvenDecision { decision, header: sealed.header, index: self.log.index, checkpoint })
    }
}

impl ConsistencyProof {
    /// What it proves, if it does.
    pub fn verify(&self, keys: &[NoteVerifier]) -> Result<Proven, Refused> {
        let (old, new) = (open(&self.old, keys)?, open(&self.new, keys)?);
        if old.origin != new.origin {
            return Err(Refused::OtherLog(new.origin));
        }
        if old.size == new.size && old.root != new.root {
            return Err(Refused::Forked(old.size));
        }
        match is_consistent((old.size, old.root), (new.size, new.root), &self.path) {
            true => Ok(Proven::Consistency { old, new }),
            false => Err(Refused::NotContinued),
        }
    }
}

/// A checkpoint of a global log that a pinned key signed.
fn open(note: &str, keys: &[NoteVerifier]) -> Result<Checkpoint, Refused> {
    let checkpoint = open_note(note, keys)?;
    match LogId::of_origin(&checkpoint.origin) {
        Some(_) => Ok(checkpoint),
        None => Err(Refused::OtherLog(checkpoint.origin)),
    }
}
