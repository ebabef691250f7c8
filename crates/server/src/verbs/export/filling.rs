//! Private values of records that were exported without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use magistrate_ledger::{DecisionId, RecordedDecision, StoredDecision, StreamId, holds_commitments};
use magistrate_pdp::history::by_place;

use super::super::exported::{LinePlace, RecordLine, lines_from, records_of};
use super::{Lines, opened};
use crate::store::Store;

/// Says that whatever is in the directory has the values it had when it was exported.
const COMPLETE: &str = "private-values";
/// Lines of a file that are held at a time.
const AT_ONCE: usize = 1_000;

/// What became of records that were there without their private values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filled {
    /// Of so many the values were added.
    pub(super) filled: u64,
    /// Of so many the store has them no more.
    pub(super) without: u64,
}

/// A record as it was exported.
struct Exported {
    seq: u64,
    record: String,
    opening: Option<String>,
}

/// Whether values have to be added to what is there, if they are asked for. Where they are not, what is added now lacks
/// them, and so the directory does from now on.
pub(super) fn are_lacking(dir: &Path, with_private: bool) -> anyhow::Result<bool> {
    let path = dir.join(COMPLETE);
    let is_complete = path.try_exists().with_context(|| format!("cannot use the directory `{}`", dir.display()))?;
    if is_complete && !with_private {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    Ok(with_private && !is_complete)
}

/// Every record has its values now.
pub(super) fn complete(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(COMPLETE);
    let made = opened(&path).and_then(|file| file.sync_all());
    made.with_context(|| format!("cannot write `{}`", path.display()))
}

/// Adds the values that the store has to the records of a stream that lack them. The file is written anew beside the one that
/// is there, so that nothing is lost wherever this ends; records stay as they were exported.
pub(super) async fn fill(store: &Store, dir: &Path, stream: StreamId, all: &mut Filled) -> anyhow::Result<()> {
    let (path, aside): (PathBuf, PathBuf) = (records_of(dir, stream), dir.join("records.new"));
    drop(std::fs::remove_file(&aside));
    let (mut file, mut place, mut filled) = (Lines::open(&aside, |_| Ok(0))?, LinePlace::default(), 0);
    loop {
        let mut some = read(&path, &mut place)?;
        let (Some(first), Some(last)) = (some.first().map(|it| it.seq), some.last().map(|it| it.seq)) else { break };
        if some.iter().any(|it| it.opening.is_none()) {
            let mut known = values(store, stream, first, last).await?;
            for lacking in some.iter_mut().filter(|it| it.opening.is_none()) {
                let record = BASE64.decode(lacking.record.as_bytes())?;
                if !holds_commitments(&record) {
                    continue;
                }
                if let Some(row) = known.remove(&lacking.seq) {
                    lacking.opening = opening(stream, lacking.seq, &record, &row).with_context(|| refused(&path))?;
                }
                match lacking.opening {
                    Some(_) => filled += 1,
                    None => all.without += 1,
                }
            }
        }
        for Exported { seq, record, opening } in &some {
            file.write(&RecordLine { seq: *seq, record, opening: opening.as_deref() })?;
        }
    }
    file.finish()?;
    match filled {
        0 => std::fs::remove_file(&aside),
        _ => std::fs::rename(&aside, &path),
    }
    .with_context(|| format!("cannot write `{}`", path.display()))?;
    all.filled += filled;
    Ok(())
}

fn refused(path: &Path) -> String {
    format!(
        "no private values are added to `{}`, where all else is; verify the store and the directory, and export into another one meanwhile",
        path.display()
    )
}

/// What the store has beside a record, in base64. What does not belong to the record that was exported is not put beside it.
fn opening(stream: StreamId, seq: u64, record: &[u8], row: &StoredDecision) -> anyhow::Result<Option<String>> {
    if row.body != record {
        bail!("the store has another record at {stream}-{seq}");
    }
    let Some(opening) = &row.opening else { return Ok(None) };
    let decision =
        RecordedDecision::decode(DecisionId { stream, seq }, record).map_err(|why| anyhow::anyhow!("{why}"))?;
    let opened = decision.open(opening).map(|_| Some(BASE64.encode(opening)));
    opened.map_err(|why| anyhow::anyhow!("the values that the store has do not belong to {stream}-{seq}: {why}"))
}

fn read(path: &Path, place: &mut LinePlace) -> anyhow::Result<Vec<Exported>> {
    let mut some = Vec::new();
    lines_from(path, place, |line| {
        let RecordLine { seq, record, opening } = serde_json::from_slice(line)?;
        some.push(Exported { seq, record: record.to_owned(), opening: opening.map(str::to_owned) });
        Ok(some.len() < AT_ONCE)
    })?;
    Ok(some)
}

/// What the store has between two places.
async fn values(
    store: &Store,
    stream: StreamId,
    first: u64,
    last: u64,
) -> anyhow::Result<BTreeMap<u64, StoredDecision>> {
    let mut known = BTreeMap::new();
    by_place(store, stream, first.saturating_sub(1), last, async |rows| {
        known.extend(rows.iter().map(|row| (row.seq(), StoredDecision::clone(row))));
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(known)
}
