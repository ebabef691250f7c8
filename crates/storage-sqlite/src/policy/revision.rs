//! Where the store stands.

use magistrate_model::{Digest, Head, Revision};
use magistrate_pap::rows;
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::statements::{ADVANCE, HEAD, SET_LINEAGE, SIZE_AS_OF};

/// Revision and lineage as stored.
type Row = (i64, Vec<u8>);

/// Where the store stands now.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Head, ReadError> {
    let row: Row = sqlx::query_as(HEAD).fetch_one(connection).await?;
    head_from(&row)
}

/// How much there was at a revision.
pub(crate) async fn size_as_of(connection: &mut SqliteConnection, revision: Revision) -> Result<u64, ReadError> {
    let number = rows::stored(revision).unwrap_or(i64::MAX);
    let size: i64 = sqlx::query_scalar(SIZE_AS_OF).bind(number).fetch_one(connection).await?;
    Ok(u64::try_from(size).unwrap_or(u64::MAX))
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

fn head_from((value, lineage): &Row) -> Result<Head, ReadError> {
    Ok(Head {
        revision: rows::revision("revision", *value)?,
        lineage: rows::digest("revision", &value.to_string(), lineage)?,
    })
}
