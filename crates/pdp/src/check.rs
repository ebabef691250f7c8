//! A Check, from admitted query to recorded verdict.

use std::sync::Arc;
use std::time::Duration;

use magistrate_ledger::Writer;
use magistrate_model::{
    Decision, Digest, DurabilityClass, Instant, Malformed, Query, Question, Revision, Span, Verdict,
};
use tokio::sync::{mpsc, oneshot};

use crate::comparison::{self, Comparer, Comparison, Sampled};
use crate::error::CheckError;
use crate::follower::{Follower, MAX_SKEW, Wake};
use crate::ports::PolicySource;
use crate::recorder::{Joined, Ledger, Recorded};
use crate::reuse::{MaybeReused, Reuse, ReuseSettings};
use crate::state::{Readiness, Shared, Staleness, View};

/// How a batch goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchSemantics {
    /// Every item is answered.
    All,
    /// Nothing after the first deny, or the first item that is no question, is evaluated.
    StopOnDeny,
    /// Nothing after the first allow is evaluated.
    StopOnAllow,
}

/// Several queries answered by one state and recorded together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The queries; those that are no question keep their place.
    pub items: Vec<Result<Query, Malformed>>,
    /// The caller will not be answered by an older revision.
    pub at_least_revision: Option<Revision>,
    /// When to stop.
    pub semantics: BatchSemantics,
}

/// The answers to a batch, in its order; items that were not evaluated are absent at the end.
#[derive(Debug, Clone)]
pub struct BatchAnswer {
    /// The revision that answered all of them.
    pub revision: Revision,
    /// The policy set that answered all of them.
    pub policy_set_digest: Digest,
    /// One for each item evaluated.
    pub results: Vec<Result<Recorded<Verdict>, Malformed>>,
}

/// What a decision point is given.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How old data may be.
    pub staleness: Staleness,
    /// Records that may wait to become durable; more is [`CheckError::Overloaded`].
    pub ledger_capacity: usize,
    /// The lowest durability class of any record.
    pub class: DurabilityClass,
    /// How earlier answers are used again.
    pub reuse: ReuseSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            staleness: Staleness::default(),
            ledger_capacity: 16_384,
            class: DurabilityClass::Process,
            reuse: ReuseSettings::default(),
        }
    }
}

/// A question and its answer.
type Answer = (Question, Verdict);
/// How an item of a batch went.
type Outcome = Result<Decision, Malformed>;

/// What the items of a batch that were evaluated come to.
#[derive(Debug, Default)]
struct Evaluated {
    answers: Vec<Answer>,
    /// Of all of them, also of those that are no question.
    outline: Vec<Outcome>,
    /// Answers that are compared, by place.
    taken: Vec<(usize, Sampled)>,
}

/// Items of a batch evaluated before other requests get their turn.
const ITEMS_A_TURN: usize = 16;
/// Followers are asked for a poll by at most so many waiting requests.
const MAX_WAITING: usize = 256;
/// The longest a request waits for a revision that is committed and not yet served.
const MAX_CATCH_UP: Duration = Duration::from_millis(500);

/// The decision point.
#[derive(Debug)]
pub struct Pdp {
    shared: Arc<Shared>,
    ledger: Ledger,
    wakes: mpsc::Sender<Wake>,
    reuse: Arc<Reuse>,
    comparison: Arc<Comparison>,
    settings: Settings,
}

impl Pdp {
    /// A decision point that records through this writer, the follower that feeds it, and who compares its decisions.
    /// Nothing runs yet: whoever calls this runs both, and drops the `Pdp` to end them.
    pub fn new<S: PolicySource>(source: S, settings: Settings, writer: Arc<Writer>) -> (Self, Follower<S>, Comparer) {
        let shared = Arc::new(Shared::default());
        let ledger = Ledger::new(writer, settings.ledger_capacity);
        let (wakes, waking) = mpsc::channel(MAX_WAITING);
        let follower = Follower::new(source, Arc::clone(&shared), waking, settings.reuse.most_touched);
        let reuse = Arc::new(Reuse::new(settings.reuse));
        let (comparison, comparer) = comparison::comparison(Arc::clone(&reuse));
        (Self { shared, ledger, wakes, reuse, comparison, settings }, follower, comparer)
    }

