//! Decisions of production made a second time, by Cedar's own authorizer: if the two ever differ, it takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use magistrate_engine::{self as engine, Evaluator};
use magistrate_ledger::DecisionId;
use magistrate_model::{Cause, Question, Verdict};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::state::View;

/// Of the time of one core, at most one part in so many goes into comparing.
const SHARE: u32 = 100;

/// A decision that was made, and what it was made from.
#[derive(Debug)]
struct Sample {
    view: Arc<View>,
    question: Question,
    verdict: Verdict,
    decision: Option<DecisionId>,
}

/// A decision that was taken to be compared. It is handed over when this goes: with the id of its record if it has one by
/// then, and without one if it could not be recorded, or nobody waited for that.
#[derive(Debug)]
pub(crate) struct Taken {
    comparison: Arc<Comparison>,
    sample: Option<Box<Sample>>,
}

/// What is shared by those who decide and the one who compares.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Whether the next decision is asked for.
    wanted: AtomicBool,
    samples: mpsc::Sender<Box<Sample>>,
    compared: AtomicU64,
    differed: AtomicU64,
    /// Of which Cedar's authorizer did not say anything.
    undecided: AtomicU64,
}

/// Compares decisions as they are made; runs beside serving, on at most one part in a hundred of a core.
#[derive(Debug)]
pub struct Comparer {
    comparison: Arc<Comparison>,
    samples: mpsc::Receiver<Box<Sample>>,
}

/// A decision that Cedar's own authorizer makes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The record of the decision, if it has one.
    pub decision: Option<DecisionId>,
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answered: Verdict,
    /// What Cedar's authorizer says, or why it says nothing.
    pub authorizer: Result<Verdict, String>,
}

pub(crate) fn comparison() -> (Arc<Comparison>, Comparer) {
    let (sender, samples) = mpsc::channel(1);
    let comparison = Comparison {
        wanted: AtomicBool::new(true),
        samples: sender,
        compared: AtomicU64::new(0),
        differed: AtomicU64::new(0),
        undecided: AtomicU64::new(0),
    };
    let comparison = Arc::new(comparison);
    (Arc::clone(&comparison), Comparer { comparison, samples })
}

impl Comparison {
    /// Whether prepared rules may answer: nothing has ever differed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.differed.load(Ordering::Relaxed) == 0
    }

    /// Takes a decision to be compared, if one is wanted and the authorizer can be given it.
    pub(crate) fn offer(self: &Arc<Self>, view: &Arc<View>, question: &Question, verdict: &Verdict) -> Option<Taken> {
        // Where no policy was asked there is nothing to compare.
        let asked = question.facts.missing.is_none() && verdict.cause != Cause::ScopeCeiling;
        if !self.wanted.load(Ordering::Relaxed) || !asked || !engine::is_for_authorizer(question) {
            return None;
        }
        self.wanted.swap(false, Ordering::Relaxed).then(|| {
            let verdict = Verdict { explanation: None, ..verdict.clone() };
            let sample = Sample { view: Arc::clone(view), question: question.clone(), verdict, decision: None };
            Taken { comparison: Arc::clone(self), sample: Some(Box::new(sample)) }
        })
    }

    /// How many decisions were compared, how many of them differed, and how many could not be compared.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.compared), count(&self.differed), count(&self.undecided))
    }
}

impl Taken {
    /// The decision has its record.
    pub(crate) fn recorded(mut self, id: DecisionId) {
        self.sample.iter_mut().for_each(|sample| sample.decision = Some(id));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(sample) = self.sample.take() {
            // Nobody compares any more, or one is waiting already.
            let _not_taken = self.comparison.samples.try_send(sample);
        }
    }
}

