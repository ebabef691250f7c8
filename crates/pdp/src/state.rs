//! What is being served, and whether it may still be.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use magistrate_engine::{self as engine, Answer, Evaluator, Snapshot, Unanswerable};
use magistrate_model::{Dataset, EntityUid, Head, Instant, Query, Question, Revision, Span, Verdict};

use crate::directory::Directory;
use crate::error::CheckError;
use crate::explanation;
use crate::facts::{self, Gathered, Sources};
use crate::prepared::Prepared;
use crate::reuse::Touched;

/// How old data may be, counted from the last time the store confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staleness {
    /// Older is reported.
    pub soft: Span,
    /// Older is not served.
    pub hard: Span,
}

impl Default for Staleness {
    fn default() -> Self {
        Self { soft: Span::seconds(5), hard: Span::seconds(300) }
    }
}

/// One consistent administrative state: policies and data of one revision.
#[derive(Debug)]
pub struct View {
    /// Where the store stood.
    pub head: Head,
    /// The policies.
    pub snapshot: Arc<Snapshot>,
    /// Entities, grants and scopes.
    pub directory: Directory,
    /// Entities as the policies see them; shared with other states of the same policies.
    prepared: Arc<Prepared>,
    /// What changed on the way here.
    pub(crate) touched: Touched,
}

/// A decision, and what its answer hangs on beside what it was made from.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) question: Question,
    pub(crate) verdict: Verdict,
    /// Whether the same question may be answered otherwise at any time, though nothing changed.
    pub(crate) reads_passing: bool,
    /// What was looked for and is not stored, where that is no reason to deny.
    pub(crate) absent: Vec<EntityUid>,
}

impl View {
    /// A view of a dataset that is in no store: for checks and tests on files. `snapshot` is its
    /// compiled policy set.
    pub fn offline(snapshot: Arc<Snapshot>, dataset: Dataset) -> Self {
        Self::new(dataset.head, snapshot, Directory::of(dataset), None)
    }

    /// The state that follows another, if there is one. What changed in between is not told apart.
    pub(crate) fn new(head: Head, snapshot: Arc<Snapshot>, directory: Directory, before: Option<&Self>) -> Self {
        let same = before.filter(|before| Arc::ptr_eq(&before.snapshot, &snapshot));
        let prepared = same.map_or_else(Arc::default, |before| Arc::clone(&before.prepared));
        Self { head, snapshot, directory, prepared, touched: Touched::everything(head.revision) }
    }

    /// The same, where it is known what changed.
    pub(crate) fn touching(self, touched: Touched) -> Self {
        Self { touched, ..self }
    }

    /// Answers a query by this state, without recording it: for whoever is asked nothing by a PEP.
    pub fn answer(&self, query: Query, now: Instant, age: Span) -> Result<(Question, Verdict), CheckError> {
        self.decide(query, now, age).map(|decided| (decided.question, decided.verdict))
    }

    /// The same, with what the answer hangs on.
    pub(crate) fn decide(&self, query: Query, now: Instant, age: Span) -> Result<Decided, CheckError> {
        let (query, Gathered { facts, known, absent }) = self.gather(query, now, age)?;
        let question = Question { query, facts };
        let rules = || match &known {
            Some(Ok(known)) => Ok(Evaluator::Rules(known)),
            Some(Err(unanswerable)) => Err(unanswerable.clone()),
            None => Err(Unanswerable::new("it is not known what is asked about".to_owned())),
        };
        let answer = engine::respond(&self.snapshot, &question, self.head.revision, rules);
        let Answer { mut verdict, reads_passing } = answered(answer)?;
        if question.query.explain {
            let explanation = explanation::explain(self, &question, known.and_then(Result::ok).as_ref(), &verdict)?;
            verdict.explanation = Some(Box::new(explanation));
        }
        Ok(Decided { question, verdict, reads_passing, absent })
    }

    /// The same by Cedar's own authorizer, which visits every policy.
    pub fn answer_by_authorizer(
        &self,
        query: Query,
        now: Instant,
        age: Span,
    ) -> Result<(Question, Verdict), CheckError> {
        let (query, Gathered { facts, .. }) = self.gather(query, now, age)?;
        let question = Question { query, facts };
        let answer = engine::respond(&self.snapshot, &question, self.head.revision, || Ok(Evaluator::Authorizer));
        Ok((question, answered(answer)?.verdict))
    }

