//! What was appended is in the store once, whatever happens on the way.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn segments_go_once_their_records_are_in_the_store() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let mut acknowledged = Vec::new();
    while running.segments().len() < 5 {
        acknowledged.extend(running.try_append(50).unwrap_or_default());
    }
    store.fail(true);
    assert!(!shipper.finish().await);
    assert!(running.segments().len() >= 5, "nothing goes that did not arrive");
    store.fail(false);
    assert!(shipper.finish().await);
    assert_eq!(stored(&store), ids(&acknowledged));
    assert!(running.segments().len() <= 3, "what is written to, and what is spare");
    assert_eq!(running.keeper.vitals().unshipped, 0);
}

/// An answer of the store that is lost: the records are there, are sent again, and are there once.
#[tokio::test]
async fn shipment_whose_answer_is_lost_arrives_once() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let acknowledged = running.append(10);
    store.keep_and_fail_once();
    assert!(!shipper.finish().await);
    assert!(shipper.finish().await);
    assert_eq!(stored(&store), ids(&acknowledged));
}

/// Somebody else's bytes at our places: nothing more is taken, and everything of ours is kept.
#[tokio::test]
async fn conflict_closes_the_journal_and_keeps_it() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let first = running.append(1);
    assert!(shipper.finish().await);
    store.forge(|record| record.index.principal.push('x'));
    let acknowledged = running.append(3);
    // A second run with the same files meets what was forged.
    let copy = crashed(dir.path());
    let mut second = Running::open(copy.path());
    let mut shipper = second.shipper(&store);
    assert!(!shipper.finish().await);
    let why = second.keeper.room().closed().unwrap();
    assert!(why.contains("another record is stored") && why.contains(&first[0].id().to_string()), "{why}");
    assert!(second.try_append(1).is_err());
    assert_eq!(store.records().len(), 1);
    drop((second, shipper));
    let honest = MemorySink::default();
    let mut third = Running::open(copy.path());
    assert!(third.shipper(&honest).finish().await);
    assert_eq!(stored(&honest), ids(&[first, acknowledged].concat()), "all of it was kept");
}

/// A store that was restored, or failed over to a stale copy: what it lost and the journal has is shipped again.
#[tokio::test]
async fn records_that_the_store_lost_are_shipped_again() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let mut acknowledged = Vec::new();
    for _ in 0..4 {
        acknowledged.extend(running.append(5));
        assert!(shipper.finish().await);
    }
    store.lose(2);
    store.fail(true);
    acknowledged.extend(running.append(5));
    assert!(!shipper.finish().await);
    store.fail(false);
    assert!(shipper.finish().await);
    assert_eq!(stored(&store), ids(&acknowledged));
}

/// Headers that the store lost are sent again, and no checkpoint is signed before the store has all of them.
#[tokio::test]
async fn headers_that_the_store_lost_are_sent_again() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let stream = running.writer.stream();
    for _ in 0..4 {
        running.append(5);
        assert!(shipper.finish().await);
    }
    let before = store.headers(stream);
    store.lose_headers(stream, 2);
    store.fail(true);
    running.append(5);
    assert!(!shipper.finish().await);
    store.fail(false);
    assert!(shipper.finish().await);
    let after = store.headers(stream);
    assert_eq!((after.len(), &after[..before.len()]), (before.len() + 1, before.as_slice()));
}

/// A store that lost what a restarted node shipped from the run before: nothing of that run went, so it is all there again.
#[tokio::test]
async fn what_an_earlier_run_shipped_and_the_store_lost_is_shipped_again() {
    let dir = dir();
    let mut acknowledged = Running::open(dir.path()).append(3_000);
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    acknowledged.extend(running.append(2));
    shipper.ship_some(2).await;
    assert_eq!(store.records().len(), 3_000, "of the run before, by two shipments");
    store.lose(1);
    store.fail(true);
    assert!(!shipper.finish().await);
    store.fail(false);
    assert!(shipper.finish().await);
    assert_eq!(stored(&store).len(), acknowledged.len());
}

