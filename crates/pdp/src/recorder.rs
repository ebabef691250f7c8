//! The way of a verdict into the ledger, and the proof that it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use magistrate_ledger::{Draft, NotRecorded, Receipt, Sink, Writer};
use magistrate_model::{Instant, Question, Span, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::CheckError;

/// Records a commit may hold.
const BATCH: usize = 1_024;
/// How long a failed append keeps readiness down. Then whoever drains traffic from what is not ready may
/// try again: the next append decides anew.
const SUSPECT_FOR: Span = Span::seconds(5);
/// An append that takes longer counts as failing.
const SLOW: Span = Span::seconds(1);
/// A failure whose time nobody has noted yet.
const UNDATED: i64 = i64::MAX;
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// An answer whose record is durable. Doors reply from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T>(T, Receipt);

impl<T> Recorded<T> {
    /// The answer.
    pub fn answer(&self) -> &T {
        &self.0
    }

    /// The evidence of its record.
    pub fn receipt(&self) -> &Receipt {
        &self.1
    }
}

#[derive(Debug)]
struct Job {
    drafts: Vec<Draft>,
    reply: oneshot::Sender<Result<Vec<Receipt>, NotRecorded>>,
    now: Instant,
    /// Held until the records are durable or refused: this is what bounds the queue.
    place: OwnedSemaphorePermit,
}

/// The check path's end of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Semaphore>,
    capacity: usize,
    health: Arc<Health>,
}

/// The writing end: give it a writer and run it.
#[derive(Debug)]
pub struct Recorder {
    jobs: mpsc::UnboundedReceiver<Job>,
    health: Arc<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// When an append that failed was first seen to have, in microseconds; 0 since one succeeded.
    failed_at: AtomicI64,
    /// When the newest request of the append under way was made, in microseconds; 0 between appends.
    busy_since: AtomicI64,
}

impl Health {
    /// Nobody reads a clock here, and the request's own instant may lie as far back as the append waited:
    /// the failure is dated by whoever asks first.
    fn fail(&self) {
        self.failed_at.store(UNDATED, Ordering::Release);
    }

    fn failed_lately(&self, now: Instant) -> bool {
        let dated = self.failed_at.compare_exchange(UNDATED, now.micros(), Ordering::AcqRel, Ordering::Acquire);
        match dated.unwrap_or_else(|known| known) {
            0 => false,
            UNDATED => true,
            failed_at => now.micros() - failed_at < SUSPECT_FOR.micros(),
        }
    }

    /// How long the append under way has taken, counted from its newest request.
    fn lag(&self, now: Instant) -> Span {
        match self.busy_since.load(Ordering::Acquire) {
            0 => Span::ZERO,
            since => Span::from_micros(now.micros() - since).max(Span::ZERO),
        }
    }

    fn hangs(&self, now: Instant) -> bool {
        self.lag(now) >= SLOW
    }
}

/// A ledger that holds at most `capacity` records that are not yet durable.
pub(crate) fn ledger(capacity: usize) -> (Ledger, Recorder) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let health = Arc::new(Health::default());
    let places = Arc::new(Semaphore::new(capacity));
    (Ledger { jobs: sender, places, capacity, health: Arc::clone(&health) }, Recorder { jobs: receiver, health })
}

/// Room in the ledger, taken before a decision is made.
#[derive(Debug)]
pub(crate) struct Slot {
    jobs: mpsc::UnboundedSender<Job>,
    place: OwnedSemaphorePermit,
    health: Arc<Health>,
}

impl Ledger {
    /// Room for `records` records, or [`CheckError::Overloaded`] at once.
    pub(crate) fn reserve(&self, records: usize) -> Result<Slot, CheckError> {
        let overloaded = CheckError::Overloaded { retry_after: RETRY_AFTER };
        let wanted = u32::try_from(records).map_err(|_| overloaded.clone())?;
        let place = Arc::clone(&self.places).try_acquire_many_owned(wanted).map_err(|_| overloaded)?;
        Ok(Slot { jobs: self.jobs.clone(), place, health: Arc::clone(&self.health) })
    }

