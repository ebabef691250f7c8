//! Decisions of production made a second time, by Cedar's own authorizer: if the two ever differ, it takes over. Earlier answers
//! that were used again are evaluated before that: if that ever differs, none is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use magistrate_engine::{self as engine, Evaluator};
use magistrate_ledger::DecisionId;
use magistrate_model::{Cause, Question, Span, Verdict};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::reuse::Reuse;
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
    /// Where it is an earlier answer, how old the data was.
    reused: Option<Span>,
}

/// A decision that was taken to be compared. It is handed over when this goes: with the id of its record if it has one by
/// then, and without one if it could not be recorded, or nobody waited for that.
#[derive(Debug)]
pub(crate) struct Sampled {
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
    reuse: Arc<Reuse>,
}

/// Compares decisions as they are made; runs beside serving, on at most one part in a hundred of a core.
#[derive(Debug)]
pub struct Comparer {
    comparison: Arc<Comparison>,
    samples: mpsc::Receiver<Box<Sample>>,
}

/// A decision that is made otherwise the second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The record of the decision, if it has one.
    pub decision: Option<DecisionId>,
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answered: Verdict,
    /// What is said the second time.
    pub second: Second,
}

/// Who was asked a second time, and what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Second {
    /// Cedar's authorizer, or why it says nothing.
    Authorizer(Result<Verdict, String>),
    /// The same question was evaluated, where an earlier answer was used: what is known of it now, and what follows.
    Anew(Result<Box<(Question, Verdict)>, String>),
}

/// How a comparison went.
#[derive(Debug, Default)]
struct Compared {
    /// Whether an earlier answer is what evaluation comes to; `None` of others.
    reused: Option<bool>,
    /// Whether Cedar's authorizer says the same, where it was asked and said anything.
    authorizer: Option<bool>,
    difference: Option<Box<Difference>>,
}

pub(crate) fn comparison(reuse: Arc<Reuse>) -> (Arc<Comparison>, Comparer) {
    let (sender, samples) = mpsc::channel(1);
    let comparison = Comparison {
        wanted: AtomicBool::new(true),
        samples: sender,
        compared: AtomicU64::new(0),
        differed: AtomicU64::new(0),
        undecided: AtomicU64::new(0),
        reuse,
    };
    let comparison = Arc::new(comparison);
    (Arc::clone(&comparison), Comparer { comparison, samples })
}

impl Comparison {
    /// Whether prepared rules may answer: nothing has ever differed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.differed.load(Ordering::Relaxed) == 0
    }

    /// Takes a decision to be compared, if one is wanted and there is something to compare it with. `reused` is how old the
    /// data was, where it is an earlier answer.
    pub(crate) fn offer(
        self: &Arc<Self>,
        view: &Arc<View>,
        question: &Question,
        verdict: &Verdict,
        reused: Option<Span>,
    ) -> Option<Sampled> {
        if !self.wanted.load(Ordering::Relaxed) || !(reused.is_some() || is_comparable(question, verdict)) {
            return None;
        }
        self.wanted.swap(false, Ordering::Relaxed).then(|| {
            let verdict = Verdict { explanation: None, ..verdict.clone() };
            let sample = Sample { view: Arc::clone(view), question: question.clone(), verdict, decision: None, reused };
            Sampled { comparison: Arc::clone(self), sample: Some(Box::new(sample)) }
        })
    }

    /// Whether the next decision would be taken.
    #[cfg(test)]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    fn note(&self, compared: &Compared) {
        compared.reused.into_iter().for_each(|agrees| self.reuse.compared(agrees));
        // That it cannot say anything is told, and no other answer.
        let is_undecided =
            matches!(compared.difference.as_deref(), Some(Difference { second: Second::Authorizer(Err(_)), .. }));
        let counts = [
            (&self.compared, compared.authorizer.is_some()),
            (&self.differed, compared.authorizer == Some(false)),
            (&self.undecided, is_undecided),
        ];
        counts.into_iter().filter(|(_, is_so)| *is_so).for_each(|(counter, _)| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// How many decisions were compared, how many of them differed, and how many could not be compared.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.compared), count(&self.differed), count(&self.undecided))
    }
}

