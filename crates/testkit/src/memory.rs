//! A store and a sink in memory, with switches for what can go wrong.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use magistrate_ledger::{CommitFailed, SealedRecord, Sink, StreamId, Writer};
use magistrate_model::{Dataset, DurabilityClass, Head, Instant, Span};
use magistrate_pdp::{Clock, Follower, LoadError, Pdp, PolicySource, Settings};
use tokio::task::JoinHandle;

/// A clock that moves when told to.
#[derive(Debug, Clone)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    /// A clock that stands at `now`.
    pub fn at(now: Instant) -> Self {
        Self(Arc::new(AtomicI64::new(now.micros())))
    }

    /// Moves the clock.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.micros(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// 16 bytes that differ on every call.
pub fn nonce() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::SeqCst)).to_be_bytes()
}

/// A policy source whose dataset is replaced from outside.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Mutex<Result<Dataset, LoadError>>>);

impl MemoryStore {
    /// A source of this dataset.
    pub fn of(dataset: Dataset) -> Self {
        Self(Arc::new(Mutex::new(Ok(dataset))))
    }

    /// Replaces what the source says.
    pub fn set(&self, state: Result<Dataset, LoadError>) {
        *self.0.lock().unwrap() = state;
    }

    fn state(&self) -> Result<Dataset, LoadError> {
        self.0.lock().unwrap().clone()
    }
}

impl PolicySource for MemoryStore {
    async fn head(&self) -> Result<Head, LoadError> {
        self.state().map(|dataset| dataset.head)
    }

    async fn load(&self) -> Result<Dataset, LoadError> {
        self.state()
    }
}

/// A sink that keeps records in memory and can be told to fail or to hang.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    kept: Arc<Mutex<Kept>>,
    /// Held by whoever makes commits hang.
    gate: Arc<tokio::sync::Mutex<()>>,
    waiting: Arc<tokio::sync::Notify>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: Vec<Vec<SealedRecord>>,
    failing: bool,
    /// Keep the records of the next failing commit all the same.
    keep_once: bool,
}

impl MemorySink {
    /// Fails every commit from now on, or no more.
    pub fn fail(&self, failing: bool) {
        self.kept.lock().unwrap().failing = failing;
    }

    /// Makes every commit hang until what is returned is dropped.
    pub fn hang(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.gate).try_lock_owned().unwrap()
    }

    /// Waits until a commit has begun.
    pub async fn hanging(&self) {
        self.waiting.notified().await;
    }

    /// Reports the next commit as failed although its records are kept.
    pub fn keep_and_fail_once(&self) {
        self.kept.lock().unwrap().keep_once = true;
    }

    /// The batches committed, in order.
    pub fn batches(&self) -> Vec<Vec<SealedRecord>> {
        self.kept.lock().unwrap().batches.clone()
    }

    /// The records committed, in order.
    pub fn records(&self) -> Vec<SealedRecord> {
        self.batches().concat()
    }
}

impl Sink for MemorySink {
    fn class(&self, asked: DurabilityClass) -> DurabilityClass {
        asked
    }

    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        self.waiting.notify_one();
        let _open = self.gate.lock().await;
        let mut kept = self.kept.lock().unwrap();
        let keep_once = std::mem::take(&mut kept.keep_once);
        if keep_once || !kept.failing {
            kept.batches.push(batch.to_vec());
        }
        match keep_once || kept.failing {
            true => Err(CommitFailed { records: batch.len(), why: "the sink was told to fail".into() }),
            false => Ok(()),
        }
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.batches.iter().flatten().filter(|record| record.id.stream == stream).map(|record| record.id.seq).max())
    }
}

/// A decision point with its recorder running, over memory. The follower polls when told to.
#[derive(Debug)]
pub struct Running {
    /// The decision point.
    pub pdp: Arc<Pdp>,
    /// The follower.
    pub follower: Follower<MemoryStore>,
    /// What it follows.
    pub store: MemoryStore,
    /// What is recorded.
    pub sink: MemorySink,
    recorder: JoinHandle<()>,
}

impl Running {
    /// Starts a decision point over a dataset that holds a policy set; the first poll is made.
    pub async fn start(dataset: Dataset, settings: Settings, now: Instant) -> Self {
        let store = MemoryStore::of(dataset);
        let sink = MemorySink::default();
        let (pdp, mut follower, recorder) = Pdp::new(store.clone(), settings);
        let writer = Writer::new(sink.clone(), StreamId::new(nonce()), nonce);
        let recorder = tokio::spawn(recorder.run(writer));
        follower.poll(now).await.unwrap();
        Self { pdp: Arc::new(pdp), follower, store, sink, recorder }
    }

    /// Ends it and waits until everything reserved is durable or refused.
    pub async fn stop(self) {
        let Self { pdp, recorder, .. } = self;
        drop(pdp);
        recorder.await.unwrap();
    }
}
