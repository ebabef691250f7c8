//! The global log: one appends to it, nothing in it changes, and what it lacks is found.

/// How the decision of [`sealed_difference`] was made the second time.
pub use magistrate_ledger::SecondWay;
use magistrate_ledger::{
    Act, ActId, ActRecord, Answered, Asked, Checkpoint, DecisionId, DifferingDecision, Entry, LogBatch, LogId,
    NoteSigner, Opening, Policies, RefusedCall, Run, SealedAct, SealedHeader, Sealer, Sequencer, SignedCheckpoint,
    Sink, StreamId, Tree,
};
use magistrate_model::{Cause, Digest, Revision, Span};
use magistrate_pdp::{GlobalLog, LogError, Sequencing, Unlogged};

use super::StoreUnderTest;
use crate::instant;

const LOG: LogId = LogId::new([8; 16]);
const ONE: StreamId = StreamId::new([1; 16]);
const TWO: StreamId = StreamId::new([2; 16]);

fn act(number: u64, query: &str) -> SealedAct {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let act = Act::Access { verb: "audit search".to_owned(), query: query.to_owned(), records: number };
    let (at, actor) = (instant("2026-01-01T00:00:00Z"), "os/mia".parse().unwrap());
    ActRecord { id: ActId(id), at, actor, act }.seal().unwrap()
}

fn acts(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|number| Entry::Act(act(number, ""))).collect()
}

/// The log as its sequencer would append to it first.
fn first(entries: Vec<Entry>) -> (Sequencer, LogBatch) {
    let sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
    let batch = sequencer.batch(entries);
    (sequencer, batch)
}

/// The same entries, claimed for another place.
fn at(first: u64, batch: &LogBatch) -> LogBatch {
    let mut moved = batch.clone();
    moved.first = first;
    moved
}

async fn leased<S: StoreUnderTest>() -> (S, u64) {
    let subject = S::fresh().await;
    let lease = subject.store().lease(ONE, LOG, Span::seconds(60)).await.unwrap();
    assert!(lease.held);
    (subject, lease.term)
}

#[track_caller]
fn expect_refused(done: &Result<(), LogError>) {
    assert!(matches!(done, Err(LogError::Refused(_))), "{done:?}");
}

/// Whoever asks first begins it.
pub async fn a_log_begins_once_and_keeps_its_id<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let store = subject.store();
    assert_eq!((store.log_id().await.unwrap(), store.log_size().await.unwrap()), (None, 0));
    assert_eq!(store.lease(ONE, LOG, Span::seconds(60)).await.unwrap().log, LOG);
    assert_eq!(store.lease(TWO, LogId::new([9; 16]), Span::seconds(60)).await.unwrap().log, LOG);
    assert_eq!(store.log_id().await.unwrap(), Some(LOG));
}

/// A holder that asks in time keeps its term; another one gets a new term, and only when the time has passed or the holder
/// let go.
pub async fn a_lease_is_of_one_holder_until_it_ends<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let store = subject.store();
    let other = store.lease(TWO, LOG, Span::seconds(60)).await.unwrap();
    assert_eq!((other.held, other.term), (false, term));
    let again = store.lease(ONE, LOG, Span::seconds(60)).await.unwrap();
    assert_eq!((again.held, again.term), (true, term));
    assert!(!store.lease(ONE, LOG, Span::ZERO).await.unwrap().held, "it let go");
    let other = store.lease(TWO, LOG, Span::seconds(1)).await.unwrap();
    assert_eq!((other.held, other.term), (true, term + 1));
    assert!(!store.lease(ONE, LOG, Span::ZERO).await.unwrap().held, "what one does not hold, one does not let go");
    assert!(!store.lease(ONE, LOG, Span::seconds(1)).await.unwrap().held);
    let late = loop {
        let asked = store.lease(ONE, LOG, Span::seconds(60)).await.unwrap();
        if asked.held {
            break asked;
        }
    };
    assert_eq!(late.term, term + 2);
}

/// Whoever held the log once cannot append to it any more.
pub async fn a_stale_term_appends_nothing<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let store = subject.store();
    let (_, batch) = first(acts(0..3));
    store.lease(ONE, LOG, Span::ZERO).await.unwrap();
    let newer = store.lease(TWO, LOG, Span::seconds(60)).await.unwrap().term;
    expect_refused(&store.append_log(term, &batch).await);
    expect_refused(&store.append_log(newer + 1, &batch).await);
    assert_eq!(store.log_size().await.unwrap(), 0);
    store.append_log(newer, &batch).await.unwrap();
}

