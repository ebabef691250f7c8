//! Where the store stands.

use magistrate_model::{Digest, Head};
use magistrate_pap::rows;
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

fn head_from((value, lineage): &Row) -> Result<Head, ReadError> {
    Ok(Head {
        revision: rows::revision("revision", *value)?,
        lineage: rows::digest("revision", &value.to_string(), lineage)?,
    })
}
