//! Rows of the change log.

use magistrate_model::{LoggedChange, Revision};
use magistrate_pap::rows::{self, LogRow, stored};

use super::read_error::ReadError;
use super::statements::{COUNT_LOG, LOG};
use crate::connect::Session;

/// Rows after a revision, up to `last`, oldest first.
pub(crate) async fn between(
    session: &mut Session,
    after: Revision,
    last: Revision,
) -> Result<Vec<LoggedChange>, ReadError> {
    let rows: Vec<LogRow> = sqlx::query_as(LOG)
        .persistent(session.prepares)
        .bind(stored(after)?)
        .bind(stored(last)?)
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.into_iter().map(rows::logged_change).collect::<Result<_, _>>()?)
}

/// Whether more than so many changes were made after a revision.
pub(crate) async fn exceeds(session: &mut Session, after: Revision, at_most: u32) -> Result<bool, ReadError> {
    let count: i64 = sqlx::query_scalar(COUNT_LOG)
        .persistent(session.prepares)
        .bind(stored(after)?)
        .bind(i64::from(at_most) + 1)
        .fetch_one(&mut session.connection)
        .await?;
    Ok(count > at_most.into())
}
