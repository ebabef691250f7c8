//! Appending decisions.

use magistrate_ledger::{DecisionId, Sink, Writer};
use magistrate_model::{DurabilityClass, Span};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Page};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::{instant, nonce};

fn decisions(count: i64) -> Vec<Decided> {
    let start = instant("2026-06-01T12:00:00Z");
    (0..count).map(|n| Decided::at(start.plus(Span::millis(n)))).collect()
}

async fn recorded<S: StoreUnderTest>(subject: &S) -> Vec<u64> {
    let filter = DecisionFilter::default();
    let found = subject.store().search(&filter, Page::OldestFirst(None), 10_000).await.unwrap();
    found.iter().map(|record| record.id.seq).collect()
}

/// A batch with one record that is refused leaves none of them.
pub async fn a_batch_is_all_or_nothing<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let records = sealed(stream(1), &decisions(4)).await;
    sink.commit(&records[..2]).await.unwrap();
    let with_duplicate = [records[2].clone(), records[3].clone(), records[1].clone()];
    let failed = sink.commit(&with_duplicate).await.unwrap_err();
    assert_eq!(failed.records, 3);
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(2)));
    assert_eq!(recorded(&subject).await, [1, 2]);
    sink.commit(&[]).await.unwrap();
    sink.commit(&records[2..]).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4]);
}

/// A writer numbers from 1; its receipts are what is found.
pub async fn seq_continues_without_gaps<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut writer = Writer::new(subject.sink().await, stream(1), nonce);
    let mut receipts = Vec::new();
    for batch in decisions(6).chunks(2) {
        receipts.extend(writer.append(batch.iter().map(Decided::draft).collect()).await.unwrap());
    }
    for (seq, receipt) in (1..).zip(&receipts) {
        let found = subject.store().find(receipt.id()).await.unwrap().unwrap();
        assert_eq!((found.id.seq, found.leaf), (seq, receipt.leaf()));
        assert_eq!((found.class, receipt.class()), (DurabilityClass::Database, DurabilityClass::Database));
    }
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4, 5, 6]);
}

/// A place that was taken meanwhile fails one append; the next one goes on behind it.
pub async fn a_writer_goes_on_after_a_failed_commit<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut writer = Writer::new(subject.sink().await, stream(1), nonce);
    let drafts = || decisions(2).iter().map(Decided::draft).collect();
    subject.sink().await.commit(&sealed(stream(1), &decisions(1)).await).await.unwrap();
    writer.append(drafts()).await.unwrap_err();
    let receipts = writer.append(drafts()).await.unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.id().seq).collect::<Vec<_>>(), [2, 3]);
}

/// Streams do not see each other.
pub async fn the_last_committed_place_is_per_stream<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    sink.commit(&sealed(stream(1), &decisions(3)).await).await.unwrap();
    sink.commit(&sealed(stream(2), &decisions(1)).await).await.unwrap();
    let mut other = subject.sink().await;
    for (number, expected) in [(1, Some(3)), (2, Some(1)), (3, None)] {
        assert_eq!(sink.last_committed(stream(number)).await, Ok(expected));
        assert_eq!(other.last_committed(stream(number)).await, Ok(expected));
    }
}

/// A group of the size that the writer's task makes at most.
pub async fn a_thousand_records_are_one_batch<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decisions(1_000)).await;
    subject.sink().await.commit(&records).await.unwrap();
    assert_eq!(recorded(&subject).await.len(), 1_000);
    let last = DecisionId { stream: stream(1), seq: 1_000 };
    assert!(subject.store().find(last).await.unwrap().is_some());
}
