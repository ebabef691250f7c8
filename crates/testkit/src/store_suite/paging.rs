//! Walking through history.

use magistrate_ledger::{DecisionId, RecordedDecision, Sink};
use magistrate_model::{PolicyId, Span};
use magistrate_pdp::history::{Reading, Wanted, search};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Page, Position};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::instant;

/// Commits one stream of decisions, each so many microseconds after a midnight.
async fn add<S: StoreUnderTest>(subject: &S, number: u8, offsets: &[i64]) {
    let midnight = instant("2026-06-02T00:00:00Z");
    let decided = |micros: &i64| Decided::at(midnight.plus(Span::from_micros(*micros)));
    let records = sealed(stream(number), &offsets.iter().map(decided).collect::<Vec<_>>());
    subject.sink().await.commit(&records).await.unwrap();
}

fn position(record: &RecordedDecision) -> Position {
    Position { recorded_at: record.recorded_at, id: record.id }
}

/// Reads page by page until one is empty; `between` runs after each page.
async fn walk<S: StoreUnderTest>(
    subject: &S,
    direction: fn(Option<Position>) -> Page,
    limit: u32,
    between: impl AsyncFn(usize),
) -> Vec<DecisionId> {
    let (mut seen, mut last) = (Vec::new(), None);
    for round in 0.. {
        let filter = DecisionFilter::default();
        let page = subject.store().page(&filter, direction(last), limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let Some(end) = page.last() else {
            break;
        };
        last = Some(position(end));
        seen.extend(page.iter().map(|record| record.id));
        between(round).await;
    }
    seen
}

fn id(number: u8, seq: u64) -> DecisionId {
    DecisionId { stream: stream(number), seq }
}

/// Equal instants are ordered by stream, then by place; days do not matter.
pub async fn history_is_ordered_by_instant_then_stream_then_seq<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    add(&subject, 2, &[-1, 0, 0]).await;
    add(&subject, 1, &[0, 5, -1]).await;
    let expected = [id(1, 3), id(2, 1), id(1, 1), id(2, 2), id(2, 3), id(1, 2)];
    let nothing = async |_| {};
    assert_eq!(walk(&subject, Page::OldestFirst, 10, nothing).await, expected);
    let reversed: Vec<DecisionId> = expected.into_iter().rev().collect();
    assert_eq!(walk(&subject, Page::NewestFirst, 10, nothing).await, reversed);
}

/// Whatever the size of a page, each record comes once.
pub async fn pages_go_both_ways_and_miss_nothing<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    add(&subject, 2, &[-86_400_000_000, -1, 0, 0, 1, 7]).await;
    add(&subject, 1, &[-1, -1, 0, 1, 86_400_000_000]).await;
    let nothing = async |_| {};
    let all = walk(&subject, Page::OldestFirst, 100, nothing).await;
    assert_eq!(all.len(), 11);
    for limit in 1..5 {
        assert_eq!(walk(&subject, Page::OldestFirst, limit, nothing).await, all);
        let mut newest = walk(&subject, Page::NewestFirst, limit, nothing).await;
        newest.reverse();
        assert_eq!(newest, all);
    }
}

/// Records that arrive behind the reader are not seen; those ahead of it are; nothing comes twice.
pub async fn pages_are_stable_under_inserts<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    add(&subject, 5, &[0, 10, 20, 30]).await;
    let insert = async |round: usize| {
        if round == 0 {
            add(&subject, 6, &[5, 15, 35]).await;
        }
    };
    let newest = walk(&subject, Page::NewestFirst, 2, insert).await;
    assert_eq!(newest, [id(5, 4), id(5, 3), id(6, 2), id(5, 2), id(6, 1), id(5, 1)]);
    let insert = async |round: usize| {
        if round == 0 {
            add(&subject, 7, &[5, 40]).await;
        }
    };
    let oldest = walk(&subject, Page::OldestFirst, 4, insert).await;
    let expected = [id(5, 1), id(6, 1), id(5, 2), id(6, 2), id(5, 3), id(5, 4), id(6, 3), id(7, 2)];
    assert_eq!(oldest, expected);
}

/// The filter on determining policies does not shorten a page.
pub async fn pages_by_policy_read_on_until_they_are_full<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let start = instant("2026-06-01T12:00:00Z");
    let decided = |n: i64| Decided {
        policies: if n % 100 == 99 { &["rare"] } else { &["docs.read"] },
        ..Decided::at(start.plus(Span::millis(n)))
    };
    let records = sealed(stream(1), &(0..1_000).map(decided).collect::<Vec<_>>());
    subject.sink().await.commit(&records).await.unwrap();
    let rare: PolicyId = "rare".parse().unwrap();
    let filter = DecisionFilter { policies: Wanted::any([rare]), ..DecisionFilter::default() };
    let found = async |page, limit| {
        let found = search(subject.store(), &filter, page, Reading::of(limit)).await.unwrap();
        found.decisions.iter().map(|record| record.id.seq).collect::<Vec<_>>()
    };
    let six = Some(Position { recorded_at: start.plus(Span::millis(599)), id: id(1, 600) });
    assert_eq!(found(Page::OldestFirst(None), 4).await, [100, 200, 300, 400]);
    assert_eq!(found(Page::OldestFirst(six), 4).await, [700, 800, 900, 1_000]);
    assert_eq!(found(Page::NewestFirst(six), 4).await, [500, 400, 300, 200]);
    assert_eq!(found(Page::NewestFirst(None), 100).await.len(), 10);
}
