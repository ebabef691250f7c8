//! `audit export`: the history into files.

mod filling;

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use data_encoding::BASE64;
use magistrate_ledger::{LogId, StoredCheckpoint, StoredHeader, StreamId};
use magistrate_pdp::{Evidence as _, GlobalLog as _};
use serde::Serialize;
use serde_json::json;

use filling::Filled;

use super::audit;
use super::exported::{
    CHECKPOINTS, EntryLine, HeaderLine, LeafLine, RecordLine, each_line, headers_of, leaves_of, log_of, records_of,
};
use super::progress::Counting;
use crate::output::Out;
use crate::signing;
use crate::store::Store;
use magistrate_pdp::history::{HEADER_PAGE, by_place, each_header};

/// The end of a file, where its last line is looked for: more than the longest record in base64.
const TAIL: u64 = 8 << 20;

/// Entries of the log read at a time.
const ENTRIES: u32 = 1_000;

/// What was added.
#[derive(Default)]
struct Added {
    records: u64,
    headers: u64,
    checkpoints: u64,
    entries: u64,
    /// Records that were there without their private values.
    lacking: Filled,
}

/// Copies what is not in the directory yet.
///
/// What is read first is written last: checkpoints cover headers that are there, headers cover records that are there,
/// whenever it is interrupted and whatever is recorded meanwhile.
pub(crate) async fn run(store: &Store, out: Out, dir: &Path, with_private: bool) -> anyhow::Result<()> {
    let _lock = lock(dir)?;
    let checkpoints = store.checkpoints().await?;
    let (log, size) = (store.log_id().await?, store.log_size().await?);
    let streams = store.streams().await?;
    let mut total = 0;
    for stream in &streams {
        total += store.last_place(*stream).await?;
    }
    let query = if with_private { "with private values" } else { "" };
    audit::note(store, "export", query.to_owned(), total).await?;
    let (mut added, mut counting) = (Added::default(), Counting::new("exporting", total));
    let are_lacking = filling::are_lacking(dir, with_private)?;
    for stream in &streams {
        let last = last_header(store, dir, *stream).await?;
        added.records += records(store, dir, *stream, with_private, &mut counting).await?;
        added.headers += headers(store, dir, *stream, last).await?;
        leaves(store, dir, *stream).await?;
    }
    if let Some(log) = log {
        added.entries = entries(store, dir, log, size).await?;
    }
    added.checkpoints = append_checkpoints(dir, &checkpoints)?;
    // Behind all else: whatever is wrong with private values, everything that is sealed is there, and what was written half is
    // not any more.
    if are_lacking {
        for stream in &streams {
            filling::fill(store, dir, *stream, &mut added.lacking).await?;
        }
        filling::complete(dir)?;
    }
    counting.end();
    let Added { records, headers, checkpoints, entries, lacking: Filled { filled, without } } = added;
    let told = || {
        let private = match (filled, without) {
            (0, 0) => String::new(),
            (filled, 0) => format!("; {filled} records that were there have their private values now"),
            (filled, without) => format!(
                "; {filled} records that were there have their private values now, and of {without} the store has none any more"
            ),
        };
        format!(
            "{records} records, {headers} headers, {checkpoints} checkpoints and {entries} entries of the log were added to `{}`, of {} streams{private}",
            dir.display(),
            streams.len()
        )
    };
    let json = || {
        json!({ "records": records, "headers": headers, "checkpoints": checkpoints, "entries": entries,
            "streams": streams.len(), "filled": filled, "without_values": without })
    };
    Ok(out.either(told, json)?)
}

/// Makes the directory, for its owner alone, and keeps other exports out of it.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the directory `{}`", dir.display()))?;
    let path = dir.join("export.lock");
    let file = opened(&path).with_context(|| format!("cannot use the directory `{}`", dir.display()))?;
    file.try_lock().with_context(|| {
        format!("another export writes to `{}`; wait for its end, or give another directory", dir.display())
    })?;
    Ok(file)
}

