//! Reading the scope catalogue.

use magistrate_model::{Revision, ScopeDeclaration};
use magistrate_pap::rows::{self, ScopeRow, stored};

use super::read_error::ReadError;
use super::statements::{SCOPES, SCOPES_AS_OF};
use crate::connect::Session;

/// Live scopes, in name order.
pub(crate) async fn live(session: &mut Session) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<ScopeRow> =
        sqlx::query_as(SCOPES).persistent(session.prepares).fetch_all(&mut session.connection).await?;
    Ok(rows.into_iter().map(rows::scope).collect::<Result<_, _>>()?)
}

/// Scopes as of a revision, in name order.
pub(crate) async fn as_of(session: &mut Session, revision: Revision) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<ScopeRow> = sqlx::query_as(SCOPES_AS_OF)
        .persistent(session.prepares)
        .bind(stored(revision)?)
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.into_iter().map(rows::scope).collect::<Result<_, _>>()?)
}
