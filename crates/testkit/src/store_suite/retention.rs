//! Days that are taken out: what goes, what stays, and what keeps them in the store.

use magistrate_ledger::verify::{Finding, Kind};
use magistrate_ledger::{
    Act, ActId, ActRecord, Checkpoint, DecisionId, Entry, LogId, Opening, SealedAct, Sealer, Selection,
    SignedCheckpoint, Sink, StreamId,
};
use magistrate_model::Instant;
use magistrate_pdp::erasing::{Eraser, erase};
use magistrate_pdp::retention::{DayExpiry, Hold, NotCovered, Retention, covering};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Evidence, GlobalLog, LogError, Page, Unlogged};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};

mod recorded;

use recorded::{Past, decided, eraser, first_day, keeper, node, now};

const LOG: LogId = LogId::new([8; 16]);
const DAY: i64 = 86_400_000_000;
/// Days before today on which the first records were made.
const AGO: i64 = 5;

fn act(act: Act) -> SealedAct {
    ActRecord { id: ActId(crate::nonce()), at: at(), actor: "os/mia".parse().unwrap(), act }.seal().unwrap()
}

/// When everything is done here.
fn at() -> Instant {
    Instant::from_micros(1_780_315_200_000_000).unwrap()
}

fn hold(name: &str, first: i64, last: Option<i64>, released: bool) -> SealedAct {
    act(Act::Hold { name: name.to_owned(), first, last, reason: "a court".to_owned(), released })
}

fn ids(stream: StreamId, seqs: &[u64]) -> Vec<DecisionId> {
    seqs.iter().map(|seq| DecisionId { stream, seq: *seq }).collect()
}

#[track_caller]
fn expect_refused(done: &Result<(), LogError>, why: &str) {
    assert!(matches!(done, Err(LogError::Refused(said)) if said.contains(why)), "{done:?}");
}

/// The records go, with the act before them; headers stay, and so do the leaves that others are verified with.
pub async fn a_day_goes_and_what_stays_verifies<S: StoreUnderTest>() {
    let past = Past::<S>::begin().await;
    past.expect_expired(0).await;
    assert_eq!(past.days().await, [(0, false), (1, false)]);
    let plan = past.plan(first_day(), false).await.unwrap();
    assert_eq!((plan.records, plan.kept.clone()), (6, ids(stream(1), &[5, 6])));
    let expiry = past.expiry(plan).await;
    past.store().expire(&expiry).await.unwrap();
    assert_eq!((past.days().await, past.places().await), (vec![(1, false)], vec![7, 8, 9, 10]));
    let acts = past.store().acts(None, 0, 10).await.unwrap();
    assert_eq!(acts.iter().map(|it| it.decode().unwrap()).collect::<Vec<_>>(), expiry.acts);
    let kept: Vec<_> = past.records[4..6].iter().map(|record| (record.id.seq, record.leaf)).collect();
    assert_eq!(past.store().kept_leaves(stream(1)).await.unwrap(), kept);
    past.expect_expired(6).await;
    let page = past.store().page(&DecisionFilter::default(), Page::NewestFirst(None), 100).await.unwrap();
    assert_eq!(page.len(), 4);
    past.expire(first_day() + 1).await.unwrap();
    assert_eq!((past.days().await, past.places().await), (vec![], Vec::<u64>::new()));
    past.expect_expired(10).await;
    assert_eq!(past.store().streams().await.unwrap(), [stream(1)]);
    assert_eq!(past.store().last_place(stream(1)).await.unwrap(), 10);
    assert_eq!(past.subject.sink().await.last_committed(stream(1)).await.unwrap(), Some(10));
}

/// Until it is released, and that is on record as well.
pub async fn a_held_day_stays<S: StoreUnderTest>() {
    let past = Past::<S>::begin().await;
    let (store, day) = (past.store(), first_day());
    let holds = [
        hold("one-day", day, Some(day), false),
        hold("all", day + 1, None, false),
        hold("before", 0, Some(day - 1), false),
    ];
    for act in &holds {
        store.hold(act).await.unwrap();
    }
    assert_eq!(past.days().await, [(0, true), (1, true)]);
    for day in [day, day + 1] {
        expect_refused(&past.expire(day).await, "is held");
    }
    assert!(matches!(store.hold(&hold("all", 0, None, false)).await, Err(LogError::Refused(_))), "a name is used once");
    assert!(store.hold(&hold("none", 0, None, true)).await.is_err(), "there is none of that name");
    store.hold(&hold("one-day", day, Some(day), true)).await.unwrap();
    assert!(store.hold(&hold("one-day", day, Some(day), true)).await.is_err(), "it is released once");
    let kept = |name: &str, first, last, released| Hold { name: name.to_owned(), first, last, released };
    let expected = [
        kept("all", day + 1, None, false),
        kept("before", 0, Some(day - 1), false),
        kept("one-day", day, Some(day), true),
    ];
    assert_eq!(store.holds().await.unwrap(), expected);
    past.expire(day).await.unwrap();
    expect_refused(&past.expire(day + 1).await, "is held");
    let kinds: Vec<_> = store.acts(None, 0, 10).await.unwrap().into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, ["hold", "hold", "hold", "hold", "retention"], "refused acts leave nothing");
}

