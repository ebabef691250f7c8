//! A history in files: what `audit export` writes and `audit verify --from` reads.
//!
//! A directory holds, for each stream, `<stream>.records.jsonl` (a line `{"seq", "record"}` for each record, by place, with its
//! `"opening"` where private values were wanted) and
//! `<stream>.headers.jsonl` (a line `{"number", "header"}` for each header, by number) and, where retention took out some of
//! what a header is over, `<stream>.leaves.jsonl` (a line `{"seq", "leaf"}` for each leaf that was kept); `<log>.log.jsonl`
//! (a line `{"place", "kind", "entry"}` for each entry of the global log, by place) and `checkpoints.jsonl` (a line
//! `{"note"}` for each checkpoint). Records, headers, leaves and entries are the bytes that were sealed, in base64 (RFC 4648,
//! section 4).

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use magistrate_ledger::verify::StreamVerifier;
use magistrate_ledger::{
    DecisionId, LogId, StoredCheckpoint, StoredDecision, StoredEntry, StoredHeader, StreamId, read_note,
};
use magistrate_model::Digest;
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
/// Records between two tellings of how far it is.
const TOLD_EVERY: u64 = 4_096;

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
}

impl Exported {
    /// Opens it; one that holds nothing of a history is none.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let exported = Self { dir: dir.to_owned() };
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
    let at = |number: u64| format!("line {number} of `{}`", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let (mut reader, mut line, mut number) = (BufReader::with_capacity(BUFFER, file), Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let read = reader.read_until(b'\n', &mut line).with_context(|| at(number))?;
        match line.strip_suffix(b"\n") {
            Some(whole) => take(number, whole).with_context(|| at(number))?,
            None if read == 0 => return Ok(()),
            None => bail!("{} was written half; run the export again", at(number)),
        }
    }
}

impl Evidence for Exported {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        self.all().map_err(|error| HistoryError::Unreachable(error.to_string()))
    }

    async fn headers(&self, stream: StreamId) -> Result<Vec<StoredHeader>, HistoryError> {
        let mut headers = Vec::new();
        let read = each_line(&headers_of(&self.dir, stream), |_, line| {
            let HeaderLine { number, header } = serde_json::from_slice(line)?;
            headers.push(StoredHeader::of_bytes(stream, number, BASE64.decode(header.as_bytes())?));
            Ok(())
        });
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
    async fn stray_openings(&self, _limit: u32) -> Result<Vec<DecisionId>, HistoryError> {
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
        let mut untold = 0;
        each_line(&records_of(&self.dir, stream), |_, line| {
            let RecordLine { seq, record, opening } = serde_json::from_slice(line)?;
            let opening = opening.map(|opening| BASE64.decode(opening.as_bytes())).transpose()?;
            verifier.bytes(seq, BASE64.decode(record.as_bytes())?, opening.as_deref());
            untold += 1;
            if untold == TOLD_EVERY {
                read(std::mem::take(&mut untold));
            }
            Ok(())
        })?;
        read(untold);
        Ok(())
    }
}

fn unreadable(error: &anyhow::Error) -> HistoryError {
    HistoryError::Unreachable(format!("{error:#}"))
}
