//! The port through which administrators change the store.

use magistrate_model::{Authorship, Change, LoggedChange, Revision};
use magistrate_pap::{Changes, CommitError, PolicyMigration, StoreError};

use super::read_error::ReadError;
use super::{change_log, commit, policy_sets};
use crate::store::SqliteStore;

/// The last revision a row can hold.
const LAST: Revision = Revision::new(i64::MAX.unsigned_abs());

impl Changes for SqliteStore {
    async fn commit(
        &self,
        base: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> Result<Revision, CommitError> {
        if changes.is_empty() {
            return Err(CommitError::Refused("cannot commit: no changes were given".to_owned()));
        }
        let begun = self.policy.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(ReadError::from)?;
        let revision = commit::commit(&mut transaction, base, changes, authorship).await?;
        transaction.commit().await.map_err(ReadError::from)?;
        Ok(revision)
    }

    async fn log(&self, after: Revision, revisions: u32) -> Result<Vec<LoggedChange>, StoreError> {
        let mut connection = self.policy.acquire().await.map_err(ReadError::from)?;
        let last = Revision::new(after.number().saturating_add(revisions.into())).min(LAST);
        Ok(change_log::between(&mut connection, after, last).await?)
    }

    async fn migrations(&self) -> Result<Vec<PolicyMigration>, StoreError> {
        let mut connection = self.policy.acquire().await.map_err(ReadError::from)?;
        Ok(policy_sets::migrations(&mut connection).await?)
    }
}