/// Whatever the plan was made of, the store itself looks as well.
pub async fn a_day_that_must_stay_is_refused<S: StoreUnderTest>() {
    let past = Past::<S>::begin().await;
    let expiry = past.expiry(past.plan(first_day(), false).await.unwrap()).await;
    let other = |change: fn(&mut DayExpiry)| {
        let mut other = expiry.clone();
        change(&mut other);
        other
    };
    let wrong = [
        (other(|it| it.records -= 1), "there are 6 records"),
        (other(|it| it.covered += 1), "no checkpoint of the log"),
        (other(|it| it.day -= 1), "there are no records"),
        (other(|it| it.day = now().day() - 1), "not over for a whole day"),
        (other(|it| it.day = now().day()), "not over for a whole day"),
    ];
    for (expiry, why) in wrong {
        expect_refused(&past.store().expire(&expiry).await, why);
    }
    // A checkpoint that covers the first two headers of four: records 5 and 6 lie under the third.
    let root = past.sequencer.batch(Vec::new());
    assert_eq!(root.first, 4);
    let checkpoint = Checkpoint { origin: LOG.origin(), size: 2, root: magistrate_model::Digest::ZERO };
    let note = node().sign(&checkpoint);
    past.subject.sink().await.seal(&[], Some(&SignedCheckpoint { checkpoint, note })).await.unwrap();
    let bare = other(|it| {
        it.covered = 2;
        it.kept.clear();
    });
    expect_refused(&past.store().expire(&bare).await, "no header that the checkpoint covers is over the record");
    assert_eq!(past.places().await.len(), 10);
    assert_eq!(past.store().acts(None, 0, 10).await.unwrap(), []);
    assert_eq!(past.store().kept_leaves(stream(1)).await.unwrap(), []);
    past.store().expire(&expiry).await.unwrap();
    expect_refused(&past.store().expire(&expiry).await, "there are no records");
}

/// What was stored and went is accepted again, and stays out; what comes late has its day again.
pub async fn what_went_does_not_come_back<S: StoreUnderTest>() {
    let past = Past::<S>::begin().await;
    past.expire(first_day()).await.unwrap();
    let mut sink = past.subject.sink().await;
    sink.commit(&past.records).await.unwrap();
    sink.commit(&past.records[2..5]).await.unwrap();
    assert_eq!(past.places().await, [7, 8, 9, 10]);
    past.expire(first_day() + 1).await.unwrap();
    sink.commit(&past.records).await.unwrap();
    assert_eq!(past.places().await, Vec::<u64>::new());
    // What went is excused, and nothing else: another record at a place that was never taken out is refused.
    let others: Vec<_> =
        decided().iter().map(|it| Decided { principal: "User::eve", at: now(), ..it.clone() }).collect();
    let late = sealed(stream(2), &decided()[..3]);
    let fork = sealed(stream(3), &others[..3]);
    sink.commit(&fork).await.unwrap();
    assert!(sink.commit(&sealed(stream(3), &decided()[..3])).await.is_err(), "it lies there as another one");
    sink.commit(&late).await.unwrap();
    assert_eq!(past.days().await, [(0, false), (AGO, false)]);
    let found = past.store().page(&DecisionFilter::default(), Page::OldestFirst(None), 100).await.unwrap();
    assert_eq!(
        found.iter().map(|it| it.id).collect::<Vec<_>>(),
        [ids(stream(2), &[1, 2, 3]), ids(stream(3), &[1, 2, 3])].concat()
    );
}

