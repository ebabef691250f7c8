//! No answer without its record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use magistrate_ledger::{DecisionId, DecisionRecord, RecordedDecision};
use magistrate_model::{Dataset, DurabilityClass, Malformed, Query};
use magistrate_pdp::{Batch, BatchSemantics, CheckError, Readiness, Settings};
use magistrate_testkit::{Running, World};

use crate::small_world::{schema, world};

const PATIENCE: Duration = Duration::from_secs(30);

fn served(world: &World) -> Dataset {
    Dataset { policy_set: Some(world.snapshot().policy_set()), ..world.dataset().clone() }
}

fn query(world: &World, principal: &str) -> Query {
    world.ask(principal, "read", "Doc::d1").query
}

/// A question that its record is known by.
fn named(world: &World, n: usize) -> Query {
    Query { request_id: Some(format!("r{n}").parse().unwrap()), ..query(world, "User::bob") }
}

#[tokio::test]
async fn answer_carries_the_receipt_of_a_durable_record() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let answer = running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.unwrap();
    let records = running.sink.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].id, records[0].leaf), (answer.receipt().id(), answer.receipt().leaf()));
    let decoded = RecordedDecision::decode(records[0].id, &records[0].bytes).unwrap();
    assert_eq!(decoded.record.verdict, *answer.answer());
    assert_eq!(decoded.leaf, answer.receipt().leaf());
}

#[tokio::test]
async fn record_holds_what_is_needed_to_ask_again() {
    let world = world().with("grants", r#"{"id":"g","holder":"User::\"ann\"","role":"writer","resource":"Folder::\"top\"","expires_at":"+1h","reason":"x"}"#);
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let query = query(&world, "User::ann");
    running.pdp.check(query.clone(), world.now(), PATIENCE).await.unwrap();
    let sealed = running.sink.records().remove(0);
    let record = RecordedDecision::decode(sealed.id, &sealed.bytes).unwrap().record;
    assert_eq!(record.query, query);
    let view = running.pdp.served().unwrap();
    let (question, verdict) = view.answer(record.query.clone(), record.instant, magistrate_model::Span::ZERO).unwrap();
    assert_eq!(DecisionRecord::of(&question, &verdict), record);
    assert_eq!(record.grants[0].id.as_str(), "g");
}

#[tokio::test]
async fn decision_that_cannot_be_recorded_is_not_answered() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    running.sink.fail(true);
    let refused = running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await;
    assert!(matches!(refused, Err(CheckError::NotRecorded(_))), "{refused:?}");
    assert!(matches!(running.pdp.readiness(world.now()), Readiness::NotReady { .. }));
    running.sink.fail(false);
    let later = world.now().plus(magistrate_model::Span::seconds(5));
    assert!(matches!(running.pdp.readiness(later), Readiness::Ready { .. }), "to be tried again");
    let answer = running.pdp.check(query(&world, "User::bob"), later, PATIENCE).await.unwrap();
    assert_eq!(answer.receipt().id().seq, 1, "nothing was kept, so the number is free");
    assert!(matches!(running.pdp.readiness(later), Readiness::Ready { .. }));
}

/// A journal without room refuses before anything is decided, and says so to whoever balances.
#[tokio::test]
async fn full_journal_refuses_before_deciding() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = || running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE);
    running.room.add(-running.room.free());
    running.room.tell(Some("the journal holds too much".to_owned()));
    let refused = ask().await.unwrap_err();
    assert!(matches!(&refused, CheckError::NotRecorded(why) if why.contains("holds too much")), "{refused:?}");
    let readiness = running.pdp.readiness(world.now());
    assert!(matches!(&readiness, Readiness::NotReady { reasons } if reasons[0].contains("holds too much")));
    assert!(running.sink.records().is_empty());
    running.room.add(1 << 20);
    running.room.tell(None);
    assert!(ask().await.is_ok());
    assert!(matches!(running.pdp.readiness(world.now()), Readiness::Ready { .. }));
    running.room.close("the disk failed".to_owned());
    assert!(matches!(ask().await, Err(CheckError::NotRecorded(why)) if why.contains("the disk failed")));
    assert!(matches!(running.pdp.readiness(world.now()), Readiness::NotReady { .. }));
}

