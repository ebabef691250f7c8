//! What the global log needs from a store: reading it and what it is over, appending to it, and acts.

use std::future::Future;

use magistrate_ledger::{
    LogBatch, LogId, Run, SealedAct, StoredAct, StoredCheckpoint, StoredEntry, StoredHeader, StreamId,
};
use magistrate_model::{Digest, Span};

use crate::history::HistoryError;

/// The log as it is stored, believed by nobody.
pub trait GlobalLog: Send + Sync + 'static {
    /// Which log it is; none before the first node asked for it.
    fn log_id(&self) -> impl Future<Output = Result<Option<LogId>, HistoryError>> + Send;

    /// The place behind its last entry.
    fn log_size(&self) -> impl Future<Output = Result<u64, HistoryError>> + Send;

    /// Entries from a place on, at most so many.
    fn entries(&self, first: u64, limit: u32) -> impl Future<Output = Result<Vec<StoredEntry>, HistoryError>> + Send;

    /// The newest entry of a kind.
    fn newest_entry(&self, kind: &str) -> impl Future<Output = Result<Option<StoredEntry>, HistoryError>> + Send;

    /// One entry, if it is there.
    fn find_entry(
        &self,
        kind: &str,
        reference: &str,
    ) -> impl Future<Output = Result<Option<StoredEntry>, HistoryError>> + Send;

    /// The checkpoint of this log that covers most.
    fn newest_checkpoint(
        &self,
        log: LogId,
    ) -> impl Future<Output = Result<Option<StoredCheckpoint>, HistoryError>> + Send;

    /// Leaves, or roots of complete groups, as many as there are.
    fn log_hashes(&self, run: Run) -> impl Future<Output = Result<Vec<Digest>, HistoryError>> + Send;
}

/// What the log will be over, believed by nobody.
pub trait Unlogged: Send + Sync + 'static {
    /// Headers behind the last one of their stream that the log has, at most so many; each stream's by number.
    fn unlogged_headers(&self, limit: u32) -> impl Future<Output = Result<Vec<StoredHeader>, HistoryError>> + Send;

    /// Acts behind a place, of one kind or of all, at most so many.
    fn acts(
        &self,
        kind: Option<&str>,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredAct>, HistoryError>> + Send;

    /// The place of the newest act that the log has; 0 if it has none.
    fn last_logged_act(&self) -> impl Future<Output = Result<u64, HistoryError>> + Send;
}

/// Who may append to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The log.
    pub log: LogId,
    /// The newest term.
    pub term: u64,
    /// Whether it is the one who asked.
    pub held: bool,
}

/// Something could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The store did not answer, or what became of it is not known.
    #[error("cannot write the global log: {0}")]
    Unreachable(String),
    /// Somebody else writes it, or it is not what it was.
    #[error("the store refuses an entry of the global log: {0}")]
    Refused(String),
}

/// Writing: one at a time, and only under the newest term.
pub trait Sequencing: Send + Sync + 'static {
    /// Asks to append for a while, by the store's clock. The first to ask begins the log, under the id that it brings. A
    /// holder that asks in time keeps its term; asking for no time lets go.
    fn lease(
        &self,
        holder: StreamId,
        begins: LogId,
        time: Span,
    ) -> impl Future<Output = Result<Lease, LogError>> + Send;

    /// Appends entries and the roots of the groups they complete: all or none, only under the newest term, and only behind
    /// the last entry.
    fn append_log(&self, term: u64, batch: &LogBatch) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Keeps an act behind all others; one that is there already is accepted again.
    fn record_act(&self, act: &SealedAct) -> impl Future<Output = Result<(), LogError>> + Send;
}
