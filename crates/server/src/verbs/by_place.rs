//! Reading a stream record by record, whatever lies at its places.

use anyhow::bail;
use magistrate_ledger::{StoredDecision, StreamId};
use magistrate_pdp::Evidence as _;

use crate::store::Store;

/// Records read at a time.
const PAGE: u32 = 4_096;

/// Gives the records of a stream behind a place, page by page; a place that is stored twice is given twice.
pub(super) async fn by_place(
    store: &Store,
    stream: StreamId,
    mut after: u64,
    mut take: impl FnMut(&[&StoredDecision]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        let page = store.records(stream, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        // A place may be stored twice, on both sides of a page's end: the last one is left to the next page.
        let end = page.last().map_or(0, StoredDecision::seq);
        let whole: Vec<_> = page.iter().filter(|row| is_last || row.seq() < end).collect();
        take(&whole)?;
        match (is_last, whole.len()) {
            (true, _) => return Ok(()),
            (false, 0) => bail!("place {end} of stream {stream} is stored {PAGE} times and more"),
            (false, _) => after = end - 1,
        }
    }
}
