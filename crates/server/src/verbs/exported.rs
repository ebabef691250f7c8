//! A history in files: what `audit export` writes and `audit verify --from` reads.
//!
//! A directory holds, for each stream, `<stream>.records.jsonl` (a line `{"seq", "record"}` for each record, by place, with its
//! `"opening"` where private values were wanted) and
//! `<stream>.headers.jsonl` (a line `{"number", "header"}` for each header, by number) and, where retention took out some of
//! what a header is over, `<stream>.leaves.jsonl` (a line `{"seq", "leaf"}` for each leaf that was kept); `<log>.log.jsonl`
//! (a line `{"place", "kind", "entry"}` for each entry of the global log, by place) and `checkpoints.jsonl` (a line
//! `{"note"}` for each checkpoint). Records, headers, leaves and entries are the bytes that were sealed, in base64 (RFC 4648,
//! section 4).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use magistrate_ledger::verify::StreamVerifier;
use magistrate_ledger::{LogId, StoredCheckpoint, StoredDecision, StoredEntry, StoredHeader, StreamId, read_note};
use magistrate_model::Digest;
use magistrate_pdp::history::{HEADER_PAGE, StoredOpening, give_headers};
use magistrate_pdp::{Evidence, HistoryError};
use serde::{Deserialize, Serialize};

use super::verify::{LogOf, Records};
use crate::signing;

pub(super) const CHECKPOINTS: &str = "checkpoints.jsonl";
const RECORDS: &str = ".records.jsonl";
const HEADERS: &str = ".headers.jsonl";
const LEAVES: &str = ".leaves.jsonl";
const LOG: &str = ".log.jsonl";
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;
/// Records read between two tellings of how far it is.
const TOLD_EVERY: usize = 4_096;

/// A record in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine<'a> {
    pub(super) seq: u64,
    pub(super) record: &'a str,
    /// The private values, where they are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opening: Option<&'a str>,
}

/// A header in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine<'a> {
    pub(super) number: u64,
    pub(super) header: &'a str,
}

/// A leaf in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeafLine<'a> {
    pub(super) seq: u64,
    pub(super) leaf: &'a str,
}

/// An entry of the global log in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryLine<'a> {
    pub(super) place: u64,
    pub(super) kind: &'a str,
    pub(super) entry: &'a str,
}

/// The files of a stream.
pub(super) fn records_of(dir: &Path, stream: StreamId) -> PathBuf {
    dir.join(format!("{stream}{RECORDS}"))
}

/// Likewise.
pub(super) fn headers_of(dir: &Path, stream: StreamId) -> PathBuf {
    dir.join(format!("{stream}{HEADERS}"))
}

/// Likewise.
pub(super) fn leaves_of(dir: &Path, stream: StreamId) -> PathBuf {
    dir.join(format!("{stream}{LEAVES}"))
}

/// The file of the global log.
pub(super) fn log_of(dir: &Path, log: LogId) -> PathBuf {
    dir.join(format!("{log}{LOG}"))
}

/// A directory that holds an exported history.
#[derive(Debug)]
pub(super) struct Exported {
    dir: PathBuf,
    /// Where the last page of each stream's headers ended.
    places: Mutex<BTreeMap<StreamId, HeaderPlace>>,
}

/// Behind a header of that number.
#[derive(Debug, Clone, Copy, Default)]
struct HeaderPlace {
    after: u64,
    at: LinePlace,
}

/// Lines of a file that were read, and bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinePlace {
    lines: u64,
    bytes: u64,
}

impl Exported {
    /// Opens it; one that holds nothing of a history is none.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let exported = Self { dir: dir.to_owned(), places: Mutex::default() };
        let streams =
            exported.all().with_context(|| format!("cannot read the exported history in `{}`", dir.display()))?;
        if streams.is_empty() && !dir.join(CHECKPOINTS).exists() {
            bail!("`{}` holds no exported history; `magistrate audit export` makes one", dir.display());
        }
        Ok(exported)
    }

    /// The global log that has a file.
    pub(super) fn log_id(&self) -> anyhow::Result<Option<LogId>> {
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(LOG));
            if let Some(id) = stem.and_then(LogId::from_hex) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Gives every entry of the global log.
    pub(super) fn each_entry(&self, log: LogId, mut take: impl FnMut(&StoredEntry)) -> anyhow::Result<()> {
        each_line(&log_of(&self.dir, log), |_, line| {
            let EntryLine { place, kind, entry } = serde_json::from_slice(line)?;
            take(&StoredEntry::of_bytes(place, kind.to_owned(), BASE64.decode(entry.as_bytes())?));
            Ok(())
        })
    }

    /// Every stream that has a file.
    fn all(&self) -> std::io::Result<Vec<StreamId>> {
        let mut streams = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let stem = name.strip_suffix(RECORDS).or_else(|| name.strip_suffix(HEADERS));
            streams.extend(stem.and_then(StreamId::from_hex));
        }
        streams.sort();
        streams.dedup();
        Ok(streams)
    }
}

