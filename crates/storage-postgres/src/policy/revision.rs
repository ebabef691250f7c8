//! Where the store stands.

use magistrate_model::{Digest, Head, Instant, Revision};
use magistrate_pap::rows::{self, InconsistentRow, stored};
use magistrate_pdp::Standing;

use super::read_error::ReadError;
use super::statements::{LINEAGE, STANDING};
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

/// The lineage after a revision, if the store has come that far.
pub(crate) async fn lineage(session: &mut Session, revision: Revision) -> Result<Option<Digest>, ReadError> {
    if revision == Revision::ZERO {
        return Ok(Some(Digest::ZERO));
    }
    let Ok(number) = stored(revision) else {
        return Ok(None);
    };
    let lineage: Option<Vec<u8>> = sqlx::query_scalar(LINEAGE)
        .persistent(session.prepares)
        .bind(number)
        .fetch_optional(&mut session.connection)
        .await?;
    Ok(lineage.map(|lineage| rows::digest("revision_lineage", &revision.to_string(), &lineage)).transpose()?)
}

pub(crate) fn head_from(value: i64, lineage: &[u8]) -> Result<Head, ReadError> {
    Ok(Head {
        revision: rows::revision("revision", value)?,
        lineage: rows::digest("revision", &value.to_string(), lineage)?,
    })
}
