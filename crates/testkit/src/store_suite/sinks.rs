//! Appending decisions.

use magistrate_ledger::{DecisionId, SealedRecord, Sink};
use magistrate_model::{Digest, DurabilityClass, Instant, Span};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Page};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::{Straight, instant};

fn decisions(count: i64) -> Vec<Decided> {
    let start = instant("2026-06-01T12:00:00Z");
    (0..count).map(|n| Decided::at(start.plus(Span::millis(n)))).collect()
}

/// A midnight, UTC, in the recent past by the clock of this machine: stores keep room around today.
fn midnight() -> Instant {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let today = Instant::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap();
    Instant::from_micros(today.day() * 86_400_000_000).unwrap()
}

async fn recorded<S: StoreUnderTest>(subject: &S) -> Vec<u64> {
    let filter = DecisionFilter::default();
    let found = subject.store().page(&filter, Page::OldestFirst(None), 10_000).await.unwrap();
    found.iter().map(|record| record.id.seq).collect()
}

/// A batch with one record that is refused leaves none of them.
pub async fn a_batch_is_all_or_nothing<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let records = sealed(stream(1), &decisions(4));
    sink.commit(&records[..2]).await.unwrap();
    let other = sealed(stream(1), &decisions(4));
    let with_other = [records[2].clone(), records[3].clone(), other[1].clone()];
    let failed = sink.commit(&with_other).await.unwrap_err();
    assert_eq!(failed.records, 3);
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(2)));
    assert_eq!(recorded(&subject).await, [1, 2]);
    sink.commit(&[]).await.unwrap();
    sink.commit(&records[2..]).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4]);
}

/// Whoever does not know whether a batch arrived sends it again.
pub async fn an_identical_record_is_accepted_again<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let records = sealed(stream(1), &decisions(5));
    sink.commit(&records[..3]).await.unwrap();
    sink.commit(&records[..3]).await.unwrap();
    sink.commit(&records[1..]).await.unwrap();
    subject.sink().await.commit(&records).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4, 5]);
}

/// Two records at one place are a fork of the stream: loud, whatever it is they differ in.
pub async fn another_record_at_a_place_is_refused<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let records = sealed(stream(1), &decisions(1));
    sink.commit(&records).await.unwrap();
    let forged = |change: fn(&mut SealedRecord)| {
        let mut record = records[0].clone();
        change(&mut record);
        record
    };
    let forgeries = [
        forged(|record| record.bytes.push(0)),
        forged(|record| record.leaf = Digest::new([9; 32])),
        forged(|record| record.class = DurabilityClass::Disk),
        forged(|record| record.recorded_at = record.recorded_at.plus(Span::millis(1))),
        forged(|record| record.recorded_at = record.recorded_at.plus(Span::hours(24))),
        forged(|record| record.index.principal.push('x')),
        forged(|record| record.index.action.push('x')),
        forged(|record| record.index.resource.push('x')),
        forged(|record| record.index.decision = if record.index.decision == "allow" { "deny" } else { "allow" }),
        forged(|record| record.index.cause = if record.index.cause == "forbidden" { "no_permit" } else { "forbidden" }),
        forged(|record| record.index.request_id = Some("another".into())),
    ];
    for forgery in forgeries {
        assert_ne!(forgery, records[0]);
        let committed = sink.commit(std::slice::from_ref(&forgery)).await;
        assert!(committed.is_err(), "{forgery:?}");
    }
    sink.commit(&records).await.unwrap();
    assert_eq!(recorded(&subject).await, [1]);
}

/// A stream goes on over midnight, and a batch may hold both days.
pub async fn a_stream_goes_on_over_midnight<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let midnight = midnight();
    let around: Vec<Decided> = (-2..2).map(|n| Decided::at(midnight.plus(Span::millis(n)))).collect();
    let records = sealed(stream(1), &around);
    let days: Vec<i64> = records.iter().map(|record| record.recorded_at.day()).collect();
    assert_eq!((days[1] + 1, days[0], days[3]), (days[2], days[1], days[2]), "two of each day");
    let mut sink = subject.sink().await;
    sink.commit(&records[..3]).await.unwrap();
    sink.commit(&records).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4]);
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(4)));
}

/// A record may arrive long after its day, behind records of later days and of other streams.
pub async fn a_late_record_has_its_own_day<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let day = |ago: i64| Decided::at(midnight().plus(Span::hours(-24 * ago)));
    sink.commit(&sealed(stream(1), &[day(0)])).await.unwrap();
    sink.commit(&sealed(stream(2), &[day(1), day(30), day(0)])).await.unwrap();
    let found = subject.store().page(&DecisionFilter::default(), Page::OldestFirst(None), 10).await.unwrap();
    let places: Vec<(i64, u64)> =
        found.iter().map(|record| (midnight().day() - record.recorded_at.day(), record.id.seq)).collect();
    assert_eq!(places, [(30, 2), (1, 1), (0, 1), (0, 3)]);
    assert_eq!(sink.last_committed(stream(2)).await, Ok(Some(3)));
}

/// What a crashed process never recorded stays a gap; the stream goes on above it.
pub async fn a_gap_stays_a_gap<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    let records = sealed(stream(1), &decisions(5));
    sink.commit(&records[..2]).await.unwrap();
    sink.commit(&records[3..]).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 2, 4, 5]);
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(5)));
}

/// What is acknowledged is what is found.
pub async fn what_is_committed_is_found<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut straight = Straight::new(subject.sink().await, stream(1));
    let mut committed = Vec::new();
    for batch in decisions(6).chunks(2) {
        committed.extend(straight.append(batch.iter().map(Decided::draft).collect()).await.unwrap());
    }
    for (seq, record) in (1..).zip(&committed) {
        let found = subject.store().find(record.id).await.unwrap().unwrap();
        assert_eq!((found.id.seq, found.leaf, found.class), (seq, record.leaf, record.class));
    }
    assert_eq!(recorded(&subject).await, [1, 2, 3, 4, 5, 6]);
}

/// Somebody else's record at a place is no trouble that passes, and a store that says so names it.
pub async fn another_record_is_a_conflict<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let drafts = || decisions(2).iter().map(Decided::draft).collect();
    subject.sink().await.commit(&sealed(stream(1), &decisions(1))).await.unwrap();
    let mut straight = Straight::new(subject.sink().await, stream(1));
    for _ in 0..2 {
        let refused = straight.append(drafts()).await.unwrap_err();
        assert!(refused.conflict, "{refused}");
    }
    let mut straight = Straight::new(subject.sink().await, stream(2));
    straight.append(drafts()).await.unwrap();
    assert_eq!(recorded(&subject).await, [1, 1, 2]);
}

/// Streams do not see each other.
pub async fn the_last_committed_place_is_per_stream<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut sink = subject.sink().await;
    sink.commit(&sealed(stream(1), &decisions(3))).await.unwrap();
    sink.commit(&sealed(stream(2), &decisions(1))).await.unwrap();
    let mut other = subject.sink().await;
    for (number, expected) in [(1, Some(3)), (2, Some(1)), (3, None)] {
        assert_eq!(sink.last_committed(stream(number)).await, Ok(expected));
        assert_eq!(other.last_committed(stream(number)).await, Ok(expected));
    }
}

/// A group of the size that the writer's task makes at most.
pub async fn a_thousand_records_are_one_batch<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decisions(1_000));
    subject.sink().await.commit(&records).await.unwrap();
    assert_eq!(recorded(&subject).await.len(), 1_000);
    let last = DecisionId { stream: stream(1), seq: 1_000 };
    assert!(subject.store().find(last).await.unwrap().is_some());
}