/// What is not covered, or no longer what was sealed, is not planned.
pub async fn a_day_is_looked_at_before_it_goes<S: StoreUnderTest>() {
    let mut past = Past::<S>::begin().await;
    // Records behind the last header, of a run that never came back.
    let mut left = sealed(stream(2), &decided()[..3]);
    past.subject.sink().await.commit(&left).await.unwrap();
    let plan = past.plan(first_day(), false).await;
    assert!(matches!(&plan, Err(NotCovered::Uncovered(why)) if why.contains("no later run tells")), "{plan:?}");
    let plan = past.plan(first_day(), true).await.unwrap();
    assert_eq!(plan.kept, [ids(stream(1), &[5, 6]), ids(stream(2), &[1, 2, 3])].concat());
    // A stream whose header the log does not have yet.
    let signer = node();
    let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
    let (mut sealer, opens) = Sealer::begin(stream(2), signer, opening, now());
    left.iter().for_each(|record| sealer.take(record, now()));
    let seals = sealer.seal_now(now()).unwrap();
    past.subject.sink().await.seal(&[opens.clone(), seals.clone()], None).await.unwrap();
    let plan = past.plan(first_day(), true).await;
    assert!(matches!(&plan, Err(NotCovered::Uncovered(why)) if why.contains("take a newer one")), "{plan:?}");
    past.log(vec![Entry::Header(opens), Entry::Header(seals)]).await;
    assert_eq!(past.plan(first_day(), false).await.unwrap().records, 9);
    // A stream whose header is another one than the log had when the checkpoint was made.
    let swapped = sealed(stream(4), &decided()[..1]);
    let sealed_at = |at: Instant| {
        let signer = node();
        let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
        let (mut sealer, opens) = Sealer::begin(stream(4), signer, opening, at);
        swapped.iter().for_each(|record| sealer.take(record, at));
        vec![opens, sealer.seal_now(at).unwrap()]
    };
    let mut sink = past.subject.sink().await;
    sink.commit(&swapped).await.unwrap();
    sink.seal(&sealed_at(now()), None).await.unwrap();
    past.log(sealed_at(at()).into_iter().map(Entry::Header).collect()).await;
    let plan = past.plan(first_day(), false).await;
    assert!(
        matches!(&plan, Err(NotCovered::Touched(found)) if found.why.contains("not the one that the log had")),
        "{plan:?}"
    );
    // A record under a header that is another one than was sealed.
    let stranger = sealed(stream(3), &decided()[..1]);
    let signer = node();
    let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
    let (mut sealer, opens) = Sealer::begin(stream(3), signer, opening, now());
    left.truncate(1);
    left[0].id.stream = stream(3);
    left.iter().for_each(|record| sealer.take(record, now()));
    let seals = sealer.seal_now(now()).unwrap();
    let mut sink = past.subject.sink().await;
    sink.commit(&stranger).await.unwrap();
    sink.seal(&[opens.clone(), seals.clone()], None).await.unwrap();
    past.log(vec![Entry::Header(opens), Entry::Header(seals)]).await;
    let plan = past.plan(first_day(), false).await;
    let is_of_it = |found: &Finding| found.kind == Kind::Altered && found.at.contains(&stream(3).to_string());
    assert!(matches!(&plan, Err(NotCovered::Touched(found)) if is_of_it(found)), "{plan:?}");
}

/// It is signed by a pinned key, it is of this log, and this log goes on from it.
pub async fn a_checkpoint_that_covers_is_one_that_was_kept<S: StoreUnderTest>() {
    let past = Past::<S>::begin().await;
    let (store, keys) = (past.store(), [node().verifier()]);
    assert_eq!(past.covering().await.checkpoint.size, 4);
    let ask = async |note: &str| covering(store, std::iter::once(note), &keys).await.unwrap().unwrap_err();
    let said = magistrate_ledger::read_note(&past.note).unwrap();
    assert!(ask(&keeper().sign(&said)).await.contains("signed by a pinned key"));
    let other = Checkpoint { origin: LogId::new([7; 16]).origin(), ..said.clone() };
    assert!(ask(&node().sign(&other)).await.contains("this store's global log"));
    let forked = Checkpoint { root: magistrate_model::Digest::ZERO, ..said.clone() };
    assert!(ask(&node().sign(&forked)).await.contains("is not the one"));
    let longer = Checkpoint { size: 5, ..said };
    assert!(ask(&node().sign(&longer)).await.contains("is not the one"));
    assert_eq!(store.log_size().await.unwrap(), 4);
}

/// What nobody who may do so erased is missing: the day would take the evidence with it.
pub async fn a_day_whose_values_nobody_erased_stays<S: StoreUnderTest>() {
    let private = |it: Decided| Decided { email: Some("hidden"), private: &["context.email"], ..it };
    let past = Past::<S>::of(&decided().into_iter().map(private).collect::<Vec<_>>()).await;
    let planned = past.plan(first_day(), false).await.unwrap();
    let of = Selection { until: Some(decided()[2].at), ..Selection::default() };
    let (actor, reason) = ("os/mia".parse().unwrap(), "asked for".to_owned());
    let by = Eraser { signer: eraser(), actor, reason, act_id: crate::nonce, now: at };
    assert_eq!(erase(past.store(), &of, &by).await, Ok(2));
    assert_eq!(past.plan(first_day(), false).await.unwrap(), planned);
    for with_uncovered in [false, true] {
        let plan = past.plan_believing(&keeper(), first_day(), with_uncovered).await;
        let is_missing = |found: &Finding| {
            (found.kind, found.records) == (Kind::Missing, 2) && found.why.contains("is not signed by a key")
        };
        assert!(matches!(&plan, Err(NotCovered::Touched(found)) if is_missing(found)), "{plan:?}");
    }
    // Nor is it another day's business.
    assert!(past.plan_believing(&keeper(), first_day() + 1, false).await.is_ok());
}
