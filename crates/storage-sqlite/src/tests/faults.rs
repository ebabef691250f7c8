//! What happens when the disk, the lock or the file fails under a running store.

use std::time::Duration;

use magistrate_ledger::{Draft, Sink};
use magistrate_model::{Change, EntityData, Revision, Span};
use magistrate_pap::{Changes, CommitError, StoreError};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Page};
use magistrate_testkit::store_suite::sample::{authorship, sealed, stream, uid};
use magistrate_testkit::{Straight, instant};
use sqlx::ConnectOptions;

use super::{Decided, Fresh, run};
use crate::fault::Fault;
use crate::store::pooled;
use crate::{SqliteSink, SqliteStore};

fn drafts(count: i64) -> Vec<Draft> {
    let start = instant("2026-06-01T12:00:00Z");
    let decided = |n| Decided::at(start.plus(Span::millis(n))).draft();
    (0..count).map(decided).collect()
}

async fn recorded(store: &SqliteStore) -> Vec<u64> {
    let found = store.page(&DecisionFilter::default(), Page::OldestFirst(None), 10_000).await.unwrap();
    let mut seqs: Vec<u64> = found.iter().map(|record| record.id.seq).collect();
    seqs.sort_unstable();
    seqs
}

/// A sink that thinks the disk has no more pages than these.
async fn limited(fresh: &Fresh, pages: &'static str) -> SqliteSink {
    let options = fresh.files().options(&fresh.files().decisions());
    SqliteSink::connect(options.pragma("max_page_count", pages)).await.unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_the_batch_and_nothing_else() {
    let fresh = Fresh::new().await;
    let mut writer = Straight::new(limited(&fresh, "100").await, stream(1));
    writer.append(drafts(3)).await.unwrap();
    let many = sealed(stream(2), &vec![Decided::at(instant("2026-06-01T12:00:00Z")); 1_000]);
    let mut full = limited(&fresh, "100").await;
    for _ in 0..2 {
        let refused = full.commit(&many).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("cannot append 1000 decision records") && text.contains("the disk is full"), "{text}");
        assert!(!refused.conflict);
    }
    assert_eq!(recorded(&fresh.store).await, [1, 2, 3]);
    let acknowledged = writer.append(drafts(2)).await.unwrap();
    assert_eq!(acknowledged.iter().map(|record| record.id.seq).collect::<Vec<_>>(), [4, 5]);
}

#[tokio::test]
async fn a_sink_goes_on_once_there_is_space() {
    let fresh = Fresh::new().await;
    let mut sink = limited(&fresh, "60").await;
    let decided = vec![Decided::at(instant("2026-06-01T12:00:00Z")); 1_000];
    let records = sealed(stream(1), &decided);
    sink.commit(&records).await.unwrap_err();
    assert_eq!(sink.last_committed(stream(1)).await, Ok(None));
    sink.options = sink.options.clone().pragma("max_page_count", "100000");
    sink.commit(&records).await.unwrap_err();
    sink.commit(&records).await.unwrap();
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(1_000)));
}

#[tokio::test]
async fn a_locked_store_refuses_and_recovers() {
    let fresh = Fresh::new().await;
    let impatient = SqliteStore::open_files(fresh.files().waiting(Duration::from_millis(20))).await.unwrap();
    let mut writer = Straight::new(impatient.sink().await.unwrap(), stream(1));
    let change = [Change::PutEntity(EntityData::bare(uid("User::ana")))];
    let (mut decisions, mut policy) = (fresh.connect("decisions.db").await, fresh.connect("policy.db").await);
    run(&mut decisions, "BEGIN IMMEDIATE").await.unwrap();
    run(&mut policy, "BEGIN IMMEDIATE").await.unwrap();
    let refused = writer.append(drafts(1)).await.unwrap_err().to_string();
    assert!(refused.contains("locked"), "{refused}");
    let refused = impatient.commit(Revision::ZERO, &change, &authorship()).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Store(StoreError::Unreachable(why)) if why.contains("locked")));
    run(&mut decisions, "ROLLBACK").await.unwrap();
    run(&mut policy, "ROLLBACK").await.unwrap();
    assert_eq!(writer.append(drafts(1)).await.unwrap().last().map(|record| record.id.seq), Some(2));
    impatient.commit(Revision::ZERO, &change, &authorship()).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_is_dropped_leaves_no_transaction_behind() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    let decided = vec![Decided::at(instant("2026-06-01T12:00:00Z")); 200];
    let records = sealed(stream(1), &decided);
    let half_done = tokio::select! {
        biased;
        done = sink.commit(&records) => Some(done),
        () = async { for _ in 0..40 { tokio::task::yield_now().await } } => None,
    };
    let last = sink.last_committed(stream(1)).await.unwrap();
    match half_done {
        None => assert!(last.is_none() || last == Some(200), "{last:?}"),
        Some(done) => done.unwrap(),
    }
    if last.is_none() {
        sink.commit(&records).await.unwrap();
    }
    assert_eq!(recorded(&fresh.store).await.len(), 200);
}

#[tokio::test]
async fn a_full_disk_refuses_a_change_and_nothing_else() {
    let mut fresh = Fresh::new().await;
    let options = fresh.files().options(&fresh.files().policy());
    fresh.store.policy = pooled(options.pragma("max_page_count", "60"));
    let put = |n: usize| Change::PutEntity(EntityData::bare(uid(&format!("User::u{n}"))));
    let many: Vec<Change> = (0..5_000).map(put).collect();
    for number in 0..3 {
        let base = Revision::new(number);
        let refused = fresh.store.commit(base, &many, &authorship()).await.unwrap_err();
        assert!(
            matches!(&refused, CommitError::Store(StoreError::Unreachable(why)) if why.contains("the disk is full"))
        );
        fresh.store.commit(base, &[put(0)], &authorship()).await.unwrap();
    }
}

/// SQLite ends a transaction by itself after some failures; the driver does not notice.
#[tokio::test]
async fn a_transaction_ended_from_below_breaks_no_pooled_connection() {
    let fresh = Fresh::new().await;
    let change = [Change::PutEntity(EntityData::bare(uid("User::ana")))];
    for round in 0..8 {
        let mut transaction = fresh.store.policy.begin().await.unwrap();
        run(&mut transaction, "ROLLBACK").await.unwrap();
        drop(transaction);
        let committed = fresh.store.commit(Revision::new(round), &change, &authorship()).await;
        assert_eq!(committed, Ok(Revision::new(round + 1)));
    }
}

#[tokio::test]
async fn result_codes_become_our_words() {
    let fresh = Fresh::new().await;
    let mut connection = fresh.connect("policy.db").await;
    let mut fault = async |sql: &'static str| {
        let error = sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_err();
        Fault::of(&error)
    };
    assert_eq!(fault("PRAGMA query_only = ON; UPDATE revision SET value = value").await, Fault::ReadOnly);
    assert_eq!(fault("PRAGMA query_only = OFF; DELETE FROM revision").await, Fault::Constraint);
    assert_eq!(fault("SELECT nothing FROM nowhere").await, Fault::Unexpected);
    let gone = fresh.files().options(&fresh.dir.path().join("gone.db")).connect().await;
    assert_eq!(Fault::of(&gone.unwrap_err()), Fault::CannotOpen);
    assert_eq!(Fault::of(&sqlx::Error::PoolTimedOut), Fault::Exhausted);
}
