//! Where the store stands.

use magistrate_model::{Digest, Head, Revision};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::statements::{ADVANCE, HEAD, SET_LINEAGE};

/// Revision and lineage as stored.
type Row = (i64, Vec<u8>);

/// Where the store stands now.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Head, ReadError> {
    let row: Row = sqlx::query_as(HEAD).fetch_one(connection).await?;
    head_from(&row)
}

/// Takes the next revision and returns it with the lineage of the one before.
pub(crate) async fn advance(connection: &mut SqliteConnection) -> Result<Head, ReadError> {
    let row: Row = sqlx::query_as(ADVANCE).fetch_one(connection).await?;
    head_from(&row)
}

/// Sets the lineage of the revision just taken.
pub(crate) async fn set_lineage(connection: &mut SqliteConnection, lineage: Digest) -> Result<(), ReadError> {
    sqlx::query(SET_LINEAGE).bind(lineage.as_bytes().as_slice()).execute(connection).await?;
    Ok(())
}

/// A revision as SQLite stores it.
pub(crate) fn stored(revision: Revision) -> Result<i64, ReadError> {
    i64::try_from(revision.number()).map_err(|why| ReadError::inconsistent("revision", &revision.to_string(), why))
}

/// A revision as read from a row.
pub(crate) fn revision_from(table: &'static str, value: i64) -> Result<Revision, ReadError> {
    u64::try_from(value).map(Revision::new).map_err(|why| ReadError::inconsistent(table, &value.to_string(), why))
}

/// A digest as read from a row.
pub(crate) fn digest_from(table: &'static str, row: &str, bytes: &[u8]) -> Result<Digest, ReadError> {
    Digest::from_slice(bytes).map_err(|why| ReadError::inconsistent(table, row, why))
}

fn head_from((value, lineage): &Row) -> Result<Head, ReadError> {
    Ok(Head {
        revision: revision_from("revision", *value)?,
        lineage: digest_from("revision", &value.to_string(), lineage)?,
    })
}
