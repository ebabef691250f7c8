//! What earlier runs left in the journal.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use magistrate_ledger::{Covered, LeftStream, Says, SealedHeader, StreamId, Tree, leaf};
use magistrate_model::{Digest, Instant};

use crate::format::{Found, Kind, SEGMENT_HEADER, look, resume};
use crate::segment::Segment;
use crate::shared::remove;

/// A run that ended, as its segments tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its stream.
    pub stream: StreamId,
    /// When it began.
    pub began: Instant,
    /// The last record in the journal; 0 if it has none.
    pub last_seq: u64,
    /// The hash of the last header in the journal, if there is one.
    pub last_header: Option<Digest>,
    /// Whether that header says that the stream ended.
    pub closed: bool,
    /// Records behind the last header.
    pub unsealed: Covered,
    /// Bytes at the end that were written half, and are cut off.
    pub cut: u64,
    /// Records that are gone, although later ones are there: the disk lost or changed them, or somebody did.
    pub lost: Vec<RangeInclusive<u64>>,
    /// Places whose bytes are not what was written, for people.
    pub damage: Vec<String>,
}

impl Left {
    /// As the next stream's first header tells of it.
    pub(crate) fn told(&self) -> LeftStream {
        LeftStream {
            stream: self.stream,
            last_header: self.last_header,
            unsealed: self.unsealed,
            cut: self.cut,
            lost: self.lost.clone(),
        }
    }

    /// Whether there is anything to tell: a stream that held nothing, or ended in peace and is whole, needs no word.
    pub(crate) fn is_worth_telling(&self) -> bool {
        let whole = self.closed && self.unsealed.count == 0 && self.cut == 0 && self.lost.is_empty();
        !whole && (self.last_seq > 0 || self.last_header.is_some())
    }
}

/// A stretch of whole frames.
#[derive(Debug)]
pub(crate) struct Extent {
    pub(crate) segment: Arc<Segment>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A run that ended, and where its frames are.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) left: Left,
    pub(crate) extents: Vec<Extent>,
    /// All segments, those without a frame as well.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) records: u64,
}

/// Everything of earlier runs, the oldest first. What was written half is cut off.
pub(crate) fn recover(dir: &Path) -> io::Result<Vec<Backlog>> {
    let mut streams: BTreeMap<[u8; 16], Vec<Arc<Segment>>> = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "segment") {
            continue;
        }
        match Segment::open(&path)? {
            Some(segment) => streams.entry(*segment.id.stream.as_bytes()).or_default().push(Arc::new(segment)),
            None => set_aside(&path)?,
        }
    }
    let scanned: io::Result<Vec<Backlog>> = streams.into_values().map(scan).collect();
    let mut backlogs = scanned?;
    // A run that appended nothing leaves nothing.
    backlogs.retain(|backlog| {
        let holds = !backlog.extents.is_empty() || backlog.left.cut > 0 || !backlog.left.damage.is_empty();
        if !holds {
            backlog.segments.iter().for_each(|segment| remove(segment));
        }
        holds
    });
    backlogs.sort_by_key(|backlog| backlog.left.began);
    Ok(backlogs)
}

/// A file whose beginning is not that of a segment: its making was cut off, and it holds nothing; or it was changed.
fn set_aside(path: &Path) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    if bytes.iter().skip(SEGMENT_HEADER).all(|byte| *byte == 0) {
        return std::fs::remove_file(path);
    }
    tracing::error!(path = %path.display(), "a segment of the journal cannot be read; it is kept, and named `.damaged`");
    std::fs::rename(path, path.with_extension("damaged"))
}

/// A run's segments, while they are read.
struct Scan {
    left: Left,
    extents: Vec<Extent>,
    records: u64,
    /// Places and leaves of the records behind the last header.
    unsealed: VecDeque<(u64, Digest)>,
}

