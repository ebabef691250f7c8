//! What the appending end, the shipper and the journal's threads share.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use magistrate_ledger::{CommitFailed, Room, StreamId};
use tokio::sync::{Notify, oneshot, watch};

use crate::format::{FRAME_HEADER, Kind, SEGMENT_HEADER};
use crate::segment::Segment;

/// Bytes at the end of each segment that only headers take.
const KEPT_FOR_HEADERS: u64 = 8_192;

/// A place in a stream's segments: number of the segment and offset in it, in the order of appending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) number: u32,
    pub(crate) offset: u64,
}

impl Position {
    pub(crate) const START: Self = Self { number: 0, offset: SEGMENT_HEADER as u64 };

    /// Offsets are below 4 GiB: [`Options`](crate::Options) sees to that.
    fn packed(self) -> u64 {
        u64::from(self.number) << 32 | self.offset
    }

    fn unpacked(packed: u64) -> Self {
        Self { number: u32::try_from(packed >> 32).unwrap_or(u32::MAX), offset: packed & u64::from(u32::MAX) }
    }
}

/// Tells whoever waits that its records are durable, or why not.
pub(crate) type Waiter = oneshot::Sender<Result<(), String>>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) stream: StreamId,
    pub(crate) segment_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) room: Arc<Room>,
    space: Mutex<Space>,
    space_changed: Condvar,
    syncing: Mutex<Syncing>,
    sync_wanted: Condvar,
    shipping: Mutex<Shipping>,
    end: AtomicU64,
    /// The last `seq` that was appended.
    appended: AtomicU64,
    /// The last `seq` of this stream that a store has.
    shipped: AtomicU64,
    /// Records of earlier streams that no store has yet.
    pub(crate) backlog: AtomicU64,
    /// When the oldest record was decided that no store has, in microseconds; 0 if there is none.
    pub(crate) oldest: AtomicI64,
    /// When the newest checkpoint was made, in microseconds; 0 before the first.
    pub(crate) checkpoint_at: AtomicI64,
    /// Something was appended.
    pub(crate) news: Notify,
    /// Somebody waits for a store.
    pub(crate) hurry: Notify,
    failed: watch::Sender<Option<String>>,
}

/// Segments of the running stream.
#[derive(Debug)]
pub(crate) struct Space {
    /// Those that hold something and are still needed.
    pub(crate) used: BTreeMap<u32, Arc<Segment>>,
    /// Those that are made and hold nothing.
    pub(crate) spare: VecDeque<Arc<Segment>>,
    /// The number of the next to be made.
    pub(crate) next: u32,
    /// Bytes of all files of the journal.
    pub(crate) bytes: u64,
    pub(crate) stopping: bool,
}

#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) wanted: Position,
    pub(crate) synced: Position,
    pub(crate) waiters: Vec<(Position, Waiter)>,
    pub(crate) stopping: bool,
}

#[derive(Debug, Default)]
struct Shipping {
    waiters: Vec<(u64, Waiter)>,
    /// Why the store takes nothing at present.
    trouble: Option<String>,
}

impl Shared {
    pub(crate) fn new(dir: PathBuf, stream: StreamId, segment_bytes: u64, max_bytes: u64, kept: u64) -> Self {
        let space = Space { used: BTreeMap::new(), spare: VecDeque::new(), next: 0, bytes: kept, stopping: false };
        let start = Position::START;
        Self {
            dir,
            stream,
            segment_bytes,
            max_bytes,
            room: Arc::default(),
            space: Mutex::new(space),
            space_changed: Condvar::new(),
            syncing: Mutex::new(Syncing { wanted: start, synced: start, waiters: Vec::new(), stopping: false }),
            sync_wanted: Condvar::new(),
            shipping: Mutex::default(),
            end: AtomicU64::new(start.packed()),
            appended: AtomicU64::new(0),
            shipped: AtomicU64::new(0),
            backlog: AtomicU64::new(0),
            oldest: AtomicI64::new(0),
            checkpoint_at: AtomicI64::new(0),
            news: Notify::new(),
            hurry: Notify::new(),
            failed: watch::Sender::new(None),
        }
    }

    pub(crate) fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn space_changed(&self) -> &Condvar {
        &self.space_changed
    }

