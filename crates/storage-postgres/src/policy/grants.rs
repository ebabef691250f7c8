//! Reading role and scope assignments.

use magistrate_model::{Grant, GrantId, Instant, Revision};
use magistrate_pap::GrantFilter;
use magistrate_pap::rows::{self, GrantRow, stored};

use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{GRANTS, GRANTS_AFTER, GRANTS_AS_OF, GRANTS_LISTED};
use crate::connect::Session;

/// Rows that are held at once while everything is read.
const CHUNK: i64 = 20_000;

/// Live grants that match, in id order.
pub(crate) async fn matching(session: &mut Session, filter: &GrantFilter) -> Result<Vec<Grant>, ReadError> {
    let statement = filter.ids.as_ref().map_or(GRANTS, |_| GRANTS_LISTED);
    let ids: Option<Vec<&str>> = filter.ids.as_ref().map(|ids| ids.iter().map(GrantId::as_str).collect());
    let (holder, role, resource) = (filter.holder.as_ref(), filter.role.as_ref(), filter.resource.as_ref());
    let rows: Vec<GrantRow> = sqlx::query_as(statement)
        .persistent(session.prepares)
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
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.into_iter().map(rows::grant).collect::<Result<_, _>>()?)
}

/// All live grants, in id order. They are read piece by piece.
pub(crate) async fn live(session: &mut Session) -> Result<Vec<Grant>, ReadError> {
    let mut grants: Vec<Grant> = Vec::new();
    loop {
        let rows: Vec<GrantRow> = sqlx::query_as(GRANTS_AFTER)
            .persistent(session.prepares)
            .bind(grants.last().map_or("", |last| last.id().as_str()))
            .bind(CHUNK)
            .fetch_all(&mut session.connection)
            .await?;
        if rows.is_empty() {
            grants.shrink_to_fit();
            return Ok(grants);
        }
        for row in rows {
            grants.push(rows::grant(row)?);
        }
    }
}

/// Grants as of a revision, in id order.
pub(crate) async fn as_of(session: &mut Session, revision: Revision) -> Result<Vec<Grant>, ReadError> {
    let rows: Vec<GrantRow> = sqlx::query_as(GRANTS_AS_OF)
        .persistent(session.prepares)
        .bind(stored(revision)?)
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.into_iter().map(rows::grant).collect::<Result<_, _>>()?)
}