/// Neither a gap nor a second entry at a place.
pub async fn entries_follow_each_other<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let store = subject.store();
    let (_, batch) = first(acts(0..3));
    expect_refused(&store.append_log(term, &at(1, &batch)).await);
    store.append_log(term, &batch).await.unwrap();
    let (_, other) = first(acts(3..5));
    for wrong in [0, 2, 4] {
        expect_refused(&store.append_log(term, &at(wrong, &other)).await);
    }
    assert_eq!(store.log_size().await.unwrap(), 3);
    store.append_log(term, &at(3, &other)).await.unwrap();
    assert_eq!(store.log_size().await.unwrap(), 5);
}

/// A batch with one entry that is there already is refused, all of it.
pub async fn an_entry_is_in_the_log_once<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let (mut sequencer, batch) = first(acts(0..3));
    subject.store().append_log(term, &batch).await.unwrap();
    sequencer.appended(batch);
    let again = sequencer.batch([acts(3..4), acts(2..3)].concat());
    expect_refused(&subject.store().append_log(term, &again).await);
    assert_eq!(subject.store().log_size().await.unwrap(), 3);
}

/// Entries by place, by kind and by reference; leaves and roots by run.
pub async fn entries_and_roots_are_read_back_exactly<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let store = subject.store();
    let (_, batch) = first(acts(0..600));
    store.append_log(term, &batch).await.unwrap();
    let page = store.entries(598, 10).await.unwrap();
    assert_eq!(page.iter().map(|it| it.index).collect::<Vec<_>>(), [598, 599]);
    assert_eq!(page[1].decode(), Ok(batch.entries[599].clone()));
    assert_eq!(store.entries(0, 7).await.unwrap().len(), 7);
    assert_eq!(store.newest_entry("act").await.unwrap(), Some(page[1].clone()));
    assert_eq!(store.newest_entry("change").await.unwrap(), None);
    let reference = batch.entries[7].reference();
    let found = store.find_entry("act", &reference).await.unwrap().unwrap();
    assert_eq!((found.index, found.decode()), (7, Ok(batch.entries[7].clone())));
    assert_eq!(store.find_entry("header", &reference).await.unwrap(), None);
    let leaves = store.log_hashes(Run { level: 0, first: 512, count: 64 }).await.unwrap();
    assert_eq!(leaves, batch.entries[512..576].iter().map(Entry::leaf).collect::<Vec<_>>());
    let roots = store.log_hashes(Run { level: 8, first: 0, count: 128 }).await.unwrap();
    assert_eq!(roots, batch.roots.iter().map(|(_, root)| *root).collect::<Vec<_>>());
    assert_eq!(roots.len(), 2);
}

/// Again is harmless; another one of the same name is refused.
pub async fn acts_are_kept_once_and_in_order<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let store = subject.store();
    for number in [5, 3, 4, 3] {
        store.record_act(&act(number, "q")).await.unwrap();
    }
    expect_refused(&store.record_act(&act(4, "another")).await);
    let kept = store.acts(None, 0, 10).await.unwrap();
    let names: Vec<_> = kept.iter().map(|it| (it.place, it.decode().unwrap())).collect();
    assert_eq!(names, [(1, act(5, "q")), (2, act(3, "q")), (3, act(4, "q"))]);
    assert_eq!(store.acts(Some("access"), 1, 1).await.unwrap(), kept[1..2]);
    assert_eq!(store.acts(Some("enrolment"), 0, 10).await.unwrap(), []);
    for refused in [refusal(), refused(), difference(SecondWay::Authorizer)] {
        let sealed = ActRecord { act: refused, ..act(9, "q").record };
        let sealed = ActRecord { id: ActId(crate::memory::nonce()), ..sealed }.seal().unwrap();
        store.record_act(&sealed).await.unwrap();
        let [kept] = &store.acts(Some(sealed.record.act.kind()), 0, 10).await.unwrap()[..] else { panic!("one") };
        assert_eq!(kept.decode().unwrap(), sealed);
    }
}