/// What was promised is given back, whatever became of the request.
#[tokio::test]
async fn promises_are_given_back() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let free = running.room.free();
    running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.unwrap();
    running.sink.fail(true);
    assert!(running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.is_err());
    let _malformed = running.pdp.check(query(&world, "Nobody::bob"), world.now(), PATIENCE).await.unwrap_err();
    assert_eq!(running.room.free(), free);
}

#[tokio::test]
async fn place_of_an_acknowledged_record_is_never_used_again() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let release = running.sink.hang();
    running.sink.fail(true);
    let pdp = Arc::clone(&running.pdp);
    let (asked, now) = (query(&world, "User::bob"), world.now());
    let late = tokio::spawn(async move { pdp.check(asked, now, PATIENCE).await });
    running.sink.hanging().await;
    drop(release);
    assert!(late.await.unwrap().is_err(), "it has its place, and never became durable");
    running.sink.fail(false);
    let answer = running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.unwrap();
    assert_eq!(answer.receipt().id().seq, 2, "places that were given are used up");
}

#[tokio::test]
async fn full_ledger_refuses_before_deciding() {
    let world = world();
    let settings = Settings { ledger_capacity: 2, ..Settings::default() };
    let running = Running::start(served(&world), settings, world.now()).await;
    let items = vec![Ok(query(&world, "User::bob")); 3];
    let batch = Batch { items, at_least_revision: None, semantics: BatchSemantics::All };
    let refused = running.pdp.check_batch(batch, world.now(), PATIENCE).await;
    assert!(matches!(refused, Err(CheckError::Overloaded { .. })), "{refused:?}");
    assert!(running.sink.records().is_empty());
    assert!(running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.is_ok());
}

async fn batch(semantics: BatchSemantics, principals: &[&str]) -> (Vec<Option<bool>>, usize, usize) {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let item = |principal: &&str| match *principal {
        "" => Err(Malformed::at("principal", "is missing")),
        principal => Ok(query(&world, principal)),
    };
    let items = principals.iter().map(item).collect();
    let answer = running
        .pdp
        .check_batch(Batch { items, at_least_revision: None, semantics }, world.now(), PATIENCE)
        .await
        .unwrap();
    let allowed = |r: &Result<_, _>| {
        r.as_ref().ok().map(|r: &magistrate_pdp::Recorded<magistrate_model::Verdict>| {
            r.answer().decision() == magistrate_model::Decision::Allow
        })
    };
    let results = answer.results.iter().map(allowed).collect();
    let (records, commits) = (running.sink.records().len(), running.sink.batches().len());
    (results, records, commits)
}

#[tokio::test]
async fn batch_answers_in_order_with_one_append() {
    let (results, records, commits) = batch(BatchSemantics::All, &["User::bob", "User::ann", "", "User::bob"]).await;
    assert_eq!(results, [Some(true), Some(false), None, Some(true)]);
    assert_eq!((records, commits), (3, 1));
}

#[tokio::test]
async fn batch_stops_and_records_only_what_it_evaluated() {
    let (results, records, _) = batch(BatchSemantics::StopOnDeny, &["User::bob", "User::ann", "User::bob"]).await;
    assert_eq!((results, records), (vec![Some(true), Some(false)], 2));
    let (results, records, _) = batch(BatchSemantics::StopOnDeny, &["User::bob", "", "User::bob"]).await;
    assert_eq!((results, records), (vec![Some(true), None], 1));
    let (results, records, _) = batch(BatchSemantics::StopOnAllow, &["User::ann", "User::bob", "User::bob"]).await;
    assert_eq!((results, records), (vec![Some(false), Some(true)], 2));
}

#[tokio::test]
async fn concurrent_checks_share_commits_and_keep_their_own_answers() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let mut tasks = Vec::new();
    for n in 0..200 {
        let pdp = Arc::clone(&running.pdp);
        let (query, now) = (query(&world, if n % 2 == 0 { "User::bob" } else { "User::ann" }), world.now());
        tasks.push(tokio::spawn(async move { (n, pdp.check(query, now, PATIENCE).await.unwrap()) }));
    }
    let mut seen = std::collections::BTreeSet::new();
    for task in tasks {
        let (n, answer) = task.await.unwrap();
        let DecisionId { seq, .. } = answer.receipt().id();
        assert!(seen.insert(seq), "a number is given once");
        let sealed = running.sink.records().into_iter().find(|record| record.id.seq == seq).unwrap();
        let principal = if n % 2 == 0 { "User::\"bob\"" } else { "User::\"ann\"" };
        assert_eq!(sealed.index.principal, principal);
    }
    assert_eq!(seen.len(), 200);
}

