//! Private values of records that were exported without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::BASE64;
use magistrate_ledger::StreamId;
use magistrate_pdp::history::by_place;

use super::super::exported::{LinePlace, RecordLine, lines_from, records_of};
use super::{Lines, opened};
use crate::store::Store;

/// Says that whatever is in the directory has the values it had when it was exported.
const COMPLETE: &str = "private-values";
/// Lines of a file that are held at a time.
const AT_ONCE: usize = 1_000;

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

/// Adds the values that the store has to the records of a stream that lack them, and returns how many do now. The file is
/// written anew beside the one that is there, so that nothing is lost wherever this ends; records stay as they were exported.
pub(super) async fn fill(store: &Store, dir: &Path, stream: StreamId) -> anyhow::Result<u64> {
    let (path, aside): (PathBuf, PathBuf) = (records_of(dir, stream), dir.join("records.new"));
    drop(std::fs::remove_file(&aside));
    let (mut file, mut place, mut filled) = (Lines::open(&aside, |_| Ok(0))?, LinePlace::default(), 0);
    loop {
        let mut some = read(&path, &mut place)?;
        let (Some(first), Some(last)) = (some.first().map(|it| it.seq), some.last().map(|it| it.seq)) else { break };
        if some.iter().any(|it| it.opening.is_none()) {
            let mut known = values(store, stream, first, last).await?;
            for lacking in some.iter_mut().filter(|it| it.opening.is_none()) {
                lacking.opening = known.remove(&lacking.seq);
                filled += u64::from(lacking.opening.is_some());
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
    Ok(filled)
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

/// The values that the store has of records between two places, in base64.
async fn values(store: &Store, stream: StreamId, first: u64, last: u64) -> anyhow::Result<BTreeMap<u64, String>> {
    let mut known = BTreeMap::new();
    by_place(store, stream, first.saturating_sub(1), last, async |rows| {
        let opened = rows.iter().filter_map(|row| Some((row.seq(), BASE64.encode(row.opening.as_ref()?))));
        known.extend(opened);
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(known)
}
