//! Reading a stream record by record, whatever lies at its places.

use magistrate_ledger::{StoredDecision, StreamId};

use super::{Evidence, HistoryError};

/// Records read at a time.
const PAGE: u32 = 4_096;

/// Gives the records of a stream behind a place and up to another one, page by page; a place that is stored twice is given
/// twice.
pub async fn by_place<S: Evidence, E: From<HistoryError>>(
    store: &S,
    stream: StreamId,
    mut after: u64,
    last: u64,
    mut take: impl AsyncFnMut(&[&StoredDecision]) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let page = store.records(stream, after, PAGE).await?;
        // A place may be stored twice, on both sides of a page's end: the last one is left to the next page.
        let end = page.last().map_or(0, StoredDecision::seq);
        let is_last = page.len() < PAGE as usize || end > last;
        let whole: Vec<_> = page.iter().filter(|row| row.seq() <= last && (is_last || row.seq() < end)).collect();
        take(&whole).await?;
        match (is_last, whole.len()) {
            (true, _) => return Ok(()),
            (false, 0) => {
                let why = format!("place {end} of stream {stream} is stored {PAGE} times and more");
                return Err(HistoryError::Unreachable(why).into());
            }
            (false, _) => after = end - 1,
        }
    }
}
