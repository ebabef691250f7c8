//! A store and a sink in memory, with switches for what can go wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use magistrate_ledger::{
    Append, CommitFailed, DecisionId, Durable, PlacedRecord, SealedHeader, SealedRecord, SignedCheckpoint, Sink,
    StreamId, lineage,
};
use magistrate_model::{Authorship, Change, Dataset, Head, Instant, LoggedChange, PolicySet, Revision, Span};
use magistrate_pap::commit::Touched;
use magistrate_pdp::{Clock, Intake, LoadError, PastStates, PolicySource, Since, Standing};

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

/// A policy source in memory: changes can be committed to it, and what it says can be replaced.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    state: Result<Dataset, LoadError>,
    log: Vec<LoggedChange>,
    /// Every state since it was set.
    past: BTreeMap<Revision, Dataset>,
    clock: Option<Instant>,
    loads: usize,
    past_loads: usize,
}

impl MemoryStore {
    /// A source of this dataset.
    pub fn of(dataset: Dataset) -> Self {
        let past = BTreeMap::from([(dataset.head.revision, dataset.clone())]);
        Self(Arc::new(Mutex::new(Kept {
            state: Ok(dataset),
            log: Vec::new(),
            past,
            clock: None,
            loads: 0,
            past_loads: 0,
        })))
    }

    /// Replaces what the source says; how it came to that is not known.
    pub fn set(&self, state: Result<Dataset, LoadError>) {
        let mut kept = self.0.lock().unwrap();
        kept.past = state.iter().map(|dataset| (dataset.head.revision, dataset.clone())).collect();
        kept.state = state;
        kept.log.clear();
    }

    /// Tells this time as the source's own.
    pub fn set_clock(&self, clock: Instant) {
        self.0.lock().unwrap().clock = Some(clock);
    }

    /// Makes changes as one revision, as a store would.
    pub fn commit(&self, changes: &[Change], authorship: &Authorship) {
        let mut kept = self.0.lock().unwrap();
        let mut dataset = kept.state.clone().unwrap();
        let live = dataset.policy_set.as_ref().map(|set| set.digest);
        let (entities, scopes, grants) = (dataset.entities.clone(), dataset.scopes.clone(), dataset.grants.clone());
        let mut touched = Touched::new(entities, scopes, grants, live);
        let revision = dataset.head.revision.next();
        let log = touched.log(revision, changes, authorship).unwrap();
        dataset.head = Head { revision, lineage: lineage::extend(dataset.head.lineage, &log) };
        dataset.apply(changes.iter().cloned());
        kept.past.insert(revision, dataset.clone());
        kept.state = Ok(dataset);
        kept.log.extend(log);
    }

    /// Changes what a past state held, behind everybody's back.
    pub fn forge_past(&self, revision: Revision, change: impl FnMut(&mut Dataset)) {
        self.0.lock().unwrap().past.get_mut(&revision).into_iter().for_each(change);
    }

    /// Changes what the log says, behind the source's back.
    pub fn forge(&self, change: impl FnOnce(&mut Vec<LoggedChange>)) {
        change(&mut self.0.lock().unwrap().log);
    }

    /// How often a past state was loaded.
    pub fn past_loads(&self) -> usize {
        self.0.lock().unwrap().past_loads
    }

    /// How often everything was loaded.
    pub fn loads(&self) -> usize {
        self.0.lock().unwrap().loads
    }
}

impl PolicySource for MemoryStore {
    async fn standing(&self) -> Result<Standing, LoadError> {
        let kept = self.0.lock().unwrap();
        kept.state.clone().map(|dataset| Standing { head: dataset.head, clock: kept.clock })
    }

    async fn load_into(&self, intake: &mut impl Intake) -> Result<Head, LoadError> {
        let dataset = {
            let mut kept = self.0.lock().unwrap();
            kept.loads += 1;
            kept.state.clone()?
        };
        intake.policy_set(dataset.policy_set);
        dataset.scopes.into_iter().for_each(|scope| intake.scope(scope));
        dataset.entities.into_iter().for_each(|entity| intake.entity(entity));
        dataset.grants.iter().for_each(|grant| intake.grant(&grant.borrowed()));
        Ok(dataset.head)
    }

