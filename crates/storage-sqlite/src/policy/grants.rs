//! Reading role and scope assignments.

use magistrate_model::{Grant, GrantId, Instant, Revision};
use magistrate_pap::GrantFilter;
use magistrate_pap::rows::{self, GrantRow, stored};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{GRANTS, GRANTS_AS_OF, GRANTS_LISTED};

/// Live grants that match, in id order.
pub(crate) async fn matching(connection: &mut SqliteConnection, filter: &GrantFilter) -> Result<Vec<Grant>, ReadError> {
    let statement = filter.ids.as_ref().map_or(GRANTS, |_| GRANTS_LISTED);
    let ids = filter.ids.as_ref().map(|ids| ids.iter().map(GrantId::as_str).collect::<Value>().to_string());
    let (holder, role, resource) = (filter.holder.as_ref(), filter.role.as_ref(), filter.resource.as_ref());
    let rows: Vec<GrantRow> = sqlx::query_as(statement)
        .bind(ids)
        .bind(holder.map(type_of))
        .bind(holder.map(id_of))
        .bind(role.map(type_of))
        .bind(role.map(id_of))
        .bind(filter.scope.as_deref())
        .bind(resource.map(type_of))
        .bind(resource.map(id_of))
        .bind(filter.in_force_at.map(Instant::micros))
        .bind(filter.expires_before.map(Instant::micros))
        .bind(filter.after.as_ref().map(GrantId::as_str))
        .bind(limit(filter.limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(rows::grant).collect::<Result<_, _>>()?)
}

/// Grants as of a revision, in id order.
pub(crate) async fn as_of(connection: &mut SqliteConnection, revision: Revision) -> Result<Vec<Grant>, ReadError> {
    let rows: Vec<GrantRow> = sqlx::query_as(GRANTS_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::grant).collect::<Result<_, _>>()?)
}