/// A file of people's doings: for its owner alone, and never another one behind a link.
fn opened(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

async fn records(
    store: &Store,
    dir: &Path,
    stream: StreamId,
    with_private: bool,
    counting: &mut Counting,
) -> anyhow::Result<u64> {
    let path = records_of(dir, stream);
    let mut file = Lines::open(&path, |line| Ok(serde_json::from_slice::<RecordLine<'_>>(line)?.seq))?;
    let (after, mut added) = (file.last, 0);
    counting.add(after);
    by_place(store, stream, after, u64::MAX, async |rows| {
        for row in rows {
            let opening = row.opening.as_ref().filter(|_| with_private).map(|opening| BASE64.encode(opening));
            let (record, opening) = (&BASE64.encode(&row.body), opening.as_deref());
            file.write(&RecordLine { seq: row.seq(), record, opening })?;
        }
        counting.add(rows.len() as u64);
        added += rows.len() as u64;
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    file.finish()?;
    Ok(added)
}

/// Leaves that retention kept: few, and written anew, for more come in between.
async fn leaves(store: &Store, dir: &Path, stream: StreamId) -> anyhow::Result<()> {
    let kept = store.kept_leaves(stream).await?;
    if kept.is_empty() {
        return Ok(());
    }
    let (path, aside) = (leaves_of(dir, stream), dir.join("leaves.new"));
    drop(std::fs::remove_file(&aside));
    let mut file = Lines::open(&aside, |_| Ok(0))?;
    for (seq, leaf) in kept {
        file.write(&LeafLine { seq, leaf: &BASE64.encode(leaf.as_bytes()) })?;
    }
    file.finish()?;
    std::fs::rename(&aside, &path).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Entries of the global log, as many as there were when the export began: what they are over is there then.
async fn entries(store: &Store, dir: &Path, log: LogId, size: u64) -> anyhow::Result<u64> {
    let path = log_of(dir, log);
    let mut file = Lines::open(&path, |line| Ok(serde_json::from_slice::<EntryLine<'_>>(line)?.place + 1))?;
    let (mut next, mut added) = (file.last, 0);
    while next < size {
        let page = store.entries(next, ENTRIES).await?;
        for row in page.iter().filter(|row| u64::try_from(row.index).is_ok_and(|place| place < size)) {
            let place = u64::try_from(row.index)?;
            file.write(&EntryLine { place, kind: &row.kind, entry: &BASE64.encode(&row.body) })?;
            added += 1;
        }
        let Some(last) = page.last() else { break };
        next = u64::try_from(last.index)? + 1;
    }
    file.finish()?;
    Ok(added)
}

/// The number of the last header that is there, of those that the file has not.
async fn last_header(store: &Store, dir: &Path, stream: StreamId) -> anyhow::Result<u64> {
    let path = headers_of(dir, stream);
    let mut last = header_lines(&path)?.last;
    each_header(store, stream, last, HEADER_PAGE, |page| {
        last = page.last().map_or(Ok(last), number)?;
        Ok::<_, anyhow::Error>(true)
    })
    .await?;
    Ok(last)
}

/// Headers up to that one: what they are over was read after it.
async fn headers(store: &Store, dir: &Path, stream: StreamId, last: u64) -> anyhow::Result<u64> {
    let path = headers_of(dir, stream);
    let (mut file, mut added) = (header_lines(&path)?, 0);
    each_header(store, stream, file.last, HEADER_PAGE, |page| {
        for row in page {
            let number = number(row)?;
            if number > last {
                return Ok(false);
            }
            file.write(&HeaderLine { number, header: &BASE64.encode(&row.header) })?;
            added += 1;
        }
        Ok::<_, anyhow::Error>(true)
    })
    .await?;
    file.finish()?;
    Ok(added)
}

fn header_lines(path: &Path) -> anyhow::Result<Lines<'_>> {
    Lines::open(path, |line| Ok(serde_json::from_slice::<HeaderLine<'_>>(line)?.number))
}

fn number(row: &StoredHeader) -> anyhow::Result<u64> {
    u64::try_from(row.number).context("a header has a number below 0")
}

fn append_checkpoints(dir: &Path, checkpoints: &[StoredCheckpoint]) -> anyhow::Result<u64> {
    let path = dir.join(CHECKPOINTS);
    let mut file = Lines::open(&path, |_| Ok(0))?;
    let mut known = BTreeSet::new();
    each_line(&path, |_, line| {
        known.extend(signing::note_of(str::from_utf8(line)?));
        Ok(())
    })?;
    let mut added = 0;
    for checkpoint in checkpoints.iter().filter(|it| !known.contains(&it.note)) {
        file.write(&json!({ "note": checkpoint.note }))?;
        added += 1;
    }
    file.finish()?;
    Ok(added)
}

/// A file of lines that is added to.
struct Lines<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    /// What its last line says of where it is.
    last: u64,
}

impl<'a> Lines<'a> {
    /// Opens it behind its last whole line; what was written half is cut off.
    fn open(path: &'a Path, place: impl Fn(&[u8]) -> anyhow::Result<u64>) -> anyhow::Result<Self> {
        let open = || -> anyhow::Result<(File, u64)> {
            let mut file = opened(path)?;
            let length = file.metadata()?.len();
            let from = length.saturating_sub(TAIL);
            let mut end = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut end)?;
            let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = end.get(..whole).unwrap_or_default();
            let last =
                lines.strip_suffix(b"\n").map(|lines| lines.rsplit(|byte| *byte == b'\n').next().unwrap_or(lines));
            let last = last.map(place).transpose().context("its last line is none of an export")?;
            let length = from + whole as u64;
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok((file, last.unwrap_or(0)))
        };
        let (file, last) = open().with_context(|| format!("cannot add to `{}`", path.display()))?;
        Ok(Self { path, file: BufWriter::new(file), last })
    }

    fn write(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(std::io::Error::from);
        written
            .and_then(|()| self.file.write_all(b"\n"))
            .with_context(|| format!("cannot write `{}`; run the export again when there is room", self.path.display()))
    }

    /// Brings it to the disk.
    fn finish(mut self) -> anyhow::Result<()> {
        let kept = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        kept.with_context(|| format!("cannot write `{}`; run the export again when there is room", self.path.display()))
    }
}