    async fn since(&self, served: Head, at_most: u32) -> Result<Since, LoadError> {
        let kept = self.0.lock().unwrap();
        let dataset = kept.state.clone()?;
        let log: Vec<LoggedChange> =
            kept.log.iter().filter(|change| change.revision > served.revision).cloned().collect();
        if kept.log.is_empty() || log.len() > at_most as usize {
            return Ok(Since::TooMany);
        }
        Ok(Since::Changes { head: dataset.head, log, policy_set: dataset.policy_set })
    }
}

impl PastStates for MemoryStore {
    async fn load_at(&self, revision: Revision) -> Result<Option<Dataset>, LoadError> {
        let mut kept = self.0.lock().unwrap();
        kept.past_loads += 1;
        Ok(kept.past.get(&revision).cloned())
    }

    async fn size_at(&self, revision: Revision) -> Result<u64, LoadError> {
        let kept = self.0.lock().unwrap();
        let of = |it: &Dataset| it.entities.len() + it.grants.len();
        let changes = kept.log.iter().filter(|change| change.revision <= revision).count();
        Ok((kept.past.get(&revision).map_or(0, of) + changes) as u64)
    }

    async fn policy_set_at(&self, revision: Revision) -> Result<Option<PolicySet>, LoadError> {
        Ok(self.0.lock().unwrap().past.get(&revision).and_then(|dataset| dataset.policy_set.clone()))
    }

    async fn changes_between(&self, after: Revision, last: Revision) -> Result<Vec<LoggedChange>, LoadError> {
        let kept = self.0.lock().unwrap();
        let between = |change: &&LoggedChange| change.revision > after && change.revision <= last;
        Ok(kept.log.iter().filter(between).cloned().collect())
    }
}

/// A journal and a store in memory; it can be told to fail or to hang.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    kept: Arc<Mutex<Batches>>,
    /// Held by whoever makes commits hang.
    gate: Arc<tokio::sync::Mutex<()>>,
    waiting: Arc<tokio::sync::Notify>,
}

#[derive(Debug, Default)]
struct Batches {
    committed: Vec<Vec<SealedRecord>>,
    headers: BTreeMap<(StreamId, u64), SealedHeader>,
    checkpoints: BTreeMap<(String, u64), SignedCheckpoint>,
    /// Batches of more records fail; 0: all do.
    most: Option<usize>,
    /// Keep the records of the next failing commit all the same.
    keep_once: bool,
    panic_once: bool,
}

impl Batches {
    fn is_failing(&self, batch: &[SealedRecord]) -> bool {
        self.is_down() || self.most.is_some_and(|most| batch.len() > most)
    }

    fn is_down(&self) -> bool {
        self.most == Some(0)
    }
}

impl MemorySink {
    /// Fails every commit from now on, or no more.
    pub fn fail(&self, failing: bool) {
        self.kept.lock().unwrap().most = failing.then_some(0);
    }

    /// Makes every commit hang until what is returned is dropped.
    pub fn hang(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.gate).try_lock_owned().unwrap()
    }

    /// Waits until a commit has begun.
    pub async fn hanging(&self) {
        self.waiting.notified().await;
    }

    /// Panics at the next append, and takes nothing.
    pub fn panic_once(&self) {
        self.kept.lock().unwrap().panic_once = true;
    }

    /// Takes no batch that holds more than one record, as a journal with little room does.
    pub fn take_only_single(&self, only: bool) {
        self.kept.lock().unwrap().most = only.then_some(1);
    }

    /// Reports the next commit as failed although its records are kept.
    pub fn keep_and_fail_once(&self) {
        self.kept.lock().unwrap().keep_once = true;
    }

    /// The next commit is as any other.
    pub fn keep_no_more(&self) {
        self.kept.lock().unwrap().keep_once = false;
    }

    /// Changes every record behind everybody's back.
    pub fn forge(&self, change: impl FnMut(&mut SealedRecord)) {
        self.kept.lock().unwrap().committed.iter_mut().flatten().for_each(change);
    }

    /// Forgets the newest records, as a store that fails over to a stale copy does.
    pub fn lose(&self, batches: usize) {
        let committed = &mut self.kept.lock().unwrap().committed;
        committed.truncate(committed.len() - batches);
    }

    /// The batches committed, in order.
    pub fn batches(&self) -> Vec<Vec<SealedRecord>> {
        self.kept.lock().unwrap().committed.clone()
    }

    /// The headers kept of a stream, in order.
    pub fn headers(&self, stream: StreamId) -> Vec<SealedHeader> {
        let kept = self.kept.lock().unwrap();
        kept.headers.iter().filter(|((of, _), _)| *of == stream).map(|(_, header)| header.clone()).collect()
    }

    /// The checkpoints kept, by origin and size.
    pub fn checkpoints(&self) -> Vec<SignedCheckpoint> {
        self.kept.lock().unwrap().checkpoints.values().cloned().collect()
    }

    /// Forgets headers of a stream behind this one, and every checkpoint.
    pub fn lose_headers(&self, stream: StreamId, kept: u64) {
        let mut batches = self.kept.lock().unwrap();
        batches.headers.retain(|(of, number), _| *of != stream || *number <= kept);
        batches.checkpoints.clear();
    }

    /// The records committed after so many, in order.
    pub fn records_after(&self, count: usize) -> Vec<SealedRecord> {
        self.kept.lock().unwrap().committed.iter().flatten().skip(count).cloned().collect()
    }

    /// The records committed, in order.
    pub fn records(&self) -> Vec<SealedRecord> {
        self.batches().concat()
    }
}