    /// How many records are not durable yet, and how long the append under way has taken.
    pub(crate) fn lag(&self, now: Instant) -> (usize, Span) {
        let waiting = self.capacity.saturating_sub(self.places.available_permits());
        (waiting, self.health.lag(now))
    }

    /// Whether an append failed lately, or takes too long.
    pub(crate) fn suspect(&self, now: Instant) -> bool {
        self.health.failed_lately(now) || self.health.hangs(now)
    }
}

impl Slot {
    /// Records answers together and returns them with their receipts, in order.
    pub(crate) async fn record(
        self,
        answers: Vec<(Question, Verdict)>,
        now: Instant,
        patience: Duration,
    ) -> Result<Vec<Recorded<Verdict>>, CheckError> {
        if answers.is_empty() {
            return Ok(Vec::new());
        }
        let drafts = answers.iter().map(|(question, verdict)| Draft::decision(question, verdict)).collect();
        let (reply, outcome) = oneshot::channel();
        let failed = |why: String| {
            self.health.fail();
            CheckError::NotRecorded(why)
        };
        self.jobs.send(Job { drafts, reply, now, place: self.place }).map_err(|_| failed(GONE.to_owned()))?;
        let receipts = match tokio::time::timeout(patience, outcome).await {
            Ok(Ok(Ok(receipts))) => receipts,
            Ok(Ok(Err(not_recorded))) => return Err(CheckError::NotRecorded(not_recorded.to_string())),
            Ok(Err(_)) => return Err(failed(GONE.to_owned())),
            // The caller's impatience says nothing of the store: what hangs is seen by how long it hangs.
            Err(_) => return Err(CheckError::DeadlineExceeded(LATE.to_owned())),
        };
        Ok(answers.into_iter().zip(receipts).map(|((_, verdict), receipt)| Recorded(verdict, receipt)).collect())
    }
}

const GONE: &str = "the decision could not be recorded: the recorder has stopped";
const LATE: &str = "the decision was not recorded within the deadline; it may still appear in the history";

impl Recorder {
    /// Appends until every [`Pdp`](crate::Pdp) is gone and the queue is empty. What was reserved and
    /// sent before that is durable or refused when this returns.
    ///
    /// A batch is whatever has gathered while the batch before it was committed.
    pub async fn run<S: Sink>(mut self, mut writer: Writer<S>) {
        while let Some(first) = self.jobs.recv().await {
            let mut jobs = vec![first];
            let mut records = jobs.iter().map(|job| job.drafts.len()).sum::<usize>();
            while records < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                records += job.drafts.len();
                jobs.push(job);
            }
            self.commit(&mut writer, jobs).await;
        }
    }

    async fn commit<S: Sink>(&self, writer: &mut Writer<S>, jobs: Vec<Job>) {
        let mut drafts = Vec::new();
        let mut waiting = Vec::with_capacity(jobs.len());
        let mut newest = Instant::EPOCH;
        for Job { drafts: own, reply, now, place } in jobs {
            newest = newest.max(now);
            waiting.push((own.len(), reply, place));
            drafts.extend(own);
        }
        self.health.busy_since.store(newest.micros(), Ordering::Release);
        let appended = writer.append(drafts).await;
        self.health.busy_since.store(0, Ordering::Release);
        match appended {
            Ok(receipts) => {
                self.health.failed_at.store(0, Ordering::Release);
                let mut receipts = receipts.into_iter();
                for (count, reply, _place) in waiting {
                    // A caller that has gone away has its record all the same.
                    let _gone = reply.send(Ok(receipts.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                self.health.fail();
                waiting.into_iter().for_each(|(_, reply, _)| drop(reply.send(Err(error.clone()))));
            }
        }
    }
}