    pub(crate) fn syncing(&self) -> MutexGuard<'_, Syncing> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sync_wanted(&self) -> &Condvar {
        &self.sync_wanted
    }

    /// Bytes for records in a segment.
    pub(crate) fn capacity(&self) -> u64 {
        self.left_for_records(SEGMENT_HEADER as u64)
    }

    /// Where frames of this kind must end: room is kept for the one that ends the segment, and for headers. A journal
    /// that takes no more records still takes what covers them, without which nothing of it could go.
    pub(crate) fn last_for(&self, kind: Kind) -> u64 {
        let last = self.segment_bytes - FRAME_HEADER as u64;
        match kind {
            Kind::Record => last - KEPT_FOR_HEADERS,
            Kind::Header | Kind::End => last,
        }
    }

    /// Bytes that records may still take in a segment whose next frame lies here.
    pub(crate) fn left_for_records(&self, at: u64) -> u64 {
        self.last_for(Kind::Record).saturating_sub(at)
    }

    /// Takes an empty segment into use.
    pub(crate) fn take_spare(&self) -> Option<Arc<Segment>> {
        let mut space = self.space();
        let segment = space.spare.pop_front()?;
        space.used.insert(segment.id.number, Arc::clone(&segment));
        self.space_changed.notify_all();
        Some(segment)
    }

    /// Gives back what was taken last and not used.
    pub(crate) fn give_back(&self, segment: Arc<Segment>) {
        let mut space = self.space();
        space.used.remove(&segment.id.number);
        space.spare.push_front(segment);
    }

    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        self.space().used.get(&number).map(Arc::clone)
    }

    /// Where the next frame will be.
    pub(crate) fn end(&self) -> Position {
        Position::unpacked(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(crate) fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Acquire)
    }

    /// Tells that frames were appended.
    pub(crate) fn advance(&self, end: Position, last: Option<u64>) {
        self.end.store(end.packed(), Ordering::Release);
        if let Some(last) = last {
            self.appended.store(last, Ordering::Release);
        }
        self.news.notify_one();
    }

    /// Completes once everything before `position` is on the disk.
    pub(crate) fn once_synced(&self, position: Position, waiter: Waiter) {
        let mut syncing = self.syncing();
        syncing.wanted = syncing.wanted.max(position);
        syncing.waiters.push((position, waiter));
        self.sync_wanted.notify_one();
    }

    /// Completes once a store has the record `seq`; fails when the store does not take it.
    pub(crate) fn once_shipped(&self, seq: u64, waiter: Waiter) {
        let mut shipping = self.shipping();
        if let Some(why) = &shipping.trouble {
            let _gone = waiter.send(Err(why.clone()));
            return;
        }
        shipping.waiters.push((seq, waiter));
        drop(shipping);
        // Asked after the waiter can be seen: either the shipper finds it, or it has shipped already.
        if self.shipped() >= seq {
            self.tell_shipped(self.shipped());
        }
        self.hurry.notify_one();
    }

    /// Why the store takes nothing at present.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shipping().trouble.clone()
    }

    /// Tells that the store takes nothing: whoever waits for it waits no longer. Their records are shipped later.
    pub(crate) fn tell_trouble(&self, why: &str) {
        let mut shipping = self.shipping();
        shipping.trouble = Some(why.to_owned());
        let waiters = std::mem::take(&mut shipping.waiters);
        drop(shipping);
        tell(waiters, &Err(why.to_owned()));
    }

    /// Tells that it takes records again.
    pub(crate) fn tell_no_trouble(&self) {
        self.shipping().trouble = None;
    }

    /// Tells that a store has everything up to `seq`.
    pub(crate) fn tell_shipped(&self, seq: u64) {
        self.shipped.fetch_max(seq, Ordering::AcqRel);
        let mut shipping = self.shipping();
        if shipping.waiters.is_empty() {
            return;
        }
        let (done, waiting) = std::mem::take(&mut shipping.waiters).into_iter().partition(|(wanted, _)| *wanted <= seq);
        shipping.waiters = waiting;
        drop(shipping);
        tell(done, &Ok(()));
    }

    /// Forgets a segment that is no longer needed, and its file.
    pub(crate) fn release(&self, number: u32) {
        let mut space = self.space();
        if let Some(segment) = space.used.remove(&number) {
            space.bytes = space.bytes.saturating_sub(segment.size);
            remove(&segment);
        }
        self.space_changed.notify_all();
    }

    /// Takes nothing any more: what waits for the disk will not be on it.
    pub(crate) fn refuse(&self, why: &str) {
        self.room.close(why.to_owned());
        let why = self.room.why().unwrap_or_else(|| why.to_owned());
        tell(std::mem::take(&mut self.syncing().waiters), &Err(why.clone()));
        tell(std::mem::take(&mut self.shipping().waiters), &Err(why));
    }

    /// The same, for what the process must not survive.
    pub(crate) fn fail(&self, why: &str) {
        self.refuse(why);
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| why.to_owned());
            first
        });
    }

    /// Completes when the disk has failed, and says how.
    pub(crate) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }

    fn shipping(&self) -> MutexGuard<'_, Shipping> {
        self.shipping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the file of a segment that nobody needs.
pub(crate) fn remove(segment: &Segment) {
    if let Err(error) = std::fs::remove_file(&segment.path) {
        tracing::warn!(path = %segment.path.display(), %error, "a segment of the journal that is shipped cannot be removed");
    }
}

pub(crate) fn tell<T>(waiters: Vec<(T, Waiter)>, outcome: &Result<(), String>) {
    for (_, waiter) in waiters {
        // Whoever has gone away has its record all the same.
        let _gone = waiter.send(outcome.clone());
    }
}

/// Waits for a waiter to be told.
pub(crate) async fn told(records: usize, told: oneshot::Receiver<Result<(), String>>) -> Result<(), CommitFailed> {
    let outcome = told.await.unwrap_or_else(|_| Err("the journal was closed".to_owned()));
    outcome.map_err(|why| CommitFailed { records, conflict: false, why })
}
