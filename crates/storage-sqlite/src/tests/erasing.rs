//! Private values lie where they were put until an act says that they go, and then they are not in the file any more.

use std::path::Path;

use magistrate_ledger::{SealedRecord, Selection, Sink};
use magistrate_pdp::Evidence as _;
use magistrate_pdp::erasing::erase;
use magistrate_pdp::history::stray_openings;
use magistrate_testkit::instant;
use magistrate_testkit::store_suite::private::eraser;
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};

use super::{Fresh, run};

const EMAIL: &str = "hidden-in-the-file@example.org";

async fn filled(count: usize) -> (Fresh, Vec<SealedRecord>) {
    let fresh = Fresh::new().await;
    let at = instant("2026-06-01T12:00:00Z");
    let decided = Decided { email: Some(EMAIL), private: &["context.email"], ..Decided::at(at) };
    let records = sealed(stream(1), &vec![decided; count]);
    for some in records.chunks(100) {
        fresh.store.sink().await.unwrap().commit(some).await.unwrap();
    }
    (fresh, records)
}

#[tokio::test]
async fn values_are_neither_changed_nor_deleted_nor_put_back_without_an_act() {
    let (fresh, records) = filled(3).await;
    let mut connection = fresh.connect("decisions.db").await;
    let until = Some(instant("2026-06-01T12:00:00.000001Z"));
    erase(&fresh.store, &Selection { until, ..Selection::default() }, &eraser()).await.unwrap();
    let more = [
        records[..3].to_vec(),
        sealed(
            stream(2),
            &[Decided {
                email: Some(EMAIL),
                private: &["context.email"],
                ..Decided::at(instant("2026-06-01T12:00:00Z"))
            }],
        ),
    ]
    .concat();
    fresh.store.sink().await.unwrap().commit(&more).await.unwrap();
    let attempts = [
        ("UPDATE opening SET body = x'00'", "never changed"),
        ("DELETE FROM opening", "with an act that says so"),
        ("REPLACE INTO opening SELECT * FROM opening", "come with their record"),
        // What was erased.
        ("INSERT INTO opening SELECT stream, seq, day, x'00' FROM decision WHERE seq = 2", "come with their record"),
        ("INSERT INTO erasing SELECT act FROM erasure; UPDATE erasing SET act = x'00'", "by one act at a time"),
        ("DELETE FROM erasure", "never deleted"),
        ("UPDATE erasure SET decisions = 9", "never changed"),
        ("INSERT INTO erasing VALUES (x'07')", "after the act that says so"),
    ];
    for (attempt, why) in attempts {
        let refused = run(&mut connection, attempt).await.unwrap_err();
        assert!(refused.contains(why), "{attempt}: {refused}");
        run(&mut connection, "DELETE FROM erasing").await.unwrap();
    }
    assert_eq!(fresh.store.records(stream(2), 0, 9).await.unwrap()[0].opening, more[3].opening);
}

/// Bytes of the file and of what lies beside it, which SQLite may remove meanwhile.
fn holds(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let has =
        |path: &Path| std::fs::read(path).unwrap_or_default().windows(EMAIL.len()).any(|it| it == EMAIL.as_bytes());
    all.filter(|path| has(path)).map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Values of all lengths, of which some go and their neighbours stay: rows were moved about, and left copies in gaps.
#[tokio::test]
async fn some_erased_values_are_in_no_byte_of_the_files() {
    let fresh = Fresh::new().await;
    let (at, until) = (instant("2026-06-01T12:00:00Z"), instant("2026-06-01T13:00:00Z"));
    let stays: Vec<String> = [20, 90, 240].iter().map(|length| "stays".repeat(*length / 5)).collect();
    let goes: Vec<String> = [10, 70, 300].iter().map(|length| format!("{EMAIL}{}", "x".repeat(*length))).collect();
    let stays: Vec<&'static str> = stays.into_iter().map(|text| &*text.leak()).collect();
    let goes: Vec<&'static str> = goes.into_iter().map(|text| &*text.leak()).collect();
    let decided = |n: usize| {
        let (email, at) = match n % 3 {
            0 => (goes[n / 3 % 3], at),
            _ => (stays[n % 5 % 3], until),
        };
        Decided { email: Some(email), private: &["context.email"], ..Decided::at(at) }
    };
    for (number, records) in (1..=5).map(|number| (number, (0..600).map(decided).collect::<Vec<_>>())) {
        for some in sealed(stream(number), &records).chunks(100) {
            fresh.store.sink().await.unwrap().commit(some).await.unwrap();
        }
    }
    let of = Selection { until: Some(until), ..Selection::default() };
    assert_eq!(erase(&fresh.store, &of, &eraser()).await, Ok(1_000));
    assert_eq!(holds(fresh.dir.path()), Vec::<String>::new());
}

/// Rows were written over many pages, and pages were split.
#[tokio::test]
async fn erased_values_are_in_no_byte_of_the_files() {
    let (fresh, _) = filled(1_500).await;
    assert!(!holds(fresh.dir.path()).is_empty());
    assert_eq!(erase(&fresh.store, &Selection::default(), &eraser()).await, Ok(1_500));
    assert_eq!(holds(fresh.dir.path()), Vec::<String>::new());
}

/// Whoever keeps the file can do anything, and is told.
#[tokio::test]
async fn values_of_no_record_are_found() {
    let (fresh, records) = filled(2).await;
    let mut connection = fresh.connect("decisions.db").await;
    assert_eq!(stray_openings(&fresh.store, 9, 1).await.unwrap(), []);
    run(&mut connection, "INSERT INTO opening VALUES (zeroblob(16), 7, 1, x'00')").await.unwrap();
    run(&mut connection, "DROP TRIGGER opening_refuses_update; UPDATE opening SET day = 1 WHERE seq = 2")
        .await
        .unwrap();
    let stray = stray_openings(&fresh.store, 9, 1).await.unwrap();
    assert_eq!((stray.len(), stray[0].seq, stray[1]), (2, 7, records[1].id));
}
