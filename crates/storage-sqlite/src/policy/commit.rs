//! One revision: what it changes, its log and its lineage, in one transaction.

use magistrate_ledger::lineage;
use magistrate_model::{Authorship, Change, Revision};
use magistrate_pap::CommitError;
use magistrate_pap::commit::{CommitRows, Touched};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::rows::run;
use super::statements::{
    BEGIN_ENTITIES, BEGIN_PARENTS, BEGIN_ROLES, BEGIN_SCOPE_ASSIGNMENTS, BEGIN_SCOPES, END_ENTITIES, END_PARENTS,
    END_ROLES, END_SCOPE_ASSIGNMENTS, END_SCOPES,
};
use super::{change_log, entities, grants, policy_sets, revision, scopes};

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
    let mut touched = touched_by(connection, base, changes).await?;
    let log = touched.log(taken.revision, changes, authorship)?;
    write(connection, taken.revision, touched.rows()).await?;
    for change in changes {
        if let Change::ApplyPolicySet { set, name } = change {
            policy_sets::apply(connection, taken.revision, (set, name), authorship).await?;
        }
    }
    change_log::append(connection, taken.revision, &log, authorship).await?;
    revision::set_lineage(connection, lineage::extend(taken.lineage, &log)).await?;
    Ok(taken.revision)
}

async fn touched_by(
    connection: &mut SqliteConnection,
    base: Revision,
    changes: &[Change],
) -> Result<Touched, ReadError> {
    let (named_entities, named_grants) = Touched::named(changes);
    let entities = entities::matching(connection, &named_entities).await?;
    let grants = grants::matching(connection, &named_grants).await?;
    let live_set = policy_sets::as_of(connection, base).await?;
    Ok(Touched::new(entities, scopes::live(connection).await?, grants, live_set.map(|set| set.digest)))
}

async fn write(connection: &mut SqliteConnection, revision: Revision, rows: CommitRows) -> Result<(), ReadError> {
    let CommitRows { entities, parents, scopes, roles, scope_assignments } = rows;
    let statements = [
        (END_ENTITIES, entities.ended),
        (END_PARENTS, parents.ended),
        (BEGIN_ENTITIES, entities.begun),
        (BEGIN_PARENTS, parents.begun),
        (END_SCOPES, scopes.ended),
        (BEGIN_SCOPES, scopes.begun),
        (END_ROLES, roles.ended),
        (END_SCOPE_ASSIGNMENTS, scope_assignments.ended),
        (BEGIN_ROLES, roles.begun),
        (BEGIN_SCOPE_ASSIGNMENTS, scope_assignments.begun),
    ];
    for (statement, rows) in statements {
        run(connection, statement, rows, revision).await?;
    }
    Ok(())
}
