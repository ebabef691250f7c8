//! Rows of the change log.

use magistrate_model::{Authorship, Instant, LoggedChange, Revision};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::revision::{revision_from, stored};
use super::statements::{APPEND_LOG, LOG};

/// Revision, ordinal, kind, key, before, after, actor, reason, at.
type Row = (i64, u32, String, String, Option<String>, Option<String>, String, String, i64);

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
    let rows: Vec<Row> = sqlx::query_as(LOG).bind(stored(after)?).bind(stored(last)?).fetch_all(connection).await?;
    rows.into_iter().map(change_from).collect()
}

/// Who, why and when, as read from a row.
pub(crate) fn authorship_from(
    table: &'static str,
    row: &str,
    actor: &str,
    reason: &str,
    at: i64,
) -> Result<Authorship, ReadError> {
    let refused = |why: &dyn std::fmt::Display| ReadError::inconsistent(table, row, why);
    Ok(Authorship {
        actor: actor.parse().map_err(|why| refused(&why))?,
        reason: reason.parse().map_err(|why| refused(&why))?,
        at: Instant::from_micros(at).map_err(|why| refused(&why))?,
    })
}

fn change_from(
    (revision, ordinal, kind, key, before, after, actor, reason, at): Row,
) -> Result<LoggedChange, ReadError> {
    let row = format!("{revision}/{ordinal}");
    Ok(LoggedChange {
        revision: revision_from("change_log", revision)?,
        ordinal,
        kind,
        key,
        before,
        after,
        authorship: authorship_from("change_log", &row, &actor, &reason, at)?,
    })
}
