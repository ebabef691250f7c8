//! The audit ledger: canonical records, their leaves, and the only way to a receipt.
//!
//! Pure: no clock, no I/O of its own. A [`Sink`] makes bytes durable; a [`Writer`] numbers records in
//! append order and is the only maker of a [`Receipt`].

mod cbor;
mod decision;
mod leaf;
pub mod lineage;
mod record;
mod stored;
mod stream;
mod writer;

pub use decision::DecisionRecord;
pub use leaf::leaf;
pub use record::{Draft, IndexColumns, InvalidRecord, Nonce, RecordedDecision, SealedRecord};
pub use stored::{DamagedDecision, StoredDecision};
pub use stream::{DecisionId, InvalidDecisionId, StreamId};
pub use writer::{CommitFailed, NotRecorded, Receipt, Sink, Writer};

#[cfg(test)]
mod tests;
