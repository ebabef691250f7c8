//! Rows of the change log.

use magistrate_model::{Authorship, LoggedChange, Revision};
use magistrate_pap::rows::{self, LogRow, stored};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::statements::{APPEND_LOG, COUNT_LOG, LOG};

/// Appends the rows of one revision.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    revision: Revision,
    rows: &[LoggedChange],
    authorship: &Authorship,
) -> Result<(), ReadError> {
    let list = rows.iter().map(|row| json!([row.ordinal, row.kind, row.key, row.before, row.after]));
    sqlx::query(APPEND_LOG)
        .bind(list.collect::<Value>().to_string())
        .bind(stored(revision)?)
        .bind(authorship.actor.as_str())
        .bind(authorship.reason.as_str())
        .bind(authorship.at.micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows after a revision, up to `last`, oldest first.
pub(crate) async fn between(
    connection: &mut SqliteConnection,
    after: Revision,
    last: Revision,
) -> Result<Vec<LoggedChange>, ReadError> {
    let rows: Vec<LogRow> = sqlx::query_as(LOG).bind(stored(after)?).bind(stored(last)?).fetch_all(connection).await?;
    Ok(rows.into_iter().map(rows::logged_change).collect::<Result<_, _>>()?)
}

/// How many changes were made after a revision.
pub(crate) async fn count_after(connection: &mut SqliteConnection, after: Revision) -> Result<i64, ReadError> {
    Ok(sqlx::query_scalar(COUNT_LOG).bind(stored(after)?).fetch_one(connection).await?)
}
