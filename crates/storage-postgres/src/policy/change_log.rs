//! Rows of the change log.

use magistrate_model::{LoggedChange, Revision};
use magistrate_pap::rows::{self, LogRow, stored};

use super::read_error::ReadError;
use super::statements::LOG;
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
