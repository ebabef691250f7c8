//! A decision that rules get wrong is found, told in the ledger, and made no more.

use std::sync::Mutex;

use magistrate_engine::{Snapshot, Source};
use magistrate_ledger::{
    Act, Append, CommitFailed, Durable, PlacedRecord, PrivateFields, Room, SealedHeader, StreamId, question_digest,
};
use magistrate_model::{
    ActionUid, AttributeName, Caller, Cause, Channel, Dataset, EntityData, EntityInput, EntityUid, Environment, Head,
    Record, Value,
};
use tokio::task::JoinSet;

use super::*;
use crate::comparison::{Difference, Second};
use crate::differences::{DifferenceCounts, DifferenceRecorder, Differences};
use crate::log::LogError;
use crate::ports::{Intake, LoadError, Since, Standing};
use crate::refusals::tests::{Acts, Mood};

const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA: &str = "@source(\"stored\") entity User { level: Long };
    action read appliesTo { principal: User, resource: User };";
const POLICY: &str = "@id(\"high\") permit (principal, action, resource) when { principal.level > 3 };";

/// Nothing is followed.
struct Nothing;

impl PolicySource for Nothing {
    async fn standing(&self) -> Result<Standing, LoadError> {
        Err(LoadError::Unreachable("nothing".to_owned()))
    }

    async fn load_into(&self, _intake: &mut impl Intake) -> Result<Head, LoadError> {
        Err(LoadError::Unreachable("nothing".to_owned()))
    }

    async fn since(&self, _served: Head, _at_most: u32) -> Result<Since, LoadError> {
        Err(LoadError::Unreachable("nothing".to_owned()))
    }
}

/// A journal that takes everything, or nothing.
#[derive(Debug)]
struct Journal {
    fails: bool,
}

impl Append for Journal {
    fn append(&mut self, batch: &[PlacedRecord]) -> Result<Durable, CommitFailed> {
        let failed = || CommitFailed { records: batch.len(), conflict: false, why: "told to".to_owned() };
        if self.fails { Err(failed()) } else { Ok(Durable::Already) }
    }

    fn append_header(&mut self, _header: &SealedHeader) -> Result<(), CommitFailed> {
        Ok(())
    }
}

fn user(id: &str, level: i64) -> EntityData {
    let attributes = Record::from([(AttributeName::new("level").unwrap(), Value::Long(level))]);
    EntityData { attributes, ..EntityData::bare(EntityUid::from_parts("User", id).unwrap()) }
}

fn query(principal: &str) -> Query {
    let party = |id: &str| EntityInput::Reference(EntityUid::from_parts("User", id).unwrap());
    Query {
        principal: party(principal),
        action: ActionUid::resolve("read", "").unwrap(),
        resource: party("ann"),
        context: Record::new(),
        environment: Environment::default(),
        at_least_revision: None,
        request_id: None,
        explain: false,
        caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
    }
}

/// A decision point whose rules are wrong about one user, who compares, and where what differs goes.
struct Misled {
    pdp: Pdp,
    lane: Arc<Differences>,
    store: Acts,
    recorder: DifferenceRecorder<Acts>,
    comparing: JoinSet<()>,
}

fn misled(journal: Journal) -> Misled {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let snapshot = Snapshot::compile(&source("schema", SCHEMA), &[source("policy", POLICY)]).unwrap();
    let entities = vec![user("ann", 1), user("bob", 9)];
    let view = View::offline(Arc::new(snapshot), Dataset { entities, ..Dataset::empty() });
    view.mislead(&user("ann", 9));
    let writer = Writer::new(journal, Room::unlimited(), StreamId::new([1; 16]), || [2; 16]);
    let (pdp, _follower, comparer) = Pdp::new(Nothing, Settings::default(), Arc::new(writer));
    pdp.shared.publish(view, now());
    let (lane, store) = (Arc::new(Differences::new(PrivateFields::default())), Acts::new());
    let recorder = DifferenceRecorder::new(store.clone(), Arc::clone(&lane), "node/n".parse().unwrap(), random);
    let mut comparing = JoinSet::new();
    let told = Arc::clone(&lane);
    comparing.spawn(comparer.run(move |difference| {
        told.tell(difference);
    }));
    Misled { pdp, lane, store, recorder, comparing }
}

fn random() -> [u8; 16] {
    static NEXT: Mutex<u128> = Mutex::new(1);
    let mut next = NEXT.lock().unwrap();
    *next += 1;
    next.to_be_bytes()
}

