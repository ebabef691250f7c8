//! The way of a verdict into the ledger, and the proof that it went.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use magistrate_ledger::{Appended, Draft, NotRecorded, Promise, Receipt, Writer};
use magistrate_model::{Instant, Question, Span, Verdict};

use crate::capacity::{Capacity, Taken};
use crate::error::CheckError;
use crate::round::{self, Member, Settled};

/// How long a failed append keeps readiness down. Then whoever drains traffic from what is not ready may
/// try again: the next append decides anew.
const SUSPECT_FOR: Span = Span::seconds(5);
/// An append that takes longer counts as failing.
const SLOW: Span = Span::seconds(1);
/// A failure whose time nobody has noted yet.
const UNDATED: i64 = i64::MAX;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// About what a record takes in the journal, and more: so much is promised before it is decided. One that turns out
/// larger is recorded all the same, if there is room.
const RECORD_BYTES: u32 = 2_048;

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

/// The check path's end of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    writer: Arc<Writer>,
    places: Arc<Capacity>,
    capacity: usize,
    health: Arc<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// When an append that failed was first seen to have, in microseconds; 0 since one succeeded.
    failed_at: AtomicI64,
    /// When the request was made whose records are being appended, in microseconds; 0 between appends.
    appending_since: AtomicI64,
    /// When the requests were made that wait for their records to become durable, in the order they came.
    waiting: Mutex<BTreeMap<u64, Instant>>,
    tickets: AtomicU64,
}

impl Health {
    /// Nobody reads a clock here, and the request's own instant may lie as far back as the append waited:
    /// the failure is dated by whoever asks first.
    fn fail(&self) {
        self.failed_at.store(UNDATED, Ordering::Release);
    }

    fn succeed(&self) {
        if self.failed_at.load(Ordering::Relaxed) != 0 {
            self.failed_at.store(0, Ordering::Release);
        }
    }

    fn failed_lately(&self, now: Instant) -> bool {
        let dated = self.failed_at.compare_exchange(UNDATED, now.micros(), Ordering::AcqRel, Ordering::Acquire);
        match dated.unwrap_or_else(|known| known) {
            0 => false,
            UNDATED => true,
            failed_at => now.micros() - failed_at < SUSPECT_FOR.micros(),
        }
    }

    /// How long the oldest append that is not through has taken, counted from its request.
    fn lag(&self, now: Instant) -> Span {
        let waiting = self.waiting().first_key_value().map(|(_, since)| since.micros());
        let appending = Some(self.appending_since.load(Ordering::Acquire)).filter(|since| *since != 0);
        let oldest = waiting.into_iter().chain(appending).min();
        oldest.map_or(Span::ZERO, |since| Span::from_micros(now.micros() - since).max(Span::ZERO))
    }

    fn wait(self: &Arc<Self>, since: Instant) -> Waiting {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(ticket, since);
        Waiting { health: Arc::clone(self), ticket }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for its records; until this is dropped.
struct Waiting {
    health: Arc<Health>,
    ticket: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.health.waiting().remove(&self.ticket);
    }
}

/// Room in the ledger, taken before a decision is made.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    ledger: &'a Ledger,
    /// Held until the records are durable or refused: this is what bounds how many wait.
    place: Taken,
    promise: Promise,
}

impl Ledger {
    /// A ledger that holds at most `capacity` records that are not yet durable.
    pub(crate) fn new(writer: Arc<Writer>, capacity: usize) -> Self {
        Self { writer, places: Capacity::new(capacity), capacity, health: Arc::default() }
    }

    /// Room for `records` records: [`CheckError::Overloaded`] at once where too many wait, and
    /// [`CheckError::NotRecorded`] where the journal has none.
    pub(crate) fn reserve(&self, records: usize) -> Result<Slot<'_>, CheckError> {
        let overloaded = CheckError::Overloaded { retry_after: RETRY_AFTER };
        let wanted = u32::try_from(records).map_err(|_| overloaded.clone())?;
        let place = self.places.take(records).ok_or(overloaded)?;
        let promise =
            self.writer.room().promise(wanted.saturating_mul(RECORD_BYTES)).map_err(|why| self.refused(why))?;
        Ok(Slot { ledger: self, place, promise })
    }

    /// How many records are not durable yet, and how long the oldest append has taken.
    pub(crate) fn lag(&self, now: Instant) -> (usize, Span) {
        let waiting = self.capacity.saturating_sub(self.places.free());
        (waiting, self.health.lag(now))
    }

    /// Why records cannot be made durable, as far as it is known.
    pub(crate) fn suspect(&self, now: Instant) -> Option<String> {
        if let Some(why) = self.writer.room().closed() {
            return Some(why);
        }
        if self.writer.room().free() < i64::from(RECORD_BYTES) {
            return Some(self.writer.room().why().unwrap_or_else(|| "the journal is full".to_owned()));
        }
        let suspect = self.health.failed_lately(now) || self.health.lag(now) >= SLOW;
        suspect.then(|| "the last decision could not be recorded; look at the decision store and its disk".to_owned())
    }

    fn refused(&self, why: String) -> CheckError {
        self.health.fail();
        CheckError::NotRecorded(NotRecorded(why).to_string())
    }
}

