//! Reading role and scope assignments.

use magistrate_model::{Grant, GrantId, GrantRef, Instant, Revision};
use magistrate_pap::GrantFilter;
use magistrate_pap::rows::{self, GrantColumns, GrantRow, Reader, stored};

use super::copy;
use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{GRANTS, GRANTS_AS_OF, GRANTS_LISTED, LIVE_GRANTS};
use crate::connect::Session;

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

/// Gives all live grants.
pub(crate) async fn live(session: &mut Session, mut give: impl FnMut(&GrantRef<'_>)) -> Result<(), ReadError> {
    let mut reader = Reader::default();
    copy::each_row(session, LIVE_GRANTS, |fields| {
        let columns = GrantColumns {
            id: fields.text()?,
            holder: (fields.text()?, fields.text()?),
            role: fields.optional_text()?.zip(fields.optional_text()?),
            resource: fields.optional_text()?.zip(fields.optional_text()?),
            scope: fields.optional_text()?,
            not_before: fields.optional_bigint()?,
            expires_at: fields.optional_bigint()?,
            reason: fields.text()?,
        };
        give(&reader.grant(&columns)?);
        Ok(())
    })
    .await
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
