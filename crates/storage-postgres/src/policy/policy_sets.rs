//! Rows of policy sets and their migrations.

use magistrate_model::{Change, PolicySet, Revision};
use magistrate_pap::PolicyMigration;
use magistrate_pap::rows::{self, MigrationRow, stored};
use serde_json::{Value, json};

use super::read_error::ReadError;
use super::statements::{MIGRATIONS, POLICY_SET_AS_OF};
use crate::connect::Session;

/// Digest and schema of a set, and ids and texts of its policies.
type Row = (Vec<u8>, String, Vec<String>, Vec<String>);

/// The set that was live at a revision; `None` before the first apply.
pub(crate) async fn as_of(session: &mut Session, revision: Revision) -> Result<Option<PolicySet>, ReadError> {
    let row: Option<Row> = sqlx::query_as(POLICY_SET_AS_OF)
        .persistent(session.prepares)
        .bind(stored(revision)?)
        .fetch_optional(&mut session.connection)
        .await?;
    let Some((digest, schema, ids, texts)) = row else {
        return Ok(None);
    };
    let digest = rows::digest("policy_set", "live", &digest)?;
    let policies = ids.into_iter().zip(texts).map(rows::policy).collect::<Result<_, _>>()?;
    Ok(Some(PolicySet { digest, schema: schema.into(), policies }))
}

/// The policy migrations, oldest first.
pub(crate) async fn migrations(session: &mut Session) -> Result<Vec<PolicyMigration>, ReadError> {
    let rows: Vec<MigrationRow> =
        sqlx::query_as(MIGRATIONS).persistent(session.prepares).fetch_all(&mut session.connection).await?;
    Ok(rows.into_iter().map(rows::migration).collect::<Result<_, _>>()?)
}

/// The sets that changes apply, each with its name as a migration, as `magistrate.commit` takes them.
pub(crate) fn applied(changes: &[Change]) -> Vec<Value> {
    changes.iter().filter_map(applied_set).collect()
}

fn applied_set(change: &Change) -> Option<Value> {
    let Change::ApplyPolicySet { set, name } = change else {
        return None;
    };
    let policies: Vec<Value> = set.policies.iter().map(|it| json!([it.id.as_str(), it.text.as_ref()])).collect();
    Some(json!({
        "digest": set.digest.to_string(), "schema": set.schema.as_ref(), "name": name, "policies": policies,
    }))
}
