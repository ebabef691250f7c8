//! Numbering records and obtaining receipts.

use std::future::Future;

use magistrate_model::{Digest, DurabilityClass};

use crate::record::{Draft, Nonce, SealedRecord};
use crate::stream::{DecisionId, StreamId};

/// A sink could not make records durable. What the driver said stays behind the sink's border, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot append {records} decision records: {why}")]
pub struct CommitFailed {
    /// How many records were not committed.
    pub records: usize,
    /// Why, and what to do about it.
    pub why: String,
}

/// A decision has no record, so there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the decision could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Makes records durable, all of a batch or none.
pub trait Sink: Send + 'static {
    /// The class records are committed at when `asked` is asked for: never a lower one.
    fn class(&self, asked: DurabilityClass) -> DurabilityClass;

    /// Returns once every record of the batch is durable at its class.
    fn commit(&mut self, batch: &[SealedRecord]) -> impl Future<Output = Result<(), CommitFailed>> + Send;

    /// The last `seq` of the stream that is durable; asked after a failed commit, whose outcome may be
    /// unknown.
    fn last_committed(&mut self, stream: StreamId) -> impl Future<Output = Result<Option<u64>, CommitFailed>> + Send;
}

/// Evidence that a record is durable: made by a [`Writer`] after its sink said so, and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    id: DecisionId,
    leaf: Digest,
    class: DurabilityClass,
}

impl Receipt {
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

/// Appends to a stream. `seq` starts at 1 and has no gaps.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    stream: StreamId,
    next: u64,
    /// How many records the commit held that failed last: whether they are durable must be asked before `next`
    /// is used.
    unsettled: Option<u64>,
    nonce: fn() -> Nonce,
}

impl<S: Sink> Writer<S> {
    /// A writer of a stream that has no records yet; `nonce` gives 16 fresh random bytes a call.
    pub fn new(sink: S, stream: StreamId, nonce: fn() -> Nonce) -> Self {
        Self { sink, stream, next: 1, unsettled: None, nonce }
    }

    /// Numbers the drafts, makes them durable together and returns their receipts in order.
    ///
    /// On an error none of them counts as recorded for its caller. Should the sink have kept them all
    /// the same, history holds more than was answered, never less.
    pub async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, NotRecorded> {
        self.settle().await?;
        let batch: Vec<SealedRecord> =
            drafts.into_iter().zip(self.next..).map(|(draft, seq)| self.seal(draft, seq)).collect();
        if let Err(failed) = self.sink.commit(&batch).await {
            self.unsettled = Some(batch.len() as u64);
            return Err(NotRecorded(failed.to_string()));
        }
        self.next += batch.len() as u64;
        Ok(batch.iter().map(|record| Receipt { id: record.id, leaf: record.leaf, class: record.class }).collect())
    }

    /// Asks what became of a failed batch: all of it is there, or nothing.
    ///
    /// INVARIANT: the place of an acknowledged record is never used again, whatever the sink says. One that has
    /// lost acknowledged records (restored, or failed over to a stale copy), or has records that nobody sent from
    /// here, is told of once, loudly; then a new stream begins, and the old one stays as evidence.
    async fn settle(&mut self) -> Result<(), NotRecorded> {
        let Some(sent) = self.unsettled else {
            return Ok(());
        };
        let last = self.sink.last_committed(self.stream).await;
        let last =
            last.map_err(|failed| NotRecorded(format!("what was kept of the last batch is unknown: {}", failed.why)))?;
        self.unsettled = None;
        let (kept, acknowledged) = (last.unwrap_or(0), self.next - 1);
        if kept == acknowledged || kept == acknowledged + sent {
            self.next = kept + 1;
            return Ok(());
        }
        let old = std::mem::replace(&mut self.stream, StreamId::new((self.nonce)()));
        self.next = 1;
        Err(NotRecorded(format!(
            "the store has {kept} records of the stream {old}, of which {acknowledged} were durable: it was restored, \
             failed over to a stale copy, or somebody else writes to it; a new stream begins"
        )))
    }

    fn seal(&self, draft: Draft, seq: u64) -> SealedRecord {
        let class = self.sink.class(draft.class());
        draft.seal(DecisionId { stream: self.stream, seq }, class, (self.nonce)())
    }
}
