//! Rows of policy sets and their migrations.

use magistrate_model::{Authorship, Digest, PolicySet, PolicyText, Revision};
use magistrate_pap::PolicyMigration;
use magistrate_pap::rows::{self, MigrationRow, stored};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::statements::{ADD_MIGRATION, ADD_POLICY, ADD_POLICY_SET, MIGRATIONS, POLICIES, POLICY_SET_AS_OF};

/// The set that was live at a revision; `None` before the first apply.
pub(crate) async fn as_of(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<Option<PolicySet>, ReadError> {
    let row: Option<(Vec<u8>, String)> =
        sqlx::query_as(POLICY_SET_AS_OF).bind(stored(revision)?).fetch_optional(&mut *connection).await?;
    let Some((digest, schema)) = row else {
        return Ok(None);
    };
    let digest = rows::digest("policy_set", "live", &digest)?;
    let policies = policies_of(connection, digest).await?;
    Ok(Some(PolicySet { digest, schema: schema.into(), policies }))
}

/// The policy migrations, oldest first.
pub(crate) async fn migrations(connection: &mut SqliteConnection) -> Result<Vec<PolicyMigration>, ReadError> {
    let rows: Vec<MigrationRow> = sqlx::query_as(MIGRATIONS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::migration).collect::<Result<_, _>>()?)
}

/// Stores a set unless a set of this digest is stored, and records the migration that makes it live.
pub(crate) async fn apply(
    connection: &mut SqliteConnection,
    revision: Revision,
    (set, name): (&PolicySet, &str),
    authorship: &Authorship,
) -> Result<(), ReadError> {
    add_set(connection, set).await?;
    sqlx::query(ADD_MIGRATION)
        .bind(name)
        .bind(set.digest.as_bytes().as_slice())
        .bind(stored(revision)?)
        .bind(authorship.actor.as_str())
        .bind(authorship.reason.as_str())
        .bind(authorship.at.micros())
        .execute(connection)
        .await?;
    Ok(())
}

async fn add_set(connection: &mut SqliteConnection, set: &PolicySet) -> Result<(), ReadError> {
    let digest = set.digest.as_bytes().as_slice();
    let added =
        sqlx::query(ADD_POLICY_SET).bind(digest).bind(set.schema.as_ref()).fetch_optional(&mut *connection).await?;
    if added.is_none() {
        return Ok(());
    }
    for policy in &set.policies {
        sqlx::query(ADD_POLICY)
            .bind(digest)
            .bind(policy.id.as_str())
            .bind(policy.text.as_ref())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn policies_of(connection: &mut SqliteConnection, set: Digest) -> Result<Vec<PolicyText>, ReadError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as(POLICIES).bind(set.as_bytes().as_slice()).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::policy).collect::<Result<_, _>>()?)
}