impl Sampled {
    /// The decision has its record.
    pub(crate) fn recorded(mut self, id: DecisionId) {
        self.sample.iter_mut().for_each(|sample| sample.decision = Some(id));
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        if let Some(sample) = self.sample.take() {
            // Nobody compares any more, or one is waiting already.
            let _not_taken = self.comparison.samples.try_send(sample);
        }
    }
}

impl Comparer {
    /// Compares until the decision point is dropped. `tell` hears of every difference; from the first one with the
    /// authorizer on it answers every request, at its price, and from the first one of an earlier answer on none is used again.
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
                Ok(compared) => {
                    comparison.note(&compared);
                    compared.difference.iter().for_each(|difference| tell(difference));
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

/// Whether Cedar's authorizer can be asked the same. Where no policy was asked there is nothing to compare.
fn is_comparable(question: &Question, verdict: &Verdict) -> bool {
    let asked = question.facts.missing.is_none() && verdict.cause != Cause::ScopeCeiling;
    asked && engine::is_for_authorizer(question)
}

impl Sample {
    fn compare(self: Box<Self>) -> Compared {
        let Self { view, question, verdict, decision, reused } = *self;
        if let Some(age) = reused {
            let anew = view.answer(question.query.clone(), question.facts.instant, age);
            let agrees = anew.as_ref().is_ok_and(|(of, says)| *of == question && *says == verdict);
            if !agrees {
                let second = Second::Anew(anew.map(Box::new).map_err(|error| error.to_string()));
                let difference = Difference { decision, question, answered: verdict, second };
                return Compared { reused: Some(false), difference: Some(Box::new(difference)), authorizer: None };
            }
        }
        let so_far = Compared { reused: reused.map(|_| true), ..Compared::default() };
        if !is_comparable(&question, &verdict) {
            return so_far;
        }
        let second = engine::respond(&view.snapshot, &question, view.head.revision, || Ok(Evaluator::Authorizer));
        let authorizer = second.map(|second| second.verdict).map_err(|error| error.to_string());
        let agrees = authorizer.as_ref().ok().map(|second| second.says_as(&verdict));
        let told = (agrees != Some(true)).then(|| {
            Box::new(Difference { decision, question, answered: verdict, second: Second::Authorizer(authorizer) })
        });
        Compared { authorizer: agrees, difference: told, ..so_far }
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
    use crate::reuse::ReuseSettings;

    /// Where no answer is used again.
    fn comparison() -> (Arc<Comparison>, Comparer) {
        super::comparison(Arc::new(Reuse::new(ReuseSettings::OFF)))
    }

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
        comparing.spawn(
            comparer
                .run(move |it| *heard.lock().unwrap() += u32::from(matches!(it.second, Second::Authorizer(Err(_))))),
        );
        drop(comparison.offer(&view, &question, &verdict, None));
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
            while comparison.counts().0 < times || !comparison.is_wanted() {
                tokio::task::yield_now().await;
            }
        };
        drop(comparison.offer(&view, &question, &verdict, None));
        reached(1).await;
        assert!(comparison.is_trusted() && told.lock().unwrap().is_empty());
        let wrong = Verdict { cause: Cause::Permitted, ..verdict.clone() };
        let id = DecisionId { stream: magistrate_ledger::StreamId::new([3; 16]), seq: 4 };
        comparison.offer(&view, &question, &wrong, None).unwrap().recorded(id);
        reached(2).await;
        assert_eq!(comparison.counts(), (2, 1, 0));
        assert!(!comparison.is_trusted());
        let expected =
            Difference { decision: Some(id), question, answered: wrong, second: Second::Authorizer(Ok(verdict)) };
        assert_eq!(*told.lock().unwrap(), [expected]);
        drop(comparison);
        comparing.join_all().await;
    }
}