/// A journal that filled up over many batches while the store was away empties again, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn journal_that_is_full_of_many_batches_empties() {
    let dir = dir();
    let options = Options { max_bytes: 40 * SMALL, segment_bytes: SMALL, dir: dir.path().to_owned() };
    let mut running = Running::with(&options);
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let mut acknowledged = 0;
    let full = loop {
        match running.try_append(200) {
            Ok(receipts) => acknowledged += receipts.len(),
            Err(refused) if refused.0.contains("is being made") => std::thread::yield_now(),
            Err(refused) => break refused.to_string(),
        }
    };
    assert!(full.contains("ledger.journal_bytes") && acknowledged > 10 * 4_096, "{acknowledged}: {full}");
    assert!(shipper.finish().await);
    assert_eq!(store.records().len(), acknowledged);
    assert!(running.segments().len() <= 3, "{}", running.segments().len());
    while running.try_append(1).is_err() {
        std::thread::yield_now();
    }
}

/// A store that takes nothing: who waits for it is told at once, who does not is not held up.
#[tokio::test]
async fn store_that_fails_fails_those_who_wait_for_it() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let Appended::Pending(pending) = running.writer.append(drafts(1, DurabilityClass::Database)).unwrap() else {
        panic!("nothing is shipped yet")
    };
    store.fail(true);
    assert!(!shipper.finish().await);
    assert!(pending.receipts().await.unwrap_err().0.contains("told to fail"));
    let refused = running.append_at(1, DurabilityClass::Database).await.unwrap_err();
    assert!(refused.0.contains("told to fail"), "{refused}");
    let kept = running.append(1);
    assert_eq!(kept[0].id().seq, 2, "what was refused took no place");
    store.fail(false);
    assert!(shipper.finish().await);
    assert_eq!(store.records().len(), 2, "history holds more than was answered, never less");
    let Appended::Pending(pending) = running.writer.append(drafts(1, DurabilityClass::Database)).unwrap() else {
        panic!("nothing is shipped yet")
    };
    assert!(shipper.finish().await);
    pending.receipts().await.unwrap();
}

/// A task that ships by itself, and a caller that waits for the store.
#[tokio::test(flavor = "multi_thread")]
async fn running_shipper_wakes_for_what_is_appended() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let task = tokio::spawn(async move { shipper.run().await });
    for _ in 0..50 {
        running.append_at(1, DurabilityClass::Database).await.unwrap();
    }
    assert_eq!(store.records().len(), 50);
    running.append(10);
    while running.keeper.vitals().unshipped > 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
}

/// What happens next to a journal.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Ship,
    FailToShip,
    LoseAnswer,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..400).prop_map(Step::Append),
        3 => Just(Step::Ship),
        1 => Just(Step::FailToShip),
        1 => Just(Step::LoseAnswer),
        2 => Just(Step::Crash),
    ]
}

/// Whatever happens in whatever order: in the end everything acknowledged is in the store, once, in order, and nothing
/// else is.
async fn survives(steps: Vec<Step>) {
    let mut dir = dir();
    let store = MemorySink::default();
    let mut acknowledged = Vec::new();
    let mut running = Running::open(dir.path());
    let mut shipper = running.shipper(&store);
    for step in steps {
        match step {
            Step::Append(count) => acknowledged.extend(running.try_append(count).unwrap_or_default()),
            Step::Ship => assert!(shipper.finish().await),
            Step::FailToShip => {
                store.fail(true);
                shipper.finish().await;
                store.fail(false);
            }
            Step::LoseAnswer => {
                store.keep_and_fail_once();
                shipper.finish().await;
                store.keep_no_more();
            }
            Step::Crash => {
                let copy = crashed(dir.path());
                drop((running, shipper));
                dir = copy;
                running = Running::open(dir.path());
                shipper = running.shipper(&store);
            }
        }
    }
    assert!(shipper.finish().await);
    let (mut stored, mut expected) = (stored(&store), ids(&acknowledged));
    let streams: std::collections::BTreeSet<StreamId> = stored.iter().map(|(id, _)| id.stream).collect();
    for stream in streams {
        let places = stored.iter().filter(|(id, _)| id.stream == stream).map(|(id, _)| id.seq);
        assert!(places.is_sorted(), "in order");
    }
    stored.sort_unstable();
    expected.sort_unstable();
    assert_eq!(stored, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_acknowledged_arrives_once(steps in prop::collection::vec(step(), 1..20)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(survives(steps));
    }
}