#[tokio::test]
async fn append_that_hangs_takes_readiness_away() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let release = running.sink.hang();
    let (pdp, query) = (Arc::clone(&running.pdp), query(&world, "User::bob"));
    let now = world.now();
    let hanging = tokio::spawn(async move { pdp.check(query, now, PATIENCE).await });
    running.sink.hanging().await;
    let at = |millis| running.pdp.readiness(now.plus(magistrate_model::Span::millis(millis)));
    assert!(matches!(at(999), Readiness::Ready { .. }));
    assert!(matches!(at(1_000), Readiness::NotReady { .. }), "nobody is told, and still it is known");
    drop(release);
    assert!(hanging.await.unwrap().is_ok());
    assert!(matches!(at(1_000), Readiness::Ready { .. }));
}

#[tokio::test]
async fn failure_counts_from_when_it_is_seen_not_from_its_request() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    running.sink.fail(true);
    assert!(running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE).await.is_err());
    let at = |seconds| running.pdp.readiness(world.now().plus(magistrate_model::Span::seconds(seconds)));
    assert!(matches!(at(6), Readiness::NotReady { .. }), "the append waited for longer than a failure counts");
    assert!(matches!(at(10), Readiness::NotReady { .. }));
    assert!(matches!(at(11), Readiness::Ready { .. }), "to be tried again");
}

/// Calls that a thread has at hand are appended together, each with its own record and receipt.
#[tokio::test]
async fn calls_at_the_same_time_share_an_append() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = |n: usize| running.pdp.check(named(&world, n), world.now(), PATIENCE);
    let answers = futures_util::future::join_all((0..300).map(ask)).await;
    let receipts: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().receipt().clone()).collect();
    let batches = running.sink.batches();
    let sizes: BTreeSet<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!((batches.len(), sizes), (2, BTreeSet::from([44, 256])), "no more than 256 at once");
    let records: BTreeMap<_, _> = batches.concat().into_iter().map(|record| (record.id, record)).collect();
    assert_eq!(records.len(), 300);
    for (n, receipt) in receipts.iter().enumerate() {
        let record = &records[&receipt.id()];
        assert_eq!((record.leaf, record.index.request_id.clone()), (receipt.leaf(), Some(format!("r{n}"))), "its own");
    }
}

/// Whoever has gone away before the append is not recorded, and those with it are.
#[tokio::test]
async fn caller_that_goes_away_takes_no_other_with_it() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = || Box::pin(running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE));
    let (mut stays, mut leaves, mut other) = (ask(), ask(), ask());
    for call in [&mut stays, &mut leaves, &mut other] {
        assert!(call.now_or_never().is_none(), "it gives way once");
    }
    drop(leaves);
    let (stays, other) = (stays.await.unwrap(), other.await.unwrap());
    assert_eq!((stays.receipt().id().seq, other.receipt().id().seq), (1, 2));
    assert_eq!(running.sink.batches().iter().map(Vec::len).collect::<Vec<_>>(), [2]);
    // A round that all have left is as if it had never been.
    let mut alone = ask();
    assert!((&mut alone).now_or_never().is_none());
    drop(alone);
    assert_eq!(ask().await.unwrap().receipt().id().seq, 3);
    assert_eq!(running.sink.records().len(), 3);
}

/// One record that there is no room for is refused alone.
#[tokio::test]
async fn record_that_is_refused_takes_no_other_with_it() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = |_| running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE);
    running.sink.take_only_single(true);
    let answers = futures_util::future::join_all((0..5).map(ask)).await;
    let places: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().receipt().id().seq).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    running.sink.take_only_single(false);
    running.sink.fail(true);
    for refused in futures_util::future::join_all((0..5).map(ask)).await {
        assert!(matches!(refused, Err(CheckError::NotRecorded(_))), "{refused:?}");
    }
    assert_eq!(running.sink.records().len(), 5);
}

