//! What the PDP needs from a store. Appending is the ledger's [`Sink`](magistrate_ledger::Sink).

use std::future::Future;

use magistrate_ledger::{DecisionId, InvalidRecord, RecordedDecision};
use magistrate_model::{Cause, Dataset, Decision, Head, Instant, PolicyId, RequestId};

/// Administrative state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The store did not answer.
    #[error("cannot read the policy store: {0}")]
    Unreachable(String),
    /// The store that was opened is no longer the one in its place.
    #[error("the policy store is not the one that was opened: {0}")]
    Replaced(String),
    /// A row disagrees with the model: the store was changed from outside, or is damaged.
    #[error("the policy store holds a `{table}` row that is not valid (`{row}`): {why}")]
    Inconsistent {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Where policies, entities and grants come from.
pub trait PolicySource: Send + Sync + 'static {
    /// Where the store stands now; cheap enough to ask several times a second.
    fn head(&self) -> impl Future<Output = Result<Head, LoadError>> + Send;

    /// Everything, as of one revision.
    fn load(&self) -> impl Future<Output = Result<Dataset, LoadError>> + Send;
}

/// Which decisions are wanted: every given field must match, within a field any value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Principals in Cedar's notation.
    pub principals: Vec<String>,
    /// Actions in Cedar's notation.
    pub actions: Vec<String>,
    /// Resources in Cedar's notation.
    pub resources: Vec<String>,
    /// Allow or deny.
    pub decision: Option<Decision>,
    /// Causes.
    pub causes: Vec<Cause>,
    /// Determining policies.
    pub policies: Vec<PolicyId>,
    /// The caller's own id for the request.
    pub request_id: Option<RequestId>,
    /// Recorded at this instant or later.
    pub since: Option<Instant>,
    /// Recorded before this instant.
    pub until: Option<Instant>,
}

/// Where in history to continue: records are ordered by instant, then stream, then `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the record was decided.
    pub recorded_at: Instant,
    /// Which record it is.
    pub id: DecisionId,
}

/// In which direction a page of history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest first, older than the position if one is given.
    NewestFirst(Option<Position>),
    /// The oldest first, newer than the position if one is given.
    OldestFirst(Option<Position>),
}

/// History could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store did not answer.
    #[error("cannot read the decision history: {0}")]
    Unreachable(String),
    /// A stored record is damaged: its bytes do not say what its row says.
    #[error(
        "the record of decision {id} is damaged: {why}; restore it from a copy and find out who can write to the store"
    )]
    Damaged {
        /// Which record.
        id: DecisionId,
        /// What is wrong with it.
        why: String,
    },
}

impl HistoryError {
    /// A record whose bytes do not decode.
    pub fn damaged(id: DecisionId, why: &InvalidRecord) -> Self {
        Self::Damaged { id, why: why.to_string() }
    }
}

/// Where recorded decisions are found again.
pub trait DecisionHistory: Send + Sync + 'static {
    /// At most `limit` decisions that match.
    fn search(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<RecordedDecision>, HistoryError>> + Send;

    /// One decision, if it is there.
    fn find(&self, id: DecisionId) -> impl Future<Output = Result<Option<RecordedDecision>, HistoryError>> + Send;
}