impl MemorySink {
    fn is_open(&self) -> bool {
        self.gate.try_lock().is_ok()
    }

    /// Keeps the batch, or fails, as it was told.
    fn take(&self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        let mut kept = self.kept.lock().unwrap();
        let keep_once = std::mem::take(&mut kept.keep_once);
        if keep_once || !kept.is_failing(batch) {
            kept.committed.push(batch.to_vec());
        }
        match keep_once || kept.is_failing(batch) {
            true => {
                let why = "the sink was told to fail".to_owned();
                Err(CommitFailed { records: batch.len(), conflict: false, why })
            }
            false => Ok(()),
        }
    }
}

/// As a journal: what is taken is durable at once, unless it was told to hang.
impl Append for MemorySink {
    fn append(&mut self, batch: &[PlacedRecord]) -> Result<Durable, CommitFailed> {
        let panics = std::mem::take(&mut self.kept.lock().unwrap().panic_once);
        assert!(!panics, "told to");
        let read = |it: &PlacedRecord| SealedRecord::read(it.id, it.bytes.clone(), it.opening.clone()).unwrap();
        let batch: Vec<SealedRecord> = batch.iter().map(read).collect();
        if self.is_open() {
            return self.take(&batch).map(|()| Durable::Already);
        }
        let mut sink = self.clone();
        Ok(Durable::Once(Box::pin(async move { sink.commit(&batch).await })))
    }

    fn append_header(&mut self, _header: &SealedHeader) -> Result<(), CommitFailed> {
        Ok(())
    }
}

/// As a store: it accepts what it has already, and refuses other bytes.
impl Sink for MemorySink {
    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        self.waiting.notify_one();
        let _open = self.gate.lock().await;
        let known: BTreeMap<DecisionId, SealedRecord> =
            self.records().into_iter().map(|record| (record.id, record)).collect();
        let (there, new): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(|record| known.contains_key(&record.id));
        // An opening may have left the journal, and one that is there already is not replaced.
        let sealed = |record: &SealedRecord| SealedRecord { opening: None, ..record.clone() };
        if let Some(other) = there.iter().find(|record| known.get(&record.id).map(sealed) != Some(sealed(record))) {
            let why = format!("another record is stored at {}", other.id);
            return Err(CommitFailed { records: batch.len(), conflict: true, why });
        }
        match new.is_empty() {
            true => Ok(()),
            false => self.take(&new),
        }
    }

    async fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), CommitFailed> {
        let _open = self.gate.lock().await;
        let mut kept = self.kept.lock().unwrap();
        let refused = |conflict, why: &str| Err(CommitFailed { records: 0, conflict, why: why.to_owned() });
        if kept.is_down() {
            return refused(false, "the sink was told to fail");
        }
        for sealed in headers {
            let place = (sealed.header.stream, sealed.header.number);
            if kept.headers.entry(place).or_insert_with(|| sealed.clone()) != sealed {
                return refused(true, "another header is stored");
            }
        }
        if let Some(signed) = checkpoint {
            let place = (signed.checkpoint.origin.clone(), signed.checkpoint.size);
            if kept.checkpoints.entry(place).or_insert_with(|| signed.clone()) != signed {
                return refused(true, "another checkpoint is stored");
            }
        }
        Ok(())
    }

    async fn last_sealed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        Ok(self.headers(stream).last().map(|header| header.header.number))
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let kept = self.kept.lock().unwrap();
        Ok(kept
            .committed
            .iter()
            .flatten()
            .filter(|record| record.id.stream == stream)
            .map(|record| record.id.seq)
            .max())
    }
}
