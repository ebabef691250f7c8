//! The audit ledger: canonical records, their leaves, and the only way to a receipt.
//!
//! Pure: no clock, no I/O of its own. A [`Writer`] numbers records in append order, puts them into a journal
//! ([`Append`]) and is the only maker of a [`Receipt`]; from there they are shipped to a store ([`Sink`]).

mod act;
mod cbor;
mod change;
mod decision;
mod difference;
mod erasure;
mod header;
mod leaf;
pub mod lineage;
mod log;
mod merkle;
mod note;
mod private;
pub mod proof;
mod record;
mod refused;
mod retention;
mod room;
mod sealer;
mod selection;
mod sequencer;
mod sink;
mod stored;
mod stream;
mod told;
pub mod verify;
mod writer;

pub use act::{Act, ActId, ActRecord, SealedAct};
pub use change::{ChangeRecord, SealedChange, Told};
pub use decision::DecisionRecord;
pub use difference::{Answered, DifferingDecision, Policies, SecondWay, question_digest};
pub use erasure::{Erasure, SignedErasure};
pub use header::{Covered, Header, LeftStream, Opening, Says, SealedHeader};
pub use leaf::leaf;
pub use log::{ActColumns, Entry, EntryColumns, LogId, StoredAct, StoredEntry};
pub use merkle::{Path, Run, Subtree, Tree, is_consistent, is_included};
pub use note::{Checkpoint, InvalidKey, InvalidNote, NoteSigner, NoteVerifier, SignedCheckpoint, open_note, read_note};
pub use private::{
    Committed, InvalidOpening, InvalidPrivateField, InvalidPrivatePath, Opened, OpenedValues, PrivateFields,
    PrivatePath,
};
pub use record::{
    Draft, IndexColumns, InvalidRecord, Nonce, PlacedRecord, RecordedDecision, SealedRecord, holds_commitments,
};
pub use refused::{Asked, RefusedCall};
pub use retention::{Expiry, Places, SignedExpiry};
pub use room::{Promise, Room};
pub use sealer::{Sealer, origin};
pub use selection::Selection;
pub use sequencer::{LogBatch, NotResumed, Sequencer, resume, runs_of};
pub use sink::{Append, CommitFailed, Durable, Sink};
pub use stored::{CheckpointColumns, DamagedDecision, HeaderColumns, StoredCheckpoint, StoredDecision, StoredHeader};
pub use stream::{DecisionId, InvalidDecisionId, StreamId};
pub use writer::{Appended, NotRecorded, Pending, Receipt, Writer};

#[cfg(test)]
mod tests;