    /// Answers a query, or says why it cannot; waits at most `patience`.
    ///
    /// What is waited with is small: everything large about a question is made and dropped between two waits, since what a
    /// future holds is moved with it from layer to layer.
    pub fn check(
        &self,
        query: impl Into<Box<Query>>,
        now: Instant,
        patience: Duration,
    ) -> impl Future<Output = Result<Recorded<Verdict>, CheckError>> + Send {
        self.check_boxed(query.into(), now, patience)
    }

    async fn check_boxed(
        &self,
        query: Box<Query>,
        now: Instant,
        patience: Duration,
    ) -> Result<Recorded<Verdict>, CheckError> {
        let now = self.now(now)?;
        let view = self.view(query.at_least_revision, now, patience).await?;
        let (joined, taken) = self.join(&view, *query, now)?;
        let recorded = joined.recorded(now, patience).await?;
        if let Some(taken) = taken {
            taken.recorded(recorded.receipt().id());
        }
        Ok(recorded)
    }

    /// Decides, and leaves the record with those that this thread has at hand.
    fn join(&self, view: &Arc<View>, query: Query, now: Instant) -> Result<(Joined<'_>, Option<Sampled>), CheckError> {
        let slot = self.ledger.reserve(1)?;
        let ((question, verdict), taken) = self.answer(view, query, now)?;
        Ok((slot.join(&question, verdict), taken))
    }

    /// Answers the queries of a batch by one state and records the answers in one append.
    pub async fn check_batch(&self, batch: Batch, now: Instant, patience: Duration) -> Result<BatchAnswer, CheckError> {
        let now = self.now(now)?;
        let view = self.view(batch.at_least_revision, now, patience).await?;
        let slot = self.ledger.reserve(batch.items.len())?;
        let evaluated = tokio::time::timeout(patience, self.evaluate(&view, batch, now)).await;
        let late =
            || CheckError::DeadlineExceeded("the batch was not evaluated within the deadline; send fewer items".into());
        let Evaluated { answers, outline, taken } = evaluated.map_err(|_| late())??;
        let recorded = slot.record(answers, now, patience).await?;
        for (place, taken) in taken {
            if let Some(recorded) = recorded.get(place) {
                taken.recorded(recorded.receipt().id());
            }
        }
        let mut recorded = recorded.into_iter();
        let results = outline.into_iter().map(|outcome| match outcome {
            Ok(_) => recorded.next().map(Ok),
            Err(malformed) => Some(Err(malformed)),
        });
        let results = results.collect::<Option<Vec<_>>>();
        let results =
            results.ok_or_else(|| CheckError::NotRecorded("the recorder returned too few receipts".to_owned()))?;
        Ok(BatchAnswer { revision: view.head.revision, policy_set_digest: view.snapshot.digest(), results })
    }

    /// Evaluates a batch until it is to stop. Other requests get their turn in between.
    async fn evaluate(&self, view: &Arc<View>, batch: Batch, now: Instant) -> Result<Evaluated, CheckError> {
        let mut evaluated = Evaluated::default();
        for (n, item) in batch.items.into_iter().enumerate() {
            if n > 0 && n.is_multiple_of(ITEMS_A_TURN) {
                tokio::task::yield_now().await;
            }
            let answer = item.map_err(CheckError::Malformed).and_then(|query| self.answer(view, query, now));
            let outcome = match answer {
                Ok((answer, taken)) => {
                    let decision = answer.1.decision();
                    evaluated.taken.extend(taken.map(|taken| (evaluated.answers.len(), taken)));
                    evaluated.answers.push(answer);
                    Ok(decision)
                }
                Err(CheckError::Malformed(malformed)) => Err(malformed),
                Err(error) => return Err(error),
            };
            let stop = stops(batch.semantics, &outcome);
            evaluated.outline.push(outcome);
            if stop {
                break;
            }
        }
        Ok(evaluated)
    }

    /// How many decisions were compared with Cedar's own authorizer, how many of them differed, and of how many
    /// it said nothing.
    pub(crate) fn comparisons(&self) -> (u64, u64, u64) {
        self.comparison.counts()
    }

    /// Earlier answers.
    pub(crate) fn reuse(&self) -> &Reuse {
        &self.reuse
    }

    /// Whether decisions can be made now.
    pub fn readiness(&self, now: Instant) -> Readiness {
        let now = self.shared.tick(now);
        match self.shared.readiness(now, self.settings.staleness) {
            Readiness::Ready { remarks } => self.readiness_of_ledger(remarks, now),
            readiness @ Readiness::NotReady { .. } => readiness,
        }
    }

