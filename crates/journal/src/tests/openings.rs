//! Private values travel with their records, and leave the journal when a store has them.

use magistrate_ledger::{RecordedDecision, SealedRecord};

use super::recovering::shipped;
use super::*;
use crate::format::{Found, look};

const EMAIL: &str = "hidden@example.org";

fn private(count: usize) -> Vec<Draft> {
    let decided = Decided { email: Some(EMAIL), private: &["context.email"], ..Decided::at(now()) };
    (0..count).map(|_| decided.draft().at_least(DurabilityClass::Process)).collect()
}

fn append(running: &Running, drafts: Vec<Draft>) -> Vec<Receipt> {
    match running.writer.append(drafts).unwrap() {
        Appended::Durable(receipts) => receipts,
        Appended::Pending(_) => panic!("the class `process` waits for nothing"),
    }
}

fn holds(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(EMAIL.len()).filter(|window| *window == EMAIL.as_bytes()).count()
}

/// Whether a record has its value, checked against its commitment.
fn is_opened(record: &SealedRecord) -> bool {
    let decision = RecordedDecision::decode(record.id, &record.bytes).unwrap();
    assert_eq!(decision.erased.len(), 1);
    record.opening.as_ref().is_some_and(|opening| decision.open(opening).unwrap().erased.is_empty())
}

/// A crash amid a write, at every byte: what is found of it is whole.
#[tokio::test]
async fn record_is_never_found_without_its_opening() {
    let dir = dir();
    let running = Running::open(dir.path());
    let acknowledged = append(&running, private(2));
    let bytes = std::fs::read(&running.segments()[0]).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (segment, _) = crate::format::SegmentId::read(&bytes[..64]).unwrap();
    let Found::Frame { size, .. } = look(&bytes[64..], &segment.seed()) else { panic!("the first frame is whole") };
    for cut in 64 + size..=end {
        let copy = crashed(dir.path());
        let mut half = bytes.clone();
        half[cut..].fill(0);
        std::fs::write(&segments(copy.path())[0], half).unwrap();
        let (store, left) = shipped(copy.path()).await;
        let found = store.records();
        assert!(found.iter().all(is_opened), "cut at {cut}");
        assert!(stored(&store) == ids(&acknowledged) || stored(&store) == ids(&acknowledged[..1]), "cut at {cut}");
        assert!(left.iter().all(|left| left.damage.is_empty() && left.lost.is_empty()), "cut at {cut}");
    }
}

/// A bit that turned in an opening costs its record, and it is told: a record without a value that was recorded is none.
#[tokio::test]
async fn flipped_bit_of_an_opening_costs_its_record_that_is_named() {
    let dir = dir();
    let running = Running::open(dir.path());
    let acknowledged = append(&running, private(3));
    let bytes = std::fs::read(&running.segments()[0]).unwrap();
    let first = bytes.windows(EMAIL.len()).position(|window| window == EMAIL.as_bytes()).unwrap();
    let second = first + 1 + bytes[first + 1..].windows(EMAIL.len()).position(|it| it == EMAIL.as_bytes()).unwrap();
    for at in second - 60..second + EMAIL.len() {
        let copy = crashed(dir.path());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&segments(copy.path())[0], flipped).unwrap();
        let (store, left) = shipped(copy.path()).await;
        let left = left.iter().find(|left| left.last_seq > 0).unwrap();
        assert_eq!((left.lost.as_slice(), left.damage.len()), (&[2..=2][..], 1), "byte {at}");
        assert_eq!(stored(&store), [ids(&acknowledged[..1]), ids(&acknowledged[2..])].concat());
        assert!(store.records().iter().all(is_opened));
        let kept = std::fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().path());
        let kept: Vec<_> = kept.filter(|path| path.extension().is_some_and(|it| it == "damaged")).collect();
        // The one whose frame is broken cannot be told from damage of any other kind.
        assert!(kept.iter().map(|path| holds(path)).sum::<usize>() <= 1, "byte {at}: others are overwritten");
    }
}

/// Until a checkpoint covers them the journal is what they are shipped from; then they must not outlive an erasure.
#[tokio::test]
async fn openings_leave_the_journal_once_a_checkpoint_covers_them() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let acknowledged = [append(&running, private(2)), running.append(1), append(&running, private(1))].concat();
    let path = running.segments()[0].clone();
    store.fail(true);
    assert!(!shipper.finish().await);
    assert_eq!(holds(&path), 3);
    store.fail(false);
    assert!(shipper.finish().await);
    assert_eq!(store.records().iter().filter(|record| record.opening.is_some()).count(), 3);
    assert!(path.exists(), "the chain ends there");
    assert_eq!(holds(&path), 0);
    // What is appended from there on lies behind, and waits for the next checkpoint.
    let later = append(&running, private(1));
    assert_eq!(holds(&path), 1);
    // The records are still what they were, for the next run.
    let (again, left) = shipped(crashed(dir.path()).path()).await;
    assert_eq!(stored(&again), ids(&[acknowledged, later].concat()));
    assert!(left.iter().all(|left| left.damage.is_empty() && left.lost.is_empty() && left.cut == 0));
    let opened: Vec<u64> = again.records().iter().filter(|it| it.opening.is_some()).map(|it| it.id.seq).collect();
    assert_eq!(opened, [5]);
}

/// A store that has a record takes it again without its opening, and goes on having that.
#[tokio::test]
async fn records_shipped_again_without_openings_change_nothing() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let _acknowledged = append(&running, private(2));
    assert!(running.shipper(&store).finish().await);
    let copy = crashed(dir.path());
    assert!(Running::open(copy.path()).shipper(&store).finish().await);
    assert_eq!(store.records().len(), 2);
    assert!(store.records().iter().all(is_opened));
}

#[tokio::test]
async fn opening_that_cannot_be_overwritten_is_the_end() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let _acknowledged = append(&running, private(1));
    let faults = running.faults();
    store.fail(true);
    assert!(!shipper.finish().await);
    store.fail(false);
    faults.writes_fail.store(true, Ordering::SeqCst);
    let _finished = shipper.finish().await;
    assert!(running.keeper.failed().await.contains("cannot write to"));
}
