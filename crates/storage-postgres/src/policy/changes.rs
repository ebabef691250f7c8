//! The port through which administrators change the store.

use magistrate_model::{Authorship, Change, LoggedChange, Revision};
use magistrate_pap::{Changes, CommitError, PolicyMigration, StoreError};

use super::commit::Commit;
use super::read_error::ReadError;
use super::snapshot::read;
use super::{change_log, policy_sets};
use crate::connect::{Purpose, within};
use crate::store::PostgresStore;

/// The last revision a row can hold.
const LAST: Revision = Revision::new(i64::MAX.unsigned_abs());

impl Changes for PostgresStore {
    async fn commit(
        &self,
        base: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> Result<Revision, CommitError> {
        if changes.is_empty() {
            return Err(CommitError::Refused("cannot commit: no changes were given".to_owned()));
        }
        let commit = Commit::prepare(self.administration(), base, changes, authorship).await?;
        commit.make(self.administration()).await
    }

    async fn log(&self, after: Revision, revisions: u32) -> Result<Vec<LoggedChange>, StoreError> {
        let last = Revision::new(after.number().saturating_add(revisions.into())).min(LAST);
        Ok(read!(self.administration(), Purpose::Read, session => change_log::between(session, after, last))?)
    }

    async fn migrations(&self) -> Result<Vec<PolicyMigration>, StoreError> {
        Ok(read!(self.administration(), Purpose::Read, session => policy_sets::migrations(session))?)
    }
}