    fn readiness_of_ledger(&self, mut remarks: Vec<String>, now: Instant) -> Readiness {
        if let Some(why) = self.ledger.suspect(now) {
            return Readiness::NotReady { reasons: vec![why] };
        }
        if !self.comparison.is_trusted() {
            remarks.push(
                "a decision differed from Cedar's own authorizer, which answers since then, slowly; look at the log, and tell the makers"
                    .to_owned(),
            );
        }
        if !self.reuse.is_trusted() {
            remarks.push(
                "an earlier answer that was used again was no longer right, and none is used again since then; look at the log, and tell the makers"
                    .to_owned(),
            );
        }
        Readiness::Ready { remarks }
    }

    /// Refuses every question until called with `None`: for what only the process can know, such as a store
    /// whose history could be changed.
    pub fn hold(&self, why: Option<String>) {
        self.shared.hold(why);
    }

    /// Has the follower look at the store now, as when the store said that there is something new.
    pub fn wake(&self) {
        // A full queue wakes it as well.
        let _full = self.wakes.try_send(oneshot::channel().0);
    }

    /// The state being served, if any.
    pub fn served(&self) -> Option<Arc<View>> {
        self.shared.view()
    }

    /// How long ago the store confirmed what is served.
    pub(crate) fn staleness(&self, now: Instant) -> Span {
        self.shared.age(now)
    }

    /// How many records may wait to become durable.
    pub(crate) fn capacity(&self) -> usize {
        self.settings.ledger_capacity
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The latest time seen here, unless the clock has gone back behind it by more than it may.
    fn now(&self, now: Instant) -> Result<Instant, CheckError> {
        let latest = self.shared.tick(now);
        match latest.since(now) <= MAX_SKEW {
            true => Ok(latest),
            false => {
                Err(CheckError::NotReady("the clock of this machine has gone back; have it set by NTP".to_owned()))
            }
        }
    }

    /// The answer, and the same to be compared if it is.
    fn answer(&self, view: &Arc<View>, query: Query, now: Instant) -> Result<(Answer, Option<Sampled>), CheckError> {
        let age = self.shared.age(now);
        let MaybeReused { question, mut verdict, is_reused } = match self.comparison.is_trusted() {
            true => self.reuse.answer(view, query, now, age)?,
            false => {
                let (question, verdict) = view.answer_by_authorizer(query, now, age)?;
                MaybeReused { question, verdict, is_reused: false }
            }
        };
        let taken = self.comparison.offer(view, &question, &verdict, is_reused.then_some(age));
        verdict.class = verdict.class.max(self.settings.class);
        Ok(((question, verdict), taken))
    }

    /// The state to answer from: at least as new as the caller asks.
    async fn view(&self, wanted: Option<Revision>, now: Instant, patience: Duration) -> Result<Arc<View>, CheckError> {
        let view = self.shared.current(now, self.settings.staleness)?;
        match wanted {
            Some(wanted) if wanted > view.head.revision => Box::pin(self.catch_up(wanted, now, patience)).await,
            Some(_) | None => Ok(view),
        }
    }

    async fn catch_up(&self, wanted: Revision, now: Instant, patience: Duration) -> Result<Arc<View>, CheckError> {
        let (wake, polled) = oneshot::channel();
        self.wakes.try_send(wake).map_err(|_| CheckError::Overloaded { retry_after: MAX_CATCH_UP })?;
        let behind = || {
            CheckError::NotReady(format!("revision {wanted} is not served here yet, only {}", self.shared.revision()))
        };
        let newest = tokio::time::timeout(patience.min(MAX_CATCH_UP), polled).await;
        let newest = newest.ok().and_then(Result::ok).flatten().ok_or_else(behind)?;
        if newest < wanted {
            return Err(CheckError::RevisionAhead { wanted, newest });
        }
        let view = self.shared.current(now, self.settings.staleness)?;
        match view.head.revision >= wanted {
            true => Ok(view),
            false => Err(behind()),
        }
    }
}

fn stops(semantics: BatchSemantics, outcome: &Outcome) -> bool {
    match semantics {
        BatchSemantics::All => false,
        BatchSemantics::StopOnDeny => *outcome != Ok(Decision::Allow),
        BatchSemantics::StopOnAllow => *outcome == Ok(Decision::Allow),
    }
}

#[cfg(test)]
mod tests;