fn now() -> Instant {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

impl Misled {
    async fn until_told(&self) {
        while self.lane.counts().told == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// The one difference that is in the ledger.
    async fn recorded(&mut self) -> magistrate_ledger::DifferingDecision {
        self.until_told().await;
        self.recorder.round().await.unwrap();
        let acts = self.store.kept();
        let [(at, Act::Difference(found))] = acts.as_slice() else { panic!("{acts:?}") };
        assert_eq!((*at, self.lane.counts()), (now(), DifferenceCounts { told: 1, recorded: 1, dropped: 0 }));
        (**found).clone()
    }

    async fn end(self) {
        drop(self.pdp);
        self.comparing.join_all().await;
    }
}

#[tokio::test]
async fn decision_that_rules_get_wrong_is_in_the_ledger_and_made_no_more() {
    let mut misled = misled(Journal { fails: false });
    let recorded = misled.pdp.check(query("ann"), now(), PATIENCE).await.unwrap();
    assert_eq!(recorded.answer().cause, Cause::Permitted, "rules are wrong");
    misled.until_told().await;
    // Whatever the store does, the act is there once.
    for mood in [Mood::IsAway, Mood::IsSilent, Mood::IsAway] {
        misled.store.is(mood);
        assert!(matches!(misled.recorder.round().await, Err(LogError::Unreachable(_))));
    }
    assert_eq!(misled.lane.counts().waiting(), 1);
    misled.store.is(Mood::Takes);
    let found = misled.recorded().await;
    assert_eq!(found.decision, Some(recorded.receipt().id()));
    assert_eq!((found.revision, found.policy_set), (recorded.answer().revision, recorded.answer().policy_set_digest));
    assert_eq!((found.answered.cause, found.says.cause), (Cause::Permitted, Cause::NoPermit));
    let named =
        |policies: &magistrate_ledger::Policies| policies.first.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((named(&found.answered.determining), found.says.determining.count), (vec!["high".to_owned()], 0));
    assert_eq!(found.asked.principal.as_deref(), Some("User::\"ann\""));
    let again = misled.pdp.check(query("ann"), now(), PATIENCE).await.unwrap();
    assert_eq!(again.answer().cause, Cause::NoPermit, "from then on the authorizer answers");
    misled.recorder.round().await.unwrap();
    assert_eq!(misled.store.kept().len(), 1);
    misled.end().await;
}

/// The act names the record of the item that was compared, and of no other.
#[tokio::test]
async fn item_of_a_batch_is_named_by_its_own_record() {
    let mut misled = misled(Journal { fails: false });
    // No policy is asked for the first one, and the second one is no question.
    let mut odd = query("ann");
    odd.context = Record::from([(AttributeName::new("x").unwrap(), Value::Bool(true))]);
    let items = vec![Ok(query("nobody")), Ok(odd), Ok(query("ann")), Ok(query("bob"))];
    let batch = Batch { items, at_least_revision: None, semantics: BatchSemantics::All };
    let answer = misled.pdp.check_batch(batch, now(), PATIENCE).await.unwrap();
    let ids: Vec<_> = answer.results.iter().map(|it| it.as_ref().ok().map(|it| it.receipt().id())).collect();
    assert!(ids[1].is_none() && ids[2].is_some());
    assert_eq!(misled.recorded().await.decision, ids[2]);
    misled.end().await;
}

/// Without a record the question is known by its digest; nobody was answered, and it is a difference all the same.
#[tokio::test]
async fn decision_without_a_record_is_named_by_what_was_asked() {
    let mut misled = misled(Journal { fails: true });
    let refused = misled.pdp.check(query("ann"), now(), PATIENCE).await;
    assert!(matches!(refused, Err(CheckError::NotRecorded(_))), "{refused:?}");
    let found = misled.recorded().await;
    let (question, verdict) = misled.pdp.served().unwrap().answer(query("ann"), now(), Span::ZERO).unwrap();
    let digest = question_digest(&question, &verdict, &PrivateFields::default());
    assert_eq!((found.decision, found.question), (None, digest));
    misled.end().await;
}

/// An act that the store refuses is counted, and holds up no other; those beyond the first ones are only counted.
#[tokio::test]
async fn differences_are_bounded_and_those_that_are_not_recorded_are_counted() {
    let mut misled = misled(Journal { fails: false });
    let view = misled.pdp.served().unwrap();
    let (question, answered) = view.answer(query("ann"), now(), Span::ZERO).unwrap();
    let second = view.answer_by_authorizer(query("ann"), now(), Span::ZERO).unwrap().1;
    drop(view);
    let difference = Difference { decision: None, question, answered, second: Second::Authorizer(Ok(second)) };
    let silent = Difference { second: Second::Authorizer(Err("nothing".to_owned())), ..difference.clone() };
    assert!(!misled.lane.tell(&silent) && misled.lane.counts().told == 0, "no answer is no difference");
    let taken = (0..Differences::MOST + 5).filter(|_| misled.lane.tell(&difference)).count() as u64;
    assert_eq!((taken, misled.lane.counts().waiting()), (Differences::MOST, Differences::MOST));
    misled.store.is(Mood::Refuses);
    assert!(matches!(misled.recorder.round().await, Err(LogError::Refused(_))));
    misled.store.is(Mood::Takes);
    misled.recorder.round().await.unwrap();
    let (told, recorded) = (Differences::MOST + 5, Differences::MOST - 1);
    assert_eq!(misled.lane.counts(), DifferenceCounts { told, recorded, dropped: 6 });
    assert_eq!(misled.store.kept().len() as u64, recorded);
    misled.end().await;
}