/// Gives every whole line of a file, and its number; none where it is not there. What is behind the last line's end was
/// written half.
pub(super) fn each_line(path: &Path, mut take: impl FnMut(u64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut number = 0;
    lines_from(path, &mut LinePlace::default(), |line| {
        number += 1;
        take(number, line).map(|()| true)
    })
}

/// The same from a place on, until no more are wanted; the place is then behind the last line that was given.
pub(super) fn lines_from(
    path: &Path,
    place: &mut LinePlace,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let at = |number: u64| format!("line {number} of `{}`", path.display());
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    file.seek(SeekFrom::Start(place.bytes)).with_context(|| at(place.lines))?;
    let (mut reader, mut line) = (BufReader::with_capacity(BUFFER, file), Vec::new());
    loop {
        line.clear();
        let number = place.lines + 1;
        let read = reader.read_until(b'\n', &mut line).with_context(|| at(number))?;
        let more = match line.strip_suffix(b"\n") {
            Some(whole) => take(whole).with_context(|| at(number))?,
            None if read == 0 => return Ok(()),
            None => bail!("{} was written half; run the export again", at(number)),
        };
        *place = LinePlace { lines: number, bytes: place.bytes + read as u64 };
        if !more {
            return Ok(());
        }
    }
}

impl Evidence for Exported {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        self.all().map_err(|error| HistoryError::Unreachable(error.to_string()))
    }

    async fn headers(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Pages are read one behind the other: each begins where the one before ended.
        let known = places.get(&stream).copied().filter(|known| known.after == after);
        let (mut place, skips) = (known.unwrap_or_default(), known.is_none() && after > 0);
        let mut headers = Vec::new();
        let read = lines_from(&headers_of(&self.dir, stream), &mut place.at, |line| {
            let HeaderLine { number, header } = serde_json::from_slice(line)?;
            if number > after || !skips {
                headers.push(StoredHeader::of_bytes(stream, number, BASE64.decode(header.as_bytes())?));
                place.after = number;
            }
            Ok(headers.len() < limit as usize)
        });
        places.insert(stream, place);
        read.map(|()| headers).map_err(|error| unreadable(&error))
    }

    /// The records tell themselves where they end; checkpoints say how far they must go.
    async fn last_place(&self, _stream: StreamId) -> Result<u64, HistoryError> {
        Ok(0)
    }

    async fn kept_leaves(&self, stream: StreamId) -> Result<Vec<(u64, Digest)>, HistoryError> {
        let mut leaves = Vec::new();
        let read = each_line(&leaves_of(&self.dir, stream), |_, line| {
            let LeafLine { seq, leaf } = serde_json::from_slice(line)?;
            leaves.push((seq, Digest::from_slice(&BASE64.decode(leaf.as_bytes())?)?));
            Ok(())
        });
        read.map(|()| leaves).map_err(|error| unreadable(&error))
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let mut checkpoints = Vec::new();
        let read = each_line(&self.dir.join(CHECKPOINTS), |_, line| {
            let note = signing::note_of(str::from_utf8(line)?).context("it holds no checkpoint")?;
            let said = read_note(&note)?;
            let root = said.root.as_bytes().to_vec();
            checkpoints.push(StoredCheckpoint { origin: said.origin, size: said.size.try_into()?, root, note });
            Ok(())
        });
        read.map(|()| checkpoints).map_err(|error| unreadable(&error))
    }

    async fn checkpoints_after(
        &self,
        origin: Option<&str>,
        (after, size): (&str, u64),
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let key = |it: &StoredCheckpoint| (it.origin.clone(), u64::try_from(it.size).unwrap_or(0));
        let mut all = self.checkpoints().await?;
        all.retain(|it| origin.is_none_or(|origin| it.origin == origin) && key(it) > (after.to_owned(), size));
        all.sort_by_key(key);
        all.truncate(limit as usize);
        Ok(all)
    }

    /// Columns are not exported: there is nothing to compare with what records say.
    async fn records(&self, _stream: StreamId, _after: u64, _limit: u32) -> Result<Vec<StoredDecision>, HistoryError> {
        Ok(Vec::new())
    }

    /// What is exported lies in the line of its record.
    async fn openings(&self, _after: Option<StoredOpening>, _limit: u32) -> Result<Vec<StoredOpening>, HistoryError> {
        Ok(Vec::new())
    }
}

impl Records for Exported {
    fn log(&self) -> LogOf<'_> {
        LogOf::Files(self)
    }

    async fn give(
        &self,
        stream: StreamId,
        verifier: &mut StreamVerifier,
        read: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let (path, mut place) = (records_of(&self.dir, stream), LinePlace::default());
        loop {
            let (mut page, before) = (Vec::new(), place.bytes);
            lines_from(&path, &mut place, |line| {
                let RecordLine { seq, record, opening } = serde_json::from_slice(line)?;
                let opening = opening.map(|opening| BASE64.decode(opening.as_bytes())).transpose()?;
                page.push((seq, BASE64.decode(record.as_bytes())?, opening));
                Ok(page.len() < TOLD_EVERY)
            })?;
            read(page.len() as u64);
            for (seq, record, opening) in page {
                give_headers(self, verifier, seq, HEADER_PAGE).await?;
                verifier.bytes(seq, record, opening.as_deref());
            }
            if place.bytes == before {
                return Ok(());
            }
        }
    }
}

fn unreadable(error: &anyhow::Error) -> HistoryError {
    HistoryError::Unreachable(format!("{error:#}"))
}
