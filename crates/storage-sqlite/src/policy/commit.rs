//! One revision: what it changes, its log and its lineage, in one transaction.

use magistrate_model::{Authorship, Change, LoggedChange, Revision};
use magistrate_pap::CommitError;
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::touched::Touched;
use super::{change_log, entities, grants, lineage, policy_sets, revision, scopes};

/// Makes the changes within the caller's transaction and returns the revision they are.
pub(crate) async fn commit(
    connection: &mut SqliteConnection,
    base: Revision,
    changes: &[Change],
    authorship: &Authorship,
) -> Result<Revision, CommitError> {
    let taken = revision::advance(connection).await?;
    if taken.revision != base.next() {
        return Err(CommitError::Moved { expected: base, found: Revision::new(taken.revision.number() - 1) });
    }
    let mut touched = Touched::read(connection, base, changes).await?;
    let log = (0..)
        .zip(changes)
        .map(|(ordinal, change)| logged(&mut touched, taken.revision, ordinal, change, authorship))
        .collect::<Result<Vec<_>, _>>()?;
    write(connection, taken.revision, &touched, changes, authorship).await?;
    change_log::append(connection, taken.revision, &log, authorship).await?;
    revision::set_lineage(connection, lineage::extend(taken.lineage, &log)).await?;
    Ok(taken.revision)
}

fn logged(
    touched: &mut Touched,
    revision: Revision,
    ordinal: u32,
    change: &Change,
    authorship: &Authorship,
) -> Result<LoggedChange, CommitError> {
    let difference = touched.apply(change)?;
    Ok(LoggedChange {
        revision,
        ordinal,
        kind: change.kind().to_owned(),
        key: change.key(),
        before: difference.before,
        after: difference.after,
        authorship: authorship.clone(),
    })
}

async fn write(
    connection: &mut SqliteConnection,
    revision: Revision,
    touched: &Touched,
    changes: &[Change],
    authorship: &Authorship,
) -> Result<(), ReadError> {
    entities::write(connection, revision, &touched.entities).await?;
    scopes::write(connection, revision, &touched.scopes).await?;
    grants::write(connection, revision, &touched.grants).await?;
    for change in changes {
        if let Change::ApplyPolicySet { set, name } = change {
            policy_sets::apply(connection, revision, (set, name), authorship).await?;
        }
    }
    Ok(())
}
