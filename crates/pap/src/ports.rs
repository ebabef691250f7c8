//! What policy administration needs from a store.
//!
//! Every change is committed against the revision it was validated for: a change made elsewhere in
//! between is a [`CommitError::Moved`], never an overwrite.

use std::collections::BTreeSet;
use std::future::Future;

use magistrate_identity::{ApiKey, ListedKey};
use magistrate_model::{
    Authorship, Change, Digest, EntityData, EntityUid, Grant, GrantId, Instant, KeyId, LoggedChange, PolicySet,
    Revision, ScopeDeclaration, TypeName,
};

/// The store could not be read or written. The text says why and what to do; driver text stays behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer.
    #[error("cannot reach the policy store: {0}")]
    Unreachable(String),
    /// A row disagrees with the model.
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

/// Nothing of a change was committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed the store since the change was validated.
    #[error(
        "the store moved from revision {expected} to {found} meanwhile; nothing was changed, run the command again"
    )]
    Moved {
        /// What the change was validated for.
        expected: Revision,
        /// Where the store stands.
        found: Revision,
    },
    /// A change names something that is not there, or is there already.
    #[error("{0}")]
    Refused(String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What changes are validated against, read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The revision it was read at.
    pub revision: Revision,
    /// The live policy set; `None` before the first apply.
    pub policy_set: Option<PolicySet>,
    /// The scope catalogue.
    pub scopes: Vec<ScopeDeclaration>,
}

/// Which entities are wanted: every given field must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntityFilter {
    /// These only.
    pub uids: Option<BTreeSet<EntityUid>>,
    /// Of this type.
    pub type_name: Option<TypeName>,
    /// With this direct parent.
    pub parent: Option<EntityUid>,
    /// Naming this entity in an attribute.
    pub naming: Option<EntityUid>,
    /// After this one, in (type, id) byte order.
    pub after: Option<EntityUid>,
    /// At most so many; `None` is all.
    pub limit: Option<u32>,
}

/// Which grants are wanted: every given field must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// These only.
    pub ids: Option<BTreeSet<GrantId>>,
    /// Held by this principal or group.
    pub holder: Option<EntityUid>,
    /// Of this role.
    pub role: Option<EntityUid>,
    /// Of exactly this scope pattern.
    pub scope: Option<String>,
    /// On this resource.
    pub resource: Option<EntityUid>,
    /// In force at this instant.
    pub in_force_at: Option<Instant>,
    /// Ending before this instant.
    pub expires_before: Option<Instant>,
    /// After this one, in id order.
    pub after: Option<GrantId>,
    /// At most so many; `None` is all.
    pub limit: Option<u32>,
}

/// A row of the policy migration history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMigration {
    /// Its number, from 1.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// The set that was live before; `None` for the first.
    pub base: Option<Digest>,
    /// The set that is live since.
    pub result: Digest,
    /// The revision that committed it.
    pub revision: Revision,
    /// Who, why and when.
    pub authorship: Authorship,
}

/// Reads the administrative state. Roles are entities of the schema's role type.
pub trait Records: Send + Sync {
    /// What changes are validated against.
    fn base(&self) -> impl Future<Output = Result<Base, StoreError>> + Send;

    /// Entities in (type, id) order.
    fn entities(&self, filter: &EntityFilter) -> impl Future<Output = Result<Vec<EntityData>, StoreError>> + Send;

    /// Grants in id order.
    fn grants(&self, filter: &GrantFilter) -> impl Future<Output = Result<Vec<Grant>, StoreError>> + Send;
}

/// Commits changes and tells which were committed.
pub trait Changes: Send + Sync {
    /// Commits all changes as one revision, or none. Each is logged with what was there before and after.
    ///
    /// Refused: a grant id that exists, a grant to revoke or an entity or scope to delete that does not
    /// exist. An apply of the set that is live already is recorded as a migration all the same.
    fn commit(
        &self,
        base: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> impl Future<Output = Result<Revision, CommitError>> + Send;

    /// The change log of the next `revisions` revisions after one, oldest first; each is whole.
    fn log(
        &self,
        after: Revision,
        revisions: u32,
    ) -> impl Future<Output = Result<Vec<LoggedChange>, StoreError>> + Send;

    /// The policy migrations, oldest first.
    fn migrations(&self) -> impl Future<Output = Result<Vec<PolicyMigration>, StoreError>> + Send;
}

/// API keys of a store: kept for ever, in force until they end.
pub trait Keys {
    /// Every key, with its hash; oldest first.
    fn keys(&self) -> impl Future<Output = Result<Vec<ApiKey>, StoreError>> + Send;

    /// Every key without its hash, for whoever lists them; oldest first.
    fn listed_keys(&self) -> impl Future<Output = Result<Vec<ListedKey>, StoreError>> + Send;

    /// Keeps a new key.
    fn issue_key(&self, key: &ApiKey, authorship: &Authorship) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends a key; whether there was one that had not been revoked.
    fn revoke_key(&self, id: &KeyId, authorship: &Authorship) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
