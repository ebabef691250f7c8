//! Numbering records and obtaining receipts.

use std::sync::{Arc, Mutex, PoisonError};

use magistrate_model::{Digest, DurabilityClass, Question, Verdict};

use crate::header::SealedHeader;
use crate::private::PrivateFields;
use crate::record::{Draft, Nonce, PlacedRecord};
use crate::room::Room;
use crate::sink::{Append, CommitFailed, Durable};
use crate::stream::{DecisionId, StreamId};

/// A decision has no record, so there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the decision could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Evidence that a record is durable: made by a [`Writer`] after its journal said so, and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    id: DecisionId,
    leaf: Digest,
    class: DurabilityClass,
}

impl Receipt {
    fn of(record: &PlacedRecord) -> Self {
        Self { id: record.id, leaf: record.leaf(), class: record.class }
    }

    /// Stream and place of the record.
    pub fn id(&self) -> DecisionId {
        self.id
    }

    /// The record's leaf.
    pub fn leaf(&self) -> Digest {
        self.leaf
    }

    /// The class the record is durable at.
    pub fn class(&self) -> DurabilityClass {
        self.class
    }
}

/// What became of an append.
#[derive(Debug)]
pub enum Appended {
    /// Every record is durable.
    Durable(Vec<Receipt>),
    /// They have their places, and will be durable.
    Pending(Pending),
}

/// Records that are not durable yet. Dropping it leaves them where they are.
#[derive(Debug)]
pub struct Pending {
    receipts: Vec<Receipt>,
    durable: Durable,
}

impl Pending {
    /// Waits until the records are durable.
    pub async fn receipts(self) -> Result<Vec<Receipt>, NotRecorded> {
        match self.durable {
            Durable::Already => {}
            Durable::Once(durable) => durable.await?,
        }
        Ok(self.receipts)
    }
}

impl From<CommitFailed> for NotRecorded {
    fn from(failed: CommitFailed) -> Self {
        Self(failed.to_string())
    }
}

/// Appends to a stream. `seq` starts at 1 and has no gaps.
#[derive(Debug)]
pub struct Writer {
    stream: StreamId,
    room: Arc<Room>,
    nonce: fn() -> Nonce,
    private: PrivateFields,
    /// INVARIANT: numbers are given, and bytes appended, in one go: what comes first has the lower number.
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    journal: Box<dyn Append>,
    next: u64,
}

impl Writer {
    /// A writer of a stream that has no records yet, to a journal that has this room; `nonce` gives 16 fresh random bytes
    /// a call.
    pub fn new(journal: impl Append, room: Arc<Room>, stream: StreamId, nonce: fn() -> Nonce) -> Self {
        let end = Mutex::new(End { journal: Box::new(journal), next: 1 });
        Self { stream, room, nonce, private: PrivateFields::default(), end }
    }

    /// The same, with these values beside the records instead of in them.
    #[must_use]
    pub fn keeping_private(self, private: PrivateFields) -> Self {
        Self { private, ..self }
    }

    /// The draft of a verdict's record.
    pub fn draft(&self, question: &Question, verdict: &Verdict) -> Draft {
        Draft::keeping_private(question, verdict, &self.private, self.nonce)
    }

    /// The stream it writes.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The room of its journal.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Puts a header into the journal, behind every record that it covers.
    pub fn append_header(&self, header: &SealedHeader) -> Result<(), NotRecorded> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(end.journal.append_header(header)?)
    }

    /// Numbers the drafts and appends them. Receipts come in order, once all of them are durable.
    ///
    /// On an error none of them counts as recorded for its caller. Should they have been kept all the same, history
    /// holds more than was answered, never less.
    pub fn append(&self, drafts: impl AsRef<[Draft]>) -> Result<Appended, NotRecorded> {
        let drafts = drafts.as_ref();
        let nonces: Vec<Nonce> = drafts.iter().map(|_| (self.nonce)()).collect();
        let (batch, durable) = {
            let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            let numbered = drafts.iter().zip(nonces).zip(end.next..);
            let batch: Vec<PlacedRecord> = numbered
                .map(|((draft, nonce), seq)| draft.place(DecisionId { stream: self.stream, seq }, nonce))
                .collect();
            let durable = end.journal.append(&batch)?;
            end.next += batch.len() as u64;
            (batch, durable)
        };
        let receipts = batch.iter().map(Receipt::of).collect();
        Ok(match durable {
            Durable::Already => Appended::Durable(receipts),
            Durable::Once(_) => Appended::Pending(Pending { receipts, durable }),
        })
    }
}
