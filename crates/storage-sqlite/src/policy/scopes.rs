//! Reading the scope catalogue.

use magistrate_model::{Revision, ScopeDeclaration};
use magistrate_pap::rows::{self, ScopeRow, stored};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::statements::{SCOPES, SCOPES_AS_OF};

/// Live scopes, in name order.
pub(crate) async fn live(connection: &mut SqliteConnection) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<ScopeRow> = sqlx::query_as(SCOPES).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::scope).collect::<Result<_, _>>()?)
}

/// Scopes as of a revision, in name order.
pub(crate) async fn as_of(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<ScopeRow> = sqlx::query_as(SCOPES_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::scope).collect::<Result<_, _>>()?)
}
