//! What the PDP needs from a store. Appending is the ledger's [`Sink`](magistrate_ledger::Sink).

use std::future::Future;

use magistrate_ledger::{
    DamagedDecision, DecisionId, RecordedDecision, StoredCheckpoint, StoredDecision, StoredHeader, StreamId,
};
use magistrate_model::{
    Cause, Dataset, Decision, EntityData, Grant, Head, Instant, LoggedChange, PolicyId, PolicySet, RequestId,
    ScopeDeclaration,
};

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

/// Where a store stands, and what time it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The newest revision and its lineage.
    pub head: Head,
    /// The store's own clock, if it has one of its own.
    pub clock: Option<Instant>,
}

/// What happened since a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These changes lead to `head`.
    Changes {
        /// Where they lead.
        head: Head,
        /// Whole revisions, oldest first.
        log: Vec<LoggedChange>,
        /// The live policy set, if the log says that one was applied.
        policy_set: Option<PolicySet>,
    },
    /// There are more changes than were asked for; loading everything is cheaper.
    TooMany,
    /// The revision is not part of this store's history, which stands here.
    Forked(Head),
}

/// Takes what a store holds.
pub trait Intake: Send {
    /// The live policy set, if there is one.
    fn policy_set(&mut self, set: Option<PolicySet>);

    /// A scope of the catalogue.
    fn scope(&mut self, scope: ScopeDeclaration);

    /// A stored entity, roles among them.
    fn entity(&mut self, entity: EntityData);

    /// A role or scope assignment, whatever its term.
    fn grant(&mut self, grant: Grant);
}

impl Intake for Dataset {
    fn policy_set(&mut self, set: Option<PolicySet>) {
        self.policy_set = set;
    }

    fn scope(&mut self, scope: ScopeDeclaration) {
        self.scopes.push(scope);
    }

    fn entity(&mut self, entity: EntityData) {
        self.entities.push(entity);
    }

    fn grant(&mut self, grant: Grant) {
        self.grants.push(grant);
    }
}

/// Where policies, entities and grants come from. Each answer is of one state of the store.
pub trait PolicySource: Send + Sync + 'static {
    /// Where the store stands now; cheap enough to ask several times a second.
    fn standing(&self) -> impl Future<Output = Result<Standing, LoadError>> + Send;

    /// Everything, as of one revision: the policy set is given first, then scopes, entities and grants, one by one, so
    /// that a store need not hold them all at once. After a failure what was given counts for nothing.
    fn load_into(&self, intake: &mut impl Intake) -> impl Future<Output = Result<Head, LoadError>> + Send;

    /// Everything at once.
    fn load(&self) -> impl Future<Output = Result<Dataset, LoadError>> + Send {
        async {
            let mut dataset = Dataset::empty();
            dataset.head = self.load_into(&mut dataset).await?;
            // In the order of keys, in whatever order they came.
            dataset.apply([]);
            Ok(dataset)
        }
    }

    /// What was changed since `served`, if it is at most `at_most` changes.
    fn since(&self, served: Head, at_most: u32) -> impl Future<Output = Result<Since, LoadError>> + Send;
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

impl From<DamagedDecision> for HistoryError {
    fn from(DamagedDecision { id, why }: DamagedDecision) -> Self {
        Self::Damaged { id, why }
    }
}

/// What history is verified by: everything, as it is stored, believed by nobody.
pub trait Evidence: Send + Sync + 'static {
    /// Every stream of which there is a record, a header or a place.
    fn streams(&self) -> impl Future<Output = Result<Vec<StreamId>, HistoryError>> + Send;

    /// The headers of a stream, by number.
    fn headers(&self, stream: StreamId) -> impl Future<Output = Result<Vec<StoredHeader>, HistoryError>> + Send;

    /// The last place of a stream, by the store's own count.
    fn last_place(&self, stream: StreamId) -> impl Future<Output = Result<u64, HistoryError>> + Send;

    /// Every checkpoint.
    fn checkpoints(&self) -> impl Future<Output = Result<Vec<StoredCheckpoint>, HistoryError>> + Send;

    /// Records of a stream behind `after`, by place, at most so many; a place that is stored twice is told twice.
    fn records(
        &self,
        stream: StreamId,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredDecision>, HistoryError>> + Send;
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