impl Comparer {
    /// Compares until the decision point is dropped. `tell` hears of every difference; from the first one on the
    /// authorizer answers every request, at its price.
    pub async fn run(self, mut tell: impl FnMut(&Difference)) {
        let Self { comparison, mut samples } = self;
        // Held weakly: the decision point ends this by being dropped.
        let shared = Arc::downgrade(&comparison);
        drop(comparison);
        while let Some(sample) = samples.recv().await {
            let begun = Instant::now();
            let compared = tokio::task::spawn_blocking(move || sample.compare()).await;
            let taken = begun.elapsed();
            let Some(comparison) = shared.upgrade() else { return };
            match compared {
                Ok(None) => drop(comparison.compared.fetch_add(1, Ordering::Relaxed)),
                Ok(Some(difference)) => {
                    // That it cannot say anything is told, and no other answer.
                    let counter = if difference.authorizer.is_ok() {
                        comparison.compared.fetch_add(1, Ordering::Relaxed);
                        &comparison.differed
                    } else {
                        &comparison.undecided
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    tell(&difference);
                }
                // The comparison did not come to an end; whatever panicked has said so.
                Err(_) => drop(comparison.undecided.fetch_add(1, Ordering::Relaxed)),
            }
            drop(comparison);
            tokio::time::sleep(taken * (SHARE - 1)).await;
            let Some(comparison) = shared.upgrade() else { return };
            comparison.wanted.store(true, Ordering::Relaxed);
        }
    }
}

impl Sample {
    fn compare(self: Box<Self>) -> Option<Difference> {
        let Self { view, question, verdict, decision } = *self;
        let second = engine::respond(&view.snapshot, &question, view.head.revision, || Ok(Evaluator::Authorizer));
        let authorizer = second.map_err(|error| error.to_string());
        let agrees = authorizer.as_ref().is_ok_and(|second| second.says_as(&verdict));
        (!agrees).then_some(Difference { decision, question, answered: verdict, authorizer })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use magistrate_engine::{Snapshot, Source};
    use magistrate_model::{
        ActionUid, Caller, Channel, Dataset, EntityData, EntityInput, Environment, KnownEntity, Query, Record, Span,
    };
    use tokio::task::JoinSet;

    use super::*;

    /// A state, a question and the answer to it.
    fn decided() -> (Arc<View>, Question, Verdict) {
        let schema = "@source(\"stored\") entity User; action read appliesTo { principal: User, resource: User };";
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let snapshot = Snapshot::compile(&source("schema", schema), &[]).unwrap();
        let ann = EntityData::bare("User::\"ann\"".parse().unwrap());
        let view = View::offline(Arc::new(snapshot), Dataset { entities: vec![ann], ..Dataset::empty() });
        let party = || EntityInput::Reference("User::\"ann\"".parse().unwrap());
        let query = Query {
            principal: party(),
            action: ActionUid::resolve("read", "").unwrap(),
            resource: party(),
            context: Record::new(),
            environment: Environment::default(),
            at_least_revision: None,
            request_id: None,
            explain: false,
            caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
        };
        let (question, verdict) = view.answer(query, magistrate_model::Instant::EPOCH, Span::ZERO).unwrap();
        assert_eq!(verdict.cause, Cause::NoPermit, "policies are asked");
        (Arc::new(view), question, verdict)
    }

    /// What Cedar's authorizer cannot be asked is told, and counted apart: it is neither agreement nor difference.
    #[tokio::test]
    async fn what_cannot_be_compared_is_told() {
        let (view, mut question, verdict) = decided();
        // No longer an entity of the schema.
        let odd = EntityData::bare("Other::\"x\"".parse().unwrap());
        question.facts.entities.push(Arc::new(KnownEntity::new(odd)));
        let (comparison, comparer) = comparison();
        let told = Arc::new(Mutex::new(0));
        let heard = Arc::clone(&told);
        let mut comparing = JoinSet::new();
        comparing.spawn(comparer.run(move |it| *heard.lock().unwrap() += u32::from(it.authorizer.is_err())));
        drop(comparison.offer(&view, &question, &verdict));
        while comparison.counts().2 == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(comparison.counts(), (0, 0, 1));
        assert!(comparison.is_trusted());
        drop(comparison);
        comparing.join_all().await;
        assert_eq!(*told.lock().unwrap(), 1);
    }

    /// What differs is told, counted, and trusted no more; what agrees is only counted.
    #[tokio::test]
    async fn difference_is_told_and_ends_the_trust() {
        let (view, question, verdict) = decided();
        let (comparison, comparer) = comparison();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let mut comparing = JoinSet::new();
        comparing.spawn(comparer.run(move |it| heard.lock().unwrap().push(it.clone())));
        let reached = async |times| {
            while comparison.counts().0 < times || !comparison.wanted.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        };
        drop(comparison.offer(&view, &question, &verdict));
        reached(1).await;
        assert!(comparison.is_trusted() && told.lock().unwrap().is_empty());
        let wrong = Verdict { cause: Cause::Permitted, ..verdict.clone() };
        let id = DecisionId { stream: magistrate_ledger::StreamId::new([3; 16]), seq: 4 };
        comparison.offer(&view, &question, &wrong).unwrap().recorded(id);
        reached(2).await;
        assert_eq!(comparison.counts(), (2, 1, 0));
        assert!(!comparison.is_trusted());
        let expected = Difference { decision: Some(id), question, answered: wrong, authorizer: Ok(verdict) };
        assert_eq!(*told.lock().unwrap(), [expected]);
        drop(comparison);
        comparing.join_all().await;
    }
}
