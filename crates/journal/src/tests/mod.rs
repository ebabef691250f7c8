#![expect(clippy::disallowed_methods, reason = "tests wait for what they spawn")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use magistrate_ledger::{Appended, Draft, NotRecorded, NoteSigner, Receipt, SignedCheckpoint, StreamId, Writer};
use magistrate_model::{DurabilityClass, Instant, Span};
use magistrate_pdp::Clock as _;
use magistrate_testkit::store_suite::sample::Decided;
use magistrate_testkit::{FakeClock, MemorySink, instant, nonce};
use tempfile::TempDir;

use crate::*;

mod appending;
mod openings;
mod recovering;
mod sealing;
mod shipping;

/// What goes wrong with the segments of a directory.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    writes_fail: AtomicBool,
    syncs_fail: AtomicBool,
    syncs: AtomicUsize,
    /// Whether syncs hang.
    hang: Mutex<bool>,
    released: Condvar,
}

impl Faults {
    pub(crate) fn on_write(&self) -> io::Result<()> {
        fail(&self.writes_fail)
    }

    pub(crate) fn on_sync(&self) -> io::Result<()> {
        let mut hang = self.hang.lock().unwrap();
        self.syncs.fetch_add(1, Ordering::SeqCst);
        while *hang {
            hang = self.released.wait(hang).unwrap();
        }
        drop(hang);
        fail(&self.syncs_fail)
    }

    fn hang(&self, hang: bool) {
        *self.hang.lock().unwrap() = hang;
        self.released.notify_all();
    }

    /// Waits until so many syncs have begun.
    fn begun(&self, syncs: usize) {
        while self.syncs.load(Ordering::SeqCst) < syncs {
            std::thread::yield_now();
        }
    }
}

fn fail(fails: &AtomicBool) -> io::Result<()> {
    match fails.load(Ordering::SeqCst) {
        true => Err(io::Error::other("the disk was told to fail")),
        false => Ok(()),
    }
}

/// The faults of the directory that a segment lies in.
pub(crate) fn faults(segment: &Path) -> Arc<Faults> {
    static ALL: Mutex<Option<HashMap<PathBuf, Arc<Faults>>>> = Mutex::new(None);
    let dir = segment.parent().unwrap().to_owned();
    Arc::clone(ALL.lock().unwrap().get_or_insert_default().entry(dir).or_default())
}

const SMALL: u64 = 1 << 20;

/// A journal that runs.
struct Running {
    dir: PathBuf,
    keeper: Keeper,
    writer: Arc<Writer>,
    unshipped: Option<Unshipped>,
    left: Vec<Left>,
    clock: FakeClock,
    exported: Arc<Mutex<Vec<SignedCheckpoint>>>,
}

impl Running {
    fn open(dir: &Path) -> Self {
        Self::with(&Options { segment_bytes: SMALL, ..Options::of(dir.to_owned()) })
    }

    fn with(options: &Options) -> Self {
        let stream = StreamId::new(nonce());
        let Opened { journal, keeper, unshipped, left } = open(options, stream, now).unwrap();
        let writer = Arc::new(Writer::new(journal, keeper.room(), stream, nonce));
        let (clock, exported) = (FakeClock::at(now()), Arc::default());
        Self { dir: options.dir.clone(), keeper, writer, unshipped: Some(unshipped), left, clock, exported }
    }

    fn shipper(&mut self, store: &MemorySink) -> Shipper<MemorySink> {
        let (clock, exported) = (self.clock.clone(), Arc::clone(&self.exported));
        let sealing = Sealing {
            writer: Arc::clone(&self.writer),
            signer: signer(),
            node: "node-1".to_owned(),
            now: Arc::new(move || clock.now()),
            export: Box::new(move |signed| exported.lock().unwrap().push(signed.clone())),
        };
        Shipper::new(store.clone(), self.unshipped.take().unwrap(), sealing)
    }

    fn faults(&self) -> Arc<Faults> {
        faults(&self.dir.join("any"))
    }

    /// Appends at class `process`, which waits for nothing.
    fn append(&self, count: usize) -> Vec<Receipt> {
        self.try_append(count).unwrap()
    }

    fn try_append(&self, count: usize) -> Result<Vec<Receipt>, NotRecorded> {
        match self.writer.append(drafts(count, DurabilityClass::Process))? {
            Appended::Durable(receipts) => Ok(receipts),
            Appended::Pending(_) => panic!("the class `process` waits for nothing"),
        }
    }

    async fn append_at(&self, count: usize, class: DurabilityClass) -> Result<Vec<Receipt>, NotRecorded> {
        match self.writer.append(drafts(count, class))? {
            Appended::Durable(receipts) => Ok(receipts),
            Appended::Pending(pending) => pending.receipts().await,
        }
    }

    /// The segments of the directory, in the order of their names.
    fn segments(&self) -> Vec<PathBuf> {
        segments(&self.dir)
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    segments.sort();
    segments
}

fn drafts(count: usize, class: DurabilityClass) -> Vec<Draft> {
    let start = instant("2026-06-01T12:00:00Z");
    let decided = |n: usize| Decided::at(start.plus(Span::millis(i64::try_from(n).unwrap())));
    (0..count).map(|n| decided(n).draft().at_least(class)).collect()
}

fn signer() -> NoteSigner {
    NoteSigner::new("node-1", &[7; 32])
}

fn now() -> Instant {
    instant("2026-06-01T12:00:00Z")
}

fn dir() -> TempDir {
    tempfile::Builder::new().prefix("magistrate-journal-").tempdir().unwrap()
}

/// What a store has, as ids and leaves.
fn stored(store: &MemorySink) -> Vec<(magistrate_ledger::DecisionId, magistrate_model::Digest)> {
    store.records().iter().map(|record| (record.id, record.leaf)).collect()
}

fn ids(receipts: &[Receipt]) -> Vec<(magistrate_ledger::DecisionId, magistrate_model::Digest)> {
    receipts.iter().map(|receipt| (receipt.id(), receipt.leaf())).collect()
}

/// Copies what lies in the directory now, as a crash would leave it: the process ends, the files stay.
fn crashed(dir: &Path) -> TempDir {
    let copy = self::dir();
    for path in segments(dir) {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}
