//! What is shipped is sealed: every record lies under a header, headers form a chain, and checkpoints leave the store.

use magistrate_ledger::{Covered, Says, SealedHeader, Tree, open_note};

use super::*;

/// Expects headers to form a chain that covers every record of the store once, and returns how many each covers.
fn chain(store: &MemorySink, stream: StreamId) -> Vec<u64> {
    let headers = store.headers(stream);
    let leaves: Vec<_> = store.records().iter().filter(|it| it.id.stream == stream).map(|it| it.leaf).collect();
    let mut previous = magistrate_model::Digest::ZERO;
    let mut next_seq = 1;
    for (number, SealedHeader { header, hash, .. }) in (1..).zip(&headers) {
        assert_eq!((header.number, header.previous), (number, previous));
        let Covered { first_seq, count, root } = header.covers;
        assert_eq!(first_seq, next_seq);
        let from = usize::try_from(first_seq - 1).unwrap();
        let covered = &leaves[from..from + usize::try_from(count).unwrap()];
        assert_eq!(covered.iter().copied().collect::<Tree>().root(), root);
        assert_eq!(matches!(header.says, Says::Opens(_)), number == 1);
        (previous, next_seq) = (*hash, first_seq + count);
    }
    headers.iter().map(|header| header.header.covers.count).collect()
}

#[tokio::test]
async fn stream_opens_is_covered_and_closes() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let stream = running.writer.stream();
    running.append(3);
    assert!(shipper.finish().await);
    while running.try_append(3_000).is_err() {}
    while running.try_append(2_000).is_err() {}
    assert!(shipper.close().await);
    let counts = chain(&store, stream);
    assert_eq!(counts.iter().sum::<u64>(), 5_003);
    assert!(counts.iter().all(|count| *count <= 4_096), "{counts:?}");
    assert_eq!(store.headers(stream).last().unwrap().header.says, Says::Closes);
    let checkpoints = store.checkpoints();
    let newest = open_note(&checkpoints.last().unwrap().note, &[signer().verifier()]).unwrap();
    assert_eq!((newest.size, newest.origin), (counts.len() as u64, magistrate_ledger::origin(stream)));
    let hashes = store.headers(stream);
    assert_eq!(newest.root, hashes.iter().map(|header| header.hash).collect::<Tree>().root());
    assert_eq!(*running.exported.lock().unwrap(), checkpoints, "all of them left the store");
}

/// A header within a second of a record, one a minute without any, and a checkpoint within ten seconds.
#[tokio::test]
async fn headers_and_checkpoints_come_when_they_are_due() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let stream = running.writer.stream();
    let said = || (store.headers(stream).len(), store.checkpoints().len());
    let steps = [
        (0, 0, (1, 1), "the stream opens, and a checkpoint says so"),
        (0, 1, (1, 1), "a record waits for its batch"),
        (999, 0, (1, 1), "for a second"),
        (1, 0, (2, 1), "and is sealed"),
        (8_999, 0, (2, 1), "the next checkpoint waits"),
        (1, 0, (2, 2), "for ten seconds"),
        (50_998, 0, (2, 2), "nothing happens"),
        (2, 0, (3, 3), "for a minute: silence is broken"),
    ];
    for (millis, records, expected, why) in steps {
        running.clock.advance(Span::millis(millis));
        if records > 0 {
            running.append(records);
        }
        shipper.settle().await;
        assert_eq!(said(), expected, "{why}");
    }
    chain(&store, stream);
}

/// A run that was killed says no more; the next one says how it ended, and covers what it left.
#[tokio::test]
async fn next_run_says_how_the_last_one_ended() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let killed = running.writer.stream();
    running.append(5);
    assert!(shipper.finish().await);
    let tail = running.append(4);
    let copy = crashed(dir.path());
    let mut next = Running::open(copy.path());
    let mut shipper = next.shipper(&store);
    assert!(shipper.close().await);
    let headers = store.headers(killed);
    let Says::Opens(opening) = store.headers(next.writer.stream())[0].header.says.clone() else { panic!("it opens") };
    assert_eq!(opening.key, signer().verifier().key());
    assert_eq!(opening.left.len(), 1);
    let left = &opening.left[0];
    assert_eq!((left.stream, left.last_header), (killed, Some(headers.last().unwrap().hash)));
    let root = tail.iter().map(magistrate_ledger::Receipt::leaf).collect::<Tree>().root();
    assert_eq!(left.unsealed, Covered { first_seq: 6, count: 4, root });
    assert_eq!(store.records().len(), 9);
    // What ended in peace is not told of.
    let copy = crashed(copy.path());
    let mut third = Running::open(copy.path());
    assert!(third.shipper(&store).close().await);
    let Says::Opens(opening) = store.headers(third.writer.stream())[0].header.says.clone() else { panic!("it opens") };
    assert!(opening.left.is_empty(), "{opening:?}");
}

/// Segments stay until a checkpoint covers them, and the one where the chain ends stays even then.
#[tokio::test]
async fn segments_stay_until_a_checkpoint_covers_them() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    shipper.settle().await;
    while running.segments().len() < 4 {
        let _refused = running.try_append(50);
    }
    shipper.settle().await;
    assert_eq!(running.keeper.vitals().unshipped, 0);
    assert!(running.segments().len() >= 4, "shipped, and not covered");
    running.clock.advance(Span::seconds(10));
    shipper.settle().await;
    assert!(running.segments().len() <= 3);
    let copy = crashed(dir.path());
    let next = Running::open(copy.path());
    assert!(next.left.iter().any(|left| left.last_header.is_some()), "the chain's end is found");
}

/// A header lies at the journal's end and covers what was read: records between the two are under none when a checkpoint
/// covers it, and their segment stays.
#[tokio::test(flavor = "multi_thread")]
async fn segments_stay_whose_records_are_under_no_header() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    shipper.settle().await;
    while running.segments().len() < 4 {
        let _refused = running.try_append(10);
    }
    let second = running.segments()[1].clone();
    // Two shipments are sealed; the other two are read later, and not yet due to be.
    shipper.ship_some(1).await;
    running.clock.advance(Span::seconds(1));
    shipper.ship_some(1).await;
    let covered = store.records().len() as u64;
    for pause in [8_500, 500] {
        running.clock.advance(Span::millis(pause));
        shipper.ship_some(1).await;
    }
    let headers = store.headers(running.writer.stream());
    assert_eq!(headers.last().unwrap().header.covers.next_seq(), covered + 1);
    assert_eq!(store.checkpoints().last().unwrap().checkpoint.size, headers.len() as u64, "a checkpoint covers it");
    assert!(store.records().len() as u64 > covered && second.exists(), "records of the second segment are under none");
    running.clock.advance(Span::seconds(10));
    shipper.settle().await;
    assert!(!second.exists(), "now they are");
}
