//! What the PDP needs from a store of policies. Appending is the ledger's [`Sink`](magistrate_ledger::Sink), and what was
//! appended is read through [`history`](crate::history).

use std::future::Future;

use magistrate_model::{
    Dataset, EntityData, GrantRef, Head, Instant, LoggedChange, PolicySet, Revision, ScopeDeclaration,
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
    fn grant(&mut self, grant: &GrantRef<'_>);
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

    fn grant(&mut self, grant: &GrantRef<'_>) {
        self.grants.push(grant.to_grant());
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

/// Where past states are read again.
pub trait PastStates: Send + Sync + 'static {
    /// Everything as it was at a revision; `None` if the store has not come that far, or no longer knows.
    fn load_at(&self, revision: Revision) -> impl Future<Output = Result<Option<Dataset>, LoadError>> + Send;

    /// How much is read for it: entities and grants of then, and changes up to it.
    fn size_at(&self, revision: Revision) -> impl Future<Output = Result<u64, LoadError>> + Send;

    /// The policy set that was live at a revision; `None` if there was none.
    fn policy_set_at(&self, revision: Revision) -> impl Future<Output = Result<Option<PolicySet>, LoadError>> + Send;

    /// The changes behind `after` up to `last`, oldest first.
    fn changes_between(
        &self,
        after: Revision,
        last: Revision,
    ) -> impl Future<Output = Result<Vec<LoggedChange>, LoadError>> + Send;
}