/// An answer whose record waits to be appended, with those of the other calls that its thread has at hand.
#[derive(Debug)]
pub(crate) struct Joined<'a> {
    slot: Slot<'a>,
    member: Member,
    verdict: Box<Verdict>,
}

impl Joined<'_> {
    /// The answer, when its record is durable.
    ///
    /// It gives way once, so that the other calls leave their records. At class `process` nothing else is waited for: the
    /// append is one write, made here.
    pub(crate) async fn recorded(self, now: Instant, patience: Duration) -> Result<Recorded<Verdict>, CheckError> {
        let Self { slot: Slot { ledger, place: _place, promise }, member, verdict } = self;
        tokio::task::yield_now().await;
        let settled = member.settle(|drafts| ledger.append(drafts, now));
        drop(promise);
        let receipt = match settled? {
            Settled::Durable(receipt) => receipt,
            Settled::Pending(receipts, position) => {
                let receipts = Box::pin(ledger.wait(receipts, now, patience)).await?;
                let lost = || CheckError::NotRecorded("the recorder returned no receipt".to_owned());
                receipts.get(position).cloned().ok_or_else(lost)?
            }
        };
        ledger.health.succeed();
        Ok(Recorded(*verdict, receipt))
    }
}

impl<'a> Slot<'a> {
    /// Makes the record of one answer, and leaves it in the round of this thread.
    pub(crate) fn join(self, question: &Question, verdict: Verdict) -> Joined<'a> {
        let member = round::join(&self.ledger.writer, self.ledger.writer.draft(question, &verdict));
        Joined { slot: self, member, verdict: Box::new(verdict) }
    }

    /// Records answers together and returns them with their receipts, in order.
    ///
    /// At class `process` nothing is waited for: the append is one write, made here.
    pub(crate) async fn record(
        self,
        answers: Vec<(Question, Verdict)>,
        now: Instant,
        patience: Duration,
    ) -> Result<Vec<Recorded<Verdict>>, CheckError> {
        let Self { ledger, place: _place, promise } = self;
        if answers.is_empty() {
            return Ok(Vec::new());
        }
        let drafts: Vec<Draft> =
            answers.iter().map(|(question, verdict)| ledger.writer.draft(question, verdict)).collect();
        let appended = ledger.append(&drafts, now);
        drop(promise);
        let receipts = match appended? {
            Appended::Durable(receipts) => receipts,
            Appended::Pending(pending) => ledger.wait(pending.receipts(), now, patience).await?,
        };
        ledger.health.succeed();
        Ok(answers.into_iter().zip(receipts).map(|((_, verdict), receipt)| Recorded(verdict, receipt)).collect())
    }
}

impl Ledger {
    fn append(&self, drafts: &[Draft], now: Instant) -> Result<Appended, CheckError> {
        self.health.appending_since.store(now.micros(), Ordering::Release);
        let appended = self.writer.append(drafts);
        self.health.appending_since.store(0, Ordering::Release);
        appended.map_err(|NotRecorded(why)| self.refused(why))
    }

    async fn wait<R>(
        &self,
        receipts: impl Future<Output = Result<R, NotRecorded>>,
        now: Instant,
        patience: Duration,
    ) -> Result<R, CheckError> {
        let _waiting = self.health.wait(now);
        match tokio::time::timeout(patience, receipts).await {
            Ok(Ok(receipts)) => Ok(receipts),
            Ok(Err(NotRecorded(why))) => Err(self.refused(why)),
            // The caller's impatience says nothing of the store: what hangs is seen by how long it hangs.
            Err(_) => Err(CheckError::DeadlineExceeded(LATE.to_owned())),
        }
    }
}

const LATE: &str = "the decision was not recorded within the deadline; it may still appear in the history";
