//! Records that go straight to a store.

use magistrate_ledger::{CommitFailed, Draft, Room, SealedRecord, Sink, StreamId, Writer};

use crate::memory::{MemorySink, nonce};

/// Numbers decisions and commits them to a store, as a shipper would: what did not arrive is sent again, with what comes
/// next.
#[derive(Debug)]
pub struct Straight<S> {
    sink: S,
    writer: Writer,
    numbered: MemorySink,
    /// How many of those were taken over.
    taken: usize,
    /// Those that did not arrive yet.
    pending: Vec<SealedRecord>,
}

impl<S: Sink> Straight<S> {
    /// A stream that has no records yet.
    pub fn new(sink: S, stream: StreamId) -> Self {
        let numbered = MemorySink::default();
        Self {
            sink,
            writer: Writer::new(numbered.clone(), Room::unlimited(), stream, nonce),
            numbered,
            taken: 0,
            pending: Vec::new(),
        }
    }

    /// Commits the decisions, and returns every record that was acknowledged by this.
    pub async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<SealedRecord>, CommitFailed> {
        let _durable = self.writer.append(drafts).unwrap();
        let new = self.numbered.records_after(self.taken);
        self.taken += new.len();
        self.pending.extend(new);
        self.sink.commit(&self.pending).await?;
        Ok(std::mem::take(&mut self.pending))
    }
}
