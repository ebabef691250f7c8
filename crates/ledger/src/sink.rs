//! Where numbered records go: first a journal of the node, then a store.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::header::SealedHeader;
use crate::note::SignedCheckpoint;
use crate::record::{PlacedRecord, SealedRecord};
use crate::stream::StreamId;

/// Records could not be made durable. What the driver said stays behind the border of whoever was asked, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot append {records} decision records: {why}")]
pub struct CommitFailed {
    /// How many records were not committed.
    pub records: usize,
    /// Whether other bytes lie where these belong: somebody else writes there, or what lies there was changed. Trying
    /// again does not help.
    pub conflict: bool,
    /// Why, and what to do about it.
    pub why: String,
}

/// Keeps records where they are found again: a store.
pub trait Sink: Send + 'static {
    /// Returns once every record of the batch is committed. Records that are there already are accepted again.
    fn commit(&mut self, batch: &[SealedRecord]) -> impl Future<Output = Result<(), CommitFailed>> + Send;

    /// Keeps headers of a stream, and then a checkpoint over them. Those that are there already are accepted again.
    fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> impl Future<Output = Result<(), CommitFailed>> + Send;

    /// The last `seq` of the stream that is committed, after whatever commit is under way.
    fn last_committed(&mut self, stream: StreamId) -> impl Future<Output = Result<Option<u64>, CommitFailed>> + Send;

    /// The number of the last header of the stream that is kept.
    fn last_sealed(&mut self, stream: StreamId) -> impl Future<Output = Result<Option<u64>, CommitFailed>> + Send;
}

/// Takes records as they are numbered: a journal. Called with one batch at a time, in order.
pub trait Append: fmt::Debug + Send + 'static {
    /// Puts the records behind all before them, and says when they are durable at the highest class among them.
    ///
    /// On an error nothing was taken, and the numbers may be used again.
    fn append(&mut self, batch: &[PlacedRecord]) -> Result<Durable, CommitFailed>;

    /// Puts a header behind everything before it.
    fn append_header(&mut self, header: &SealedHeader) -> Result<(), CommitFailed>;
}

/// When records are durable.
pub enum Durable {
    /// They are.
    Already,
    /// Once this completes. Their numbers are used up, whatever it says.
    Once(Pin<Box<dyn Future<Output = Result<(), CommitFailed>> + Send>>),
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Already => "Already",
            Self::Once(_) => "Once",
        })
    }
}