    /// The query as it is admitted, and what is known about it.
    fn gather(&self, query: Query, now: Instant, age: Span) -> Result<(Query, Gathered), CheckError> {
        let query = self.snapshot.admit(query)?;
        let sources = Sources { snapshot: &self.snapshot, directory: &self.directory, prepared: &self.prepared };
        let gathered = facts::gather(&query, sources, now, age);
        Ok((query, gathered))
    }
}

#[cfg(test)]
impl View {
    /// Has rules, and them alone, see an entity as if it were another one: their answers are wrong.
    pub(crate) fn mislead(&self, wrong: &magistrate_model::EntityData) {
        self.prepared.mislead(wrong, &self.snapshot, &self.directory);
    }
}

fn answered(answer: Result<Answer, Unanswerable>) -> Result<Answer, CheckError> {
    answer.map_err(|unanswerable| CheckError::NotReady(unanswerable.to_string()))
}

/// Whether decisions can be made now, and if not, why, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Decisions can be made; remarks are worth an operator's look.
    Ready {
        /// Such as data older than the soft limit.
        remarks: Vec<String>,
    },
    /// No decision can be made.
    NotReady {
        /// Each a sentence of its own.
        reasons: Vec<String>,
    },
}

/// State shared by the check path (reads) and the follower (writes).
#[derive(Debug, Default)]
pub(crate) struct Shared {
    view: ArcSwapOption<View>,
    /// What was served before, until no request holds it: taking a large state down is no work for a request.
    retired: Mutex<Vec<Arc<View>>>,
    /// Why the store's state cannot be served although it was read.
    fault: ArcSwapOption<String>,
    /// Why nothing may be answered although everything was read, as the owner of the process sees it.
    hold: ArcSwapOption<String>,
    /// When the store last confirmed the view, in microseconds.
    confirmed_at: AtomicI64,
    /// The latest instant any request or poll was given, in microseconds.
    clock: AtomicI64,
}

impl Shared {
    /// Time that never runs backwards within the process, whatever the clock does.
    pub(crate) fn tick(&self, now: Instant) -> Instant {
        let latest = self.clock.fetch_max(now.micros(), Ordering::AcqRel).max(now.micros());
        Instant::from_micros(latest).unwrap_or(now)
    }

    pub(crate) fn view(&self) -> Option<Arc<View>> {
        self.view.load_full()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.view.load().as_ref().map_or(Revision::ZERO, |view| view.head.revision)
    }

    pub(crate) fn publish(&self, view: View, now: Instant) {
        let before = self.view.swap(Some(Arc::new(view)));
        self.retired().extend(before);
        self.confirm(now);
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<View>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn confirm(&self, now: Instant) {
        self.confirmed_at.store(now.micros(), Ordering::Release);
        self.fault.store(None);
        self.retired().retain(|view| Arc::strong_count(view) > 1);
    }

    pub(crate) fn fail(&self, why: String) {
        self.fault.store(Some(Arc::new(why)));
    }

    pub(crate) fn hold(&self, why: Option<String>) {
        self.hold.store(why.map(Arc::new));
    }

    pub(crate) fn age(&self, now: Instant) -> Span {
        let confirmed = Instant::from_micros(self.confirmed_at.load(Ordering::Acquire)).unwrap_or(Instant::EPOCH);
        now.since(confirmed).max(Span::ZERO)
    }

    /// The view to answer from, or why there is none.
    pub(crate) fn current(&self, now: Instant, limits: Staleness) -> Result<Arc<View>, CheckError> {
        if let Some(why) = self.hold.load().as_ref().or(self.fault.load().as_ref()) {
            return Err(CheckError::NotReady(why.to_string()));
        }
        let view = self.view().ok_or_else(|| CheckError::NotReady(NOTHING_LOADED.to_owned()))?;
        let age = self.age(now);
        if age > limits.hard {
            return Err(CheckError::NotReady(stale(age, limits.hard)));
        }
        Ok(view)
    }

    pub(crate) fn readiness(&self, now: Instant, limits: Staleness) -> Readiness {
        match self.current(now, limits) {
            Ok(_) if self.age(now) > limits.soft => {
                Readiness::Ready { remarks: vec![stale(self.age(now), limits.soft)] }
            }
            Ok(_) => Readiness::Ready { remarks: Vec::new() },
            Err(error) => Readiness::NotReady { reasons: vec![error.to_string()] },
        }
    }
}

const NOTHING_LOADED: &str = "no policy set is loaded; apply one with `magistrate policy apply`";

fn stale(age: Span, limit: Span) -> String {
    let (age, limit) = (age.whole_seconds(), limit.whole_seconds());
    format!(
        "the policy store has not confirmed the data for {age} s; the limit is {limit} s: look at the store and its log lines"
    )
}