/// An act of a node that found a difference in this way, as long as one can be.
pub fn sealed_difference(second: SecondWay) -> SealedAct {
    let at = instant("2026-01-01T00:00:00Z");
    let id = match second {
        SecondWay::Authorizer => 11,
        SecondWay::Evaluation => 12,
    };
    let record = ActRecord { id: ActId([id; 16]), at, actor: "node/n".parse().unwrap(), act: difference(second) };
    record.seal().unwrap()
}

fn difference(second: SecondWay) -> Act {
    let longest = |n: u64| format!("p{n}{}", "x".repeat(120)).parse().unwrap();
    let policies = || Policies { first: (0..16).map(longest).collect(), count: 10_000 };
    let said = |cause| Answered { cause, determining: policies(), errored: policies() };
    let part = || Some("é".repeat(256));
    Act::Difference(Box::new(DifferingDecision {
        decision: Some(DecisionId { stream: StreamId::new([4; 16]), seq: u64::MAX }),
        question: Digest::new([5; 32]),
        asked: Asked { principal: part(), action: part(), resource: part() },
        revision: Revision::new(i64::MAX as u64),
        policy_set: Digest::new([6; 32]),
        answered: said(Cause::Permitted),
        second,
        says: said(Cause::ForbidErrored),
    }))
}

fn refusal() -> Act {
    let (first, last) = (instant("2026-01-01T00:00:00Z"), instant("2026-01-01T00:00:59Z"));
    Act::Refusal { cause: "MALFORMED".to_owned(), source: "2001:db8::/64".to_owned(), count: 7, first, last }
}

fn refused() -> Act {
    Act::Refused(Box::new(RefusedCall {
        cause: "NOT_READY".to_owned(),
        caller: "abcdefghijklmnop".parse().unwrap(),
        address: Some([127, 0, 0, 1].into()),
        method: "Check".to_owned(),
        asked: Asked { principal: Some("User::\"ana\"".to_owned()), ..Asked::default() },
        trace: None,
        why: "not ready".to_owned(),
    }))
}

/// Headers of each stream, and acts, behind those that the log has.
pub async fn what_the_log_does_not_have_is_found<S: StoreUnderTest>() {
    let (subject, term) = leased::<S>().await;
    let store = subject.store();
    let (one, two) = (headers(ONE), headers(TWO));
    let mut sink = subject.sink().await;
    sink.seal(&one, None).await.unwrap();
    sink.seal(&two, None).await.unwrap();
    for number in 0..3 {
        store.record_act(&act(number, "")).await.unwrap();
    }
    let unlogged = async || {
        let headers = store.unlogged_headers(100).await.unwrap();
        headers.iter().map(|it| it.decode().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(unlogged().await, [one.clone(), two.clone()].concat());
    assert_eq!(store.unlogged_headers(2).await.unwrap().len(), 2);
    assert_eq!(store.last_logged_act().await.unwrap(), 0);
    let logged = [&one[..], &two[..1]].concat().into_iter().map(Entry::Header);
    let (_, batch) = first(logged.chain(acts(0..2)).collect());
    store.append_log(term, &batch).await.unwrap();
    assert_eq!(unlogged().await, two[1..]);
    assert_eq!(store.last_logged_act().await.unwrap(), 2);
}

/// The one that covers most, of this log alone.
pub async fn the_newest_checkpoint_of_a_log_is_found<S: StoreUnderTest>() {
    let (subject, _) = leased::<S>().await;
    assert_eq!(subject.store().newest_checkpoint(LOG).await.unwrap(), None);
    let mut sink = subject.sink().await;
    for (log, size) in [(LOG, 9), (LOG, 10), (LogId::new([9; 16]), 11)] {
        let checkpoint = Checkpoint { origin: log.origin(), size, root: Digest::ZERO };
        let note = NoteSigner::new("n", &[1; 32]).sign(&checkpoint);
        sink.seal(&[], Some(&SignedCheckpoint { checkpoint, note })).await.unwrap();
    }
    let newest = subject.store().newest_checkpoint(LOG).await.unwrap().unwrap();
    assert!(newest.agrees() && newest.size == 10, "{newest:?}");
}

fn headers(stream: StreamId) -> Vec<SealedHeader> {
    let now = instant("2026-01-01T00:00:00Z");
    let opening = Opening { node: "n".to_owned(), key: [9; 32], left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(stream, NoteSigner::new("n", &[1; 32]), opening, now);
    let second = sealer.seal(now.plus(Span::seconds(60))).unwrap();
    vec![first, second, sealer.close(now)]
}