/// What waits for a disk or a store keeps nobody waiting who does not ask for it, and comes with its own receipt.
#[tokio::test]
async fn calls_that_wait_are_told_of_their_own_records() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let release = running.sink.hang();
    let ask = |_| running.pdp.check(query(&world, "User::bob"), world.now(), PATIENCE);
    let all = futures_util::future::join_all((0..4).map(ask));
    let (answers, ()) = tokio::join!(all, async {
        running.sink.hanging().await;
        drop(release);
    });
    let places: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().receipt().id().seq).collect();
    assert_eq!(places, [1, 2, 3, 4]);
}

/// Two decision points on one thread, whose calls take turns.
#[tokio::test]
async fn rounds_of_two_ledgers_are_kept_apart() {
    let world = world();
    let one = Running::start(served(&world), Settings::default(), world.now()).await;
    let other = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = |n: usize| {
        let running = if n.is_multiple_of(2) { &one } else { &other };
        running.pdp.check(named(&world, n), world.now(), PATIENCE)
    };
    let answers = futures_util::future::join_all((0..20).map(ask)).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let running = if n.is_multiple_of(2) { &one } else { &other };
        let receipt = answer.unwrap().receipt().clone();
        let record = running.sink.records().into_iter().find(|record| record.id == receipt.id()).unwrap();
        assert_eq!((record.leaf, record.index.request_id), (receipt.leaf(), Some(format!("r{n}"))));
    }
    assert_eq!((one.sink.records().len(), other.sink.records().len()), (10, 10));
}

/// Calls of two durability classes on one thread, in turns: none is appended with what has to wait for more, and each is told
/// of its own record.
#[tokio::test]
async fn rounds_of_two_classes_are_kept_apart() {
    let schema = schema().replace("action write", "@audit(\"disk\") action write");
    let world = World::of(&schema, r#"@id("all") permit (principal is User, action, resource);"#).with(
        "entities",
        r#"{"uid":"User::\"ann\"","attributes":{"suspended":false,"level":1}}
           {"uid":"Doc::\"d1\"","attributes":{"owner":{"__entity":{"type":"User","id":"ann"}},"secret":false}}"#,
    );
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let class = |n: usize| if n.is_multiple_of(2) { DurabilityClass::Process } else { DurabilityClass::Disk };
    let ask = |n: usize| {
        let action = if class(n) == DurabilityClass::Disk { "write" } else { "read" };
        let request_id = Some(format!("r{n}").parse().unwrap());
        let query = Query { request_id, ..world.ask("User::ann", action, "Doc::d1").query };
        running.pdp.check(query, world.now(), PATIENCE)
    };
    let answers = futures_util::future::join_all((0..20).map(ask)).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let receipt = answer.unwrap().receipt().clone();
        let record = running.sink.records().into_iter().find(|record| record.id == receipt.id()).unwrap();
        assert_eq!((record.leaf, record.class), (receipt.leaf(), class(n)));
        assert_eq!(record.index.request_id, Some(format!("r{n}")));
    }
    let batches = running.sink.batches();
    assert_eq!(batches.concat().len(), 20);
    for batch in batches {
        let first = batch.first().unwrap().class;
        assert!(batch.iter().all(|record| record.class == first), "{batch:?}");
    }
}

/// Should an append panic, nobody whose record was in it is answered, and nobody gets a place in that round any more.
#[tokio::test]
async fn append_that_panics_answers_nobody() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = |n: usize| Box::pin(running.pdp.check(named(&world, n), world.now(), PATIENCE));
    let (mut first, mut second) = (ask(0), ask(1));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    running.sink.panic_once();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (&mut first).now_or_never()));
    assert!(panicked.is_err(), "told to");
    let mut third = ask(2);
    assert!((&mut third).now_or_never().is_none());
    assert!(matches!(second.await, Err(CheckError::NotRecorded(_))));
    let third = third.await.unwrap();
    let records = running.sink.records();
    assert_eq!((records.len(), records[0].id), (1, third.receipt().id()));
    assert_eq!(records[0].index.request_id.as_deref(), Some("r2"));
}
