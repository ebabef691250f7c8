//! How rows travel: lists as one JSON array, uids as their two parts.

use magistrate_model::{EntityUid, Revision};
use magistrate_pap::rows::stored;
use serde_json::Value;
use sqlx::SqliteConnection;

use super::read_error::ReadError;

/// Runs a statement over a list of rows, unless there are none.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<Value>,
    revision: Revision,
) -> Result<(), ReadError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(statement).bind(Value::Array(rows).to_string()).bind(stored(revision)?).execute(connection).await?;
    Ok(())
}

/// How many rows a statement may return; SQLite reads a negative limit as none.
pub(crate) fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

pub(crate) fn type_of(uid: &EntityUid) -> &str {
    uid.type_name().as_str()
}

pub(crate) fn id_of(uid: &EntityUid) -> &str {
    uid.id().as_str()
}
