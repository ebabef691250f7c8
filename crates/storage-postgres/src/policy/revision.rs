//! Where the store stands.

use magistrate_model::{Digest, Head, Instant, Revision};
use magistrate_pap::rows::{self, InconsistentRow, stored};
use magistrate_pdp::Standing;

use super::read_error::ReadError;
use super::statements::{LINEAGE, SINCE, SIZE_AS_OF, STANDING};
use crate::connect::Session;

/// Where the store stands now, and its clock.
pub(crate) async fn standing(session: &mut Session) -> Result<Standing, ReadError> {
    let (value, lineage, clock): (i64, Vec<u8>, i64) =
        sqlx::query_as(STANDING).persistent(session.prepares).fetch_one(&mut session.connection).await?;
    let clock = Instant::from_micros(clock).map_err(|why| InconsistentRow::new("revision", value, why))?;
    Ok(Standing { head: head_from(value, &lineage)?, clock: Some(clock) })
}

/// Where the store stands now.
pub(crate) async fn head(session: &mut Session) -> Result<Head, ReadError> {
    Ok(standing(session).await?.head)
}

/// How much there was at a revision.
pub(crate) async fn size_as_of(session: &mut Session, revision: Revision) -> Result<u64, ReadError> {
    let number = stored(revision).unwrap_or(i64::MAX);
    let size = sqlx::query_scalar(SIZE_AS_OF).bind(number).persistent(session.prepares);
    let size: i64 = size.fetch_one(&mut session.connection).await?;
    Ok(u64::try_from(size).unwrap_or(u64::MAX))
}

/// What a store says of an earlier revision.
#[derive(Debug)]
pub(crate) struct Earlier {
    /// Where the store stands now.
    pub(crate) head: Head,
    /// The lineage after that revision, if the store has come that far.
    pub(crate) lineage: Option<Digest>,
    /// Whether more changes than asked for were made after it.
    pub(crate) exceeds: bool,
}

/// Where the store stands, seen from an earlier revision.
pub(crate) async fn since(session: &mut Session, revision: Revision, at_most: u32) -> Result<Earlier, ReadError> {
    // One that no row can hold is none the store has come to.
    let number = stored(revision).unwrap_or(i64::MAX);
    let (value, newest, lineage, count): (i64, Vec<u8>, Option<Vec<u8>>, i64) = sqlx::query_as(SINCE)
        .persistent(session.prepares)
        .bind(number)
        .bind(i64::from(at_most) + 1)
        .fetch_one(&mut session.connection)
        .await?;
    let lineage = lineage_from(revision, lineage)?;
    Ok(Earlier { head: head_from(value, &newest)?, lineage, exceeds: count > at_most.into() })
}

/// The lineage after a revision, if the store has come that far.
pub(crate) async fn lineage(session: &mut Session, revision: Revision) -> Result<Option<Digest>, ReadError> {
    let Ok(number) = stored(revision) else {
        return Ok(None);
    };
    let lineage: Option<Vec<u8>> = sqlx::query_scalar(LINEAGE)
        .persistent(session.prepares)
        .bind(number)
        .fetch_optional(&mut session.connection)
        .await?;
    lineage_from(revision, lineage)
}

fn lineage_from(revision: Revision, lineage: Option<Vec<u8>>) -> Result<Option<Digest>, ReadError> {
    if revision == Revision::ZERO {
        return Ok(Some(Digest::ZERO));
    }
    Ok(lineage.map(|lineage| rows::digest("revision_lineage", &revision.to_string(), &lineage)).transpose()?)
}

pub(crate) fn head_from(value: i64, lineage: &[u8]) -> Result<Head, ReadError> {
    Ok(Head {
        revision: rows::revision("revision", value)?,
        lineage: rows::digest("revision", &value.to_string(), lineage)?,
    })
}
