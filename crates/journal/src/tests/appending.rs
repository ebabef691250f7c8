//! What an append promises, and what it refuses.

use super::*;

#[tokio::test]
async fn class_process_waits_for_no_disk_and_no_store() {
    let dir = dir();
    let running = Running::open(dir.path());
    running.faults().hang(true);
    let receipts = running.append(3);
    assert_eq!(receipts.iter().map(|receipt| receipt.id().seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(receipts.iter().all(|receipt| receipt.class() == DurabilityClass::Process));
    running.faults().hang(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_disk_waits_for_the_disk() {
    let dir = dir();
    let running = Running::open(dir.path());
    let faults = running.faults();
    faults.hang(true);
    let appended = running.writer.append(drafts(1, DurabilityClass::Disk)).unwrap();
    let Appended::Pending(pending) = appended else { panic!("the disk hangs") };
    let waiting = tokio::spawn(pending.receipts());
    faults.begun(1);
    assert!(!waiting.is_finished());
    faults.hang(false);
    let receipts = waiting.await.unwrap().unwrap();
    assert_eq!(receipts[0].class(), DurabilityClass::Disk);
}

/// Whatever is appended while a sync runs shares the next one.
#[tokio::test(flavor = "multi_thread")]
async fn appends_share_syncs() {
    let dir = dir();
    let running = Running::open(dir.path());
    let faults = running.faults();
    faults.hang(true);
    let mut waiting = Vec::new();
    for n in 0..100 {
        let Appended::Pending(pending) = running.writer.append(drafts(1, DurabilityClass::Disk)).unwrap() else {
            panic!("the disk hangs")
        };
        waiting.push(tokio::spawn(pending.receipts()));
        if n == 0 {
            faults.begun(1);
        }
    }
    faults.hang(false);
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 2, "one for the first, one for all others");
}

#[tokio::test]
async fn class_database_waits_for_the_store() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let Appended::Pending(pending) = running.writer.append(drafts(2, DurabilityClass::Database)).unwrap() else {
        panic!("nothing is shipped yet")
    };
    assert!(store.records().is_empty());
    assert!(shipper.finish().await);
    assert_eq!(ids(&pending.receipts().await.unwrap()), stored(&store));
}

/// What a kernel could not write, it may forget: a later sync that succeeds proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn sync_that_fails_is_the_end() {
    let dir = dir();
    let running = Running::open(dir.path());
    running.append(1);
    running.faults().syncs_fail.store(true, Ordering::SeqCst);
    let refused = running.append_at(1, DurabilityClass::Disk).await.unwrap_err().to_string();
    assert!(refused.contains("told to fail"), "{refused}");
    assert!(running.keeper.failed().await.contains("could not be brought to the disk"));
    running.faults().syncs_fail.store(false, Ordering::SeqCst);
    for class in [DurabilityClass::Process, DurabilityClass::Disk, DurabilityClass::Database] {
        assert!(running.append_at(1, class).await.is_err(), "{class}");
    }
    assert!(running.keeper.room().promise(1).is_err(), "refused before anything is decided");
}

#[tokio::test]
async fn write_that_fails_is_the_end() {
    let dir = dir();
    let running = Running::open(dir.path());
    running.faults().writes_fail.store(true, Ordering::SeqCst);
    let refused = running.try_append(1).unwrap_err().to_string();
    assert!(refused.contains("told to fail") && refused.contains("cannot write to"), "{refused}");
    running.faults().writes_fail.store(false, Ordering::SeqCst);
    assert!(running.try_append(1).is_err());
    assert!(running.keeper.failed().await.contains("cannot write to"));
}

/// A file that is gone takes nothing more: who looks for records after a crash would not find them.
#[tokio::test]
async fn segment_that_is_removed_is_noticed_by_the_next_append() {
    let dir = dir();
    let running = Running::open(dir.path());
    running.append(1);
    std::fs::remove_file(&running.segments()[0]).unwrap();
    let refused = running.try_append(1).unwrap_err().to_string();
    assert!(refused.contains("removed"), "{refused}");
}

#[tokio::test]
async fn segment_that_is_moved_is_noticed() {
    let dir = dir();
    let running = Running::open(dir.path());
    running.append(1);
    let segment = &running.segments()[0];
    std::fs::rename(segment, dir.path().join("elsewhere")).unwrap();
    std::fs::copy(dir.path().join("elsewhere"), segment).unwrap();
    while running.keeper.room().closed().is_none() {
        std::thread::yield_now();
    }
    let refused = running.try_append(1).unwrap_err().to_string();
    assert!(refused.contains("removed or replaced"), "{refused}");
}

/// A store that takes nothing: the journal fills up to what it may hold, refuses, and goes on once it was shipped.
#[tokio::test(flavor = "multi_thread")]
async fn full_journal_refuses_and_goes_on_once_it_is_shipped() {
    let dir = dir();
    let options = Options { max_bytes: 3 * SMALL, segment_bytes: SMALL, dir: dir.path().to_owned() };
    let mut running = Running::with(&options);
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let mut acknowledged = Vec::new();
    let refused = loop {
        match running.try_append(100) {
            Ok(receipts) => acknowledged.extend(receipts),
            Err(refused) if refused.0.contains("is being made") => std::thread::yield_now(),
            Err(refused) => break refused.to_string(),
        }
    };
    assert!(refused.contains("may hold 3145728") && refused.contains("ledger.journal_bytes"), "{refused}");
    assert_eq!(running.segments().len(), 3);
    assert!(running.keeper.room().promise(1 << 16).is_err(), "refused before anything is decided");
    let vitals = running.keeper.vitals();
    assert_eq!((vitals.unshipped, vitals.bytes), (acknowledged.len() as u64, 3 * SMALL));
    assert!(shipper.finish().await);
    assert_eq!(stored(&store), ids(&acknowledged), "what was refused was not kept");
    let more = loop {
        match running.try_append(100) {
            Ok(receipts) => break receipts,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(more[0].id().seq, acknowledged.len() as u64 + 1, "no place was lost");
}

#[tokio::test]
async fn record_that_fits_no_segment_is_refused_and_nothing_with_it() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let huge = Decided { policies: vec!["policy"; 1 << 18].leak(), ..Decided::at(now()) };
    let drafts = vec![Decided::at(now()).draft(), huge.draft()];
    let refused = running.writer.append(drafts).unwrap_err().to_string();
    assert!(refused.contains("does not fit a segment"), "{refused}");
    let receipts = running.append(1);
    assert_eq!(receipts[0].id().seq, 1);
    assert!(shipper.finish().await);
    assert_eq!(stored(&store), ids(&receipts));
}

/// What is free is told exactly, over many segments: else a journal would refuse for ever, or promise what it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn room_is_counted_exactly() {
    let dir = dir();
    let mut running = Running::open(dir.path());
    let store = MemorySink::default();
    let mut shipper = running.shipper(&store);
    let capacity = i64::try_from(SMALL).unwrap() - 64 - 24 - 8_192;
    for count in [1, 700, 1_999, 3, 1_500, 2_500] {
        while running.try_append(count).is_err() {
            std::thread::yield_now();
        }
        assert!(shipper.finish().await);
    }
    let whole = |free: i64| (0..=capacity).contains(&(free - capacity));
    while !whole(running.keeper.vitals().free) {
        std::thread::yield_now();
    }
    let used: u64 = segments(dir.path()).iter().map(|path| used(path)).sum();
    assert_eq!(running.keeper.vitals().free, 2 * capacity - i64::try_from(used).unwrap());
}

/// Bytes of frames in the segment that is written to: everything from the first frame up to the last one's end.
fn used(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    if last < 64 { 0 } else { ((last - 64) as u64 + 1).next_multiple_of(8) }
}

#[test]
fn one_process_has_a_journal() {
    let dir = dir();
    let _running = Running::open(dir.path());
    let refused = open(&Options::of(dir.path().to_owned()), StreamId::new(nonce()), now).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let dir = dir();
    let options = |segment_bytes, max_bytes| Options { dir: dir.path().to_owned(), segment_bytes, max_bytes };
    for (segment, max, says) in [
        (1 << 19, 1 << 30, "ledger.segment_bytes"),
        ((1 << 20) + 1, 1 << 30, "ledger.segment_bytes"),
        (1 << 31, 1 << 40, "ledger.segment_bytes"),
        (1 << 20, 1 << 20, "ledger.journal_bytes"),
    ] {
        let refused = open(&options(segment, max), StreamId::new(nonce()), now).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
