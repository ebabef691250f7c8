//! Rows of the scope catalogue.

use magistrate_model::{ActionUid, Revision, ScopeDeclaration, ScopeName};
use serde_json::json;
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::revision::stored;
use super::rows::run;
use super::statements::{BEGIN_SCOPES, END_SCOPES, SCOPES, SCOPES_AS_OF};
use super::tracked::Tracked;

/// Name, action group, description.
type Row = (String, String, String);

/// Live scopes, in name order.
pub(crate) async fn live(connection: &mut SqliteConnection) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<Row> = sqlx::query_as(SCOPES).fetch_all(connection).await?;
    rows.into_iter().map(scope_from).collect()
}

/// Scopes as of a revision, in name order.
pub(crate) async fn as_of(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<Vec<ScopeDeclaration>, ReadError> {
    let rows: Vec<Row> = sqlx::query_as(SCOPES_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    rows.into_iter().map(scope_from).collect()
}

/// Writes what a revision changes about scopes.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    revision: Revision,
    scopes: &Tracked<ScopeName, ScopeDeclaration>,
) -> Result<(), ReadError> {
    let ended = scopes.ended().map(|scope| json!(scope.name.as_str()));
    let begun =
        scopes.begun().map(|scope| json!([scope.name.as_str(), scope.action_group.to_string(), scope.description]));
    run(connection, END_SCOPES, ended, revision).await?;
    run(connection, BEGIN_SCOPES, begun, revision).await
}

fn scope_from((name, action_group, description): Row) -> Result<ScopeDeclaration, ReadError> {
    let refused = |why: &dyn std::fmt::Display| ReadError::inconsistent("scope", &name, why);
    let action_group = action_group.parse().and_then(ActionUid::new);
    Ok(ScopeDeclaration {
        action_group: action_group.map_err(|why| refused(&why))?,
        name: name.parse().map_err(|why| refused(&why))?,
        description,
    })
}
