//! Opening a journal.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use magistrate_ledger::{Room, StreamId};
use magistrate_model::Instant;

use crate::error::OpenError;
use crate::format::SegmentId;
use crate::journal::Journal;
use crate::recover::{Backlog, Left, recover};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::threads::Threads;
use crate::vitals::{Lies, Vitals};

/// Where a journal lies, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its directory; made if it is missing.
    pub dir: PathBuf,
    /// Bytes of a segment. Two are made at the start: one to append to and a spare one.
    pub segment_bytes: u64,
    /// Bytes of all segments together; when they are reached, nothing more is taken.
    pub max_bytes: u64,
}

impl Options {
    /// The least and the most bytes of a segment.
    pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

    /// A journal of the usual size in this directory.
    pub fn of(dir: PathBuf) -> Self {
        Self { dir, segment_bytes: 16 << 20, max_bytes: 4 << 30 }
    }

    fn check(&self) -> Result<(), OpenError> {
        if !Self::SEGMENT_BYTES.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4_096) {
            return Err(OpenError::Options(format!(
                "`ledger.segment_bytes` is {}; it is a multiple of 4,096 from 1,048,576 to 1,073,741,824",
                self.segment_bytes
            )));
        }
        if self.max_bytes < 2 * self.segment_bytes {
            return Err(OpenError::Options(format!(
                "`ledger.journal_bytes` is {}; two segments of {} bytes must fit",
                self.max_bytes, self.segment_bytes
            )));
        }
        Ok(())
    }
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The appending end.
    pub journal: Journal,
    /// What keeps it.
    pub keeper: Keeper,
    /// What is to be shipped.
    pub unshipped: Unshipped,
    /// What earlier runs left, the oldest first.
    pub left: Vec<Left>,
}

/// Owns what a journal needs to run: its lock and its threads. When it is dropped, everything appended is on the disk,
/// unless the disk has failed.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    /// Dropped before the lock is let go.
    _threads: Threads,
    _lock: File,
}

/// Everything in a journal that no store has: what earlier runs left, and what this one will append.
#[derive(Debug)]
pub struct Unshipped {
    pub(crate) shared: Arc<Shared>,
    pub(crate) first: Arc<Segment>,
    pub(crate) backlog: Vec<Backlog>,
}

/// Opens a journal for a stream that has no records yet, and takes up what earlier runs left.
///
/// Waits for the disk. `now` tells when a segment is made.
pub fn open(options: &Options, stream: StreamId, now: fn() -> Instant) -> Result<Opened, OpenError> {
    options.check()?;
    let dir = options.dir.as_path();
    let refused = |error| OpenError::Io { path: dir.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refused)?;
    let lock = lock(dir)?;
    let backlog = recover(dir).map_err(refused)?;
    let (left, kept) = (
        backlog.iter().map(|backlog| backlog.left.clone()).collect(),
        backlog.iter().flat_map(|backlog| &backlog.segments).map(|segment| segment.size).sum(),
    );
    let shared = Shared::new(dir.to_owned(), stream, options.segment_bytes, options.max_bytes, kept);
    shared.backlog.store(backlog.iter().map(|backlog| backlog.records).sum(), Ordering::Release);
    let shared = Arc::new(shared);
    let first = first_segment(&shared, now()).map_err(refused)?;
    let threads = Threads::start(&shared, now).map_err(refused)?;
    let journal = Journal::new(Arc::clone(&shared), Arc::clone(&first));
    let unshipped = Unshipped { shared: Arc::clone(&shared), first, backlog };
    Ok(Opened { journal, keeper: Keeper { shared, _threads: threads, _lock: lock }, unshipped, left })
}

fn first_segment(shared: &Shared, now: Instant) -> io::Result<Arc<Segment>> {
    let id = SegmentId { stream: shared.stream, number: 0 };
    let segment = Arc::new(Segment::create(&shared.dir, id, shared.segment_bytes, now)?);
    let mut space = shared.space();
    space.next = 1;
    space.bytes += segment.size;
    space.used.insert(0, Arc::clone(&segment));
    shared.room.add(i64::try_from(shared.capacity()).unwrap_or(i64::MAX));
    Ok(segment)
}

/// The lock ends with the process.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let refused = |error| OpenError::Io { path: path.clone(), error };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// Nothing is taken any more once the lock is let go: the next process has read what is there.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.refuse("the journal is closed");
    }
}

impl Keeper {
    /// The room that the journal has.
    pub fn room(&self) -> Arc<Room> {
        Arc::clone(&self.shared.room)
    }

    /// How the journal is now.
    pub fn vitals(&self) -> Vitals {
        Vitals::of(&self.shared)
    }

    /// The same for whoever does not own the journal.
    pub fn watch(&self) -> impl Fn() -> Vitals + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || Vitals::of(&shared)
    }

    /// Whether the journal lies where it outlives its node's process, but not its container or the power.
    pub fn lies(&self) -> Lies {
        Lies::of(&self.shared.dir)
    }

    /// Completes when the disk has failed, and says how: the process must end.
    pub async fn failed(&self) -> String {
        self.shared.failed().await
    }
}