fn scan(mut segments: Vec<Arc<Segment>>) -> io::Result<Backlog> {
    segments.sort_by_key(|segment| segment.id.number);
    let first = segments.first().ok_or_else(|| io::Error::other("a stream without segments"))?;
    let left = Left {
        stream: first.id.stream,
        began: first.made_at,
        last_seq: 0,
        last_header: None,
        closed: false,
        unsealed: Covered { first_seq: 1, count: 0, root: Tree::default().root() },
        cut: 0,
        lost: Vec::new(),
        damage: Vec::new(),
    };
    let mut scan = Scan { left, extents: Vec::new(), records: 0, unsealed: VecDeque::new() };
    let holds = |segment: &Arc<Segment>| segment.all().map(|bytes| bytes.iter().skip(SEGMENT_HEADER).any(|b| *b != 0));
    let mut last_used = None;
    for (index, segment) in segments.iter().enumerate() {
        if holds(segment)? {
            last_used = Some(index);
        }
    }
    for (index, segment) in segments.iter().enumerate().take(last_used.map_or(0, |last| last + 1)) {
        scan.segment(segment, Some(index) == last_used)?;
    }
    let Scan { mut left, extents, records, unsealed } = scan;
    if let Some((first_seq, _)) = unsealed.front() {
        left.unsealed.first_seq = *first_seq;
    }
    let leaves: Tree = unsealed.into_iter().map(|(_, leaf)| leaf).collect();
    (left.unsealed.count, left.unsealed.root) = (leaves.size(), leaves.root());
    Ok(Backlog { left, extents, segments, records })
}

impl Scan {
    fn segment(&mut self, segment: &Arc<Segment>, is_last: bool) -> io::Result<()> {
        let bytes = segment.all()?;
        let seed = segment.id.seed();
        let (mut at, mut from) = (SEGMENT_HEADER, SEGMENT_HEADER);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match look(rest, &seed) {
                Found::Frame { kind, number, holds, size, .. } => {
                    self.frame(kind, number, holds);
                    at += size;
                    if kind == Kind::End {
                        break;
                    }
                }
                Found::Blank if !rest.iter().any(|byte| *byte != 0) => break,
                Found::Blank | Found::Broken => {
                    self.extent(segment, from, at);
                    match resume(&bytes, at + 1, &seed) {
                        Some(next) => {
                            self.damaged(segment, at, next - at);
                            (at, from) = (next, next);
                        }
                        None if is_last => return self.cut(segment, at, rest),
                        None => {
                            self.damaged(segment, at, rest.len());
                            return Ok(());
                        }
                    }
                }
            }
        }
        self.extent(segment, from, at);
        Ok(())
    }

    fn frame(&mut self, kind: Kind, number: u64, holds: &[u8]) {
        match kind {
            Kind::Record => {
                // The segments before the first may have been shipped and removed.
                if self.records > 0 && number > self.left.last_seq + 1 {
                    self.left.lost.push(self.left.last_seq + 1..=number - 1);
                }
                self.left.last_seq = number;
                self.records += 1;
                self.unsealed.push_back((number, leaf(self.left.stream, number, holds)));
            }
            Kind::Header => {
                if let Ok(SealedHeader { header, hash, .. }) = SealedHeader::decode(holds) {
                    (self.left.last_header, self.left.closed) = (Some(hash), header.says == Says::Closes);
                    let next_seq = header.covers.next_seq();
                    self.left.unsealed.first_seq = next_seq;
                    while self.unsealed.front().is_some_and(|(seq, _)| *seq < next_seq) {
                        self.unsealed.pop_front();
                    }
                }
            }
            Kind::End => {}
        }
    }

    fn extent(&mut self, segment: &Arc<Segment>, from: usize, to: usize) {
        if from < to {
            let (from, to) = (from as u64, to as u64);
            self.extents.push(Extent { segment: Arc::clone(segment), from, to });
        }
    }

    fn damaged(&mut self, segment: &Segment, at: usize, bytes: usize) {
        let place = format!("{bytes} bytes at byte {at} of `{}`", segment.path.display());
        self.left.damage.push(place);
    }

    /// What is not whole at the end was being written when the run ended: nobody was told that it is there.
    fn cut(&mut self, segment: &Segment, at: usize, rest: &[u8]) -> io::Result<()> {
        let torn = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.left.cut = torn as u64;
        segment.write(at as u64, &vec![0; torn])?;
        segment.sync()
    }
}
