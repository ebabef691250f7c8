//! Reading the headers of a stream page by page, however long it is.

use magistrate_ledger::verify::{Asked, HeaderChain, StreamVerifier, Trusted};
use magistrate_ledger::{StoredHeader, StreamId};

use super::{Evidence, HistoryError};

/// Headers read at a time.
pub const HEADER_PAGE: u32 = 1_000;

/// Gives the headers of a stream behind a number, so many at a time, until `take` wants no more.
pub async fn each_header<S: Evidence, E: From<HistoryError>>(
    store: &S,
    stream: StreamId,
    mut after: u64,
    limit: u32,
    mut take: impl FnMut(&[StoredHeader]) -> Result<bool, E>,
) -> Result<(), E> {
    loop {
        let page = store.headers(stream, after, limit).await?;
        let Some(last) = page.last().and_then(|row| u64::try_from(row.number).ok()) else { return Ok(()) };
        if !take(&page)? || page.len() < limit as usize || last <= after {
            return Ok(());
        }
        after = last;
    }
}

/// Takes every header of a stream.
pub async fn chained<S: Evidence>(
    store: &S,
    stream: StreamId,
    trusted: &Trusted,
    asked: Asked,
) -> Result<HeaderChain, HistoryError> {
    let mut chain = HeaderChain::new(stream, trusted, asked);
    each_header(store, stream, 0, HEADER_PAGE, |page| {
        chain.take(page);
        Ok::<_, HistoryError>(!chain.is_broken())
    })
    .await?;
    Ok(chain)
}

/// Gives a verifier the headers that it wants before what lies at a place, so many at a time.
pub async fn give_headers<S: Evidence>(
    store: &S,
    verifier: &mut StreamVerifier,
    seq: u64,
    limit: u32,
) -> Result<(), HistoryError> {
    while let Some(after) = verifier.wants(seq) {
        let page = store.headers(verifier.chain().stream(), after, limit).await?;
        verifier.headers(&page);
    }
    Ok(())
}
