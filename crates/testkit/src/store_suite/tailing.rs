//! Following what arrives, and going on where that ended.

use std::collections::BTreeMap;

use magistrate_ledger::{DecisionId, SealedRecord, Sink, StreamId};
use magistrate_model::{Cause, Instant, Span};
use magistrate_pdp::history::{Cursor, Tail, Wanted};
use magistrate_pdp::{DecisionFilter, DecisionHistory};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::instant;

fn id(number: u8, seq: u64) -> DecisionId {
    DecisionId { stream: stream(number), seq }
}

fn noon() -> Instant {
    instant("2026-06-01T12:00:00Z")
}

fn rare(at: Instant) -> Decided {
    Decided { policies: &["rare"], ..Decided::at(at) }
}

fn wants_rare() -> DecisionFilter {
    DecisionFilter { policies: Wanted::any(["rare".parse().unwrap()]), ..DecisionFilter::default() }
}

async fn add<S: StoreUnderTest>(subject: &S, records: &[SealedRecord]) {
    subject.sink().await.commit(records).await.unwrap();
}

/// Everything that is told until there is nothing more, and where the tail was behind each, as far as that is known.
async fn all<S: StoreUnderTest>(subject: &S, tail: &mut Tail) -> Vec<(DecisionId, Option<Cursor>)> {
    let mut all = Vec::new();
    loop {
        let told = tail.next(subject.store()).await.unwrap();
        all.extend(told.decisions.iter().map(|it| (it.id, None)));
        if let Some((_, cursor)) = all.last_mut() {
            *cursor = Some(tail.cursor().clone());
        }
        if !told.more {
            return all;
        }
        assert!(told.moved, "whoever asks again gets on");
    }
}

async fn ids<S: StoreUnderTest>(subject: &S, tail: &mut Tail) -> Vec<DecisionId> {
    all(subject, tail).await.into_iter().map(|(id, _)| id).collect()
}

/// Whatever is wanted, and however long ago there was any of it.
pub async fn a_tail_tells_what_is_new_and_nothing_else<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let now = noon();
    add(&subject, &sealed(stream(1), &[rare(now.plus(Span::hours(-1))), Decided::at(now)])).await;
    let (mut tail, begin) = Tail::begin(subject.store(), wants_rare(), 0).await.unwrap();
    assert!(begin.is_empty());
    assert!(ids(&subject, &mut tail).await.is_empty(), "what is old is not told");
    let (mut other, begin) = Tail::begin(subject.store(), wants_rare(), 5).await.unwrap();
    assert_eq!(begin.iter().map(|it| it.id).collect::<Vec<_>>(), [id(1, 1)]);
    let new = [rare(now.plus(Span::seconds(-9))), rare(now.plus(Span::seconds(1))), Decided::at(now)];
    add(&subject, &sealed(stream(2), &new)).await;
    for tail in [&mut tail, &mut other] {
        assert_eq!(ids(&subject, tail).await, [id(2, 1), id(2, 2)]);
        assert!(ids(&subject, tail).await.is_empty(), "nothing is told twice");
    }
}

/// A node whose store was away brings what is older than everything that was told, by hours and by days.
pub async fn a_tail_tells_what_arrives_late<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let at = |hours: i64| Decided::at(noon().plus(Span::hours(hours)));
    let (first, second) = (sealed(stream(1), &[at(0), at(1), at(2)]), sealed(stream(2), &[at(-50), at(-3), at(1)]));
    add(&subject, &second[..1]).await;
    let (mut tail, _) = Tail::begin(subject.store(), DecisionFilter::default(), 0).await.unwrap();
    add(&subject, &first[..2]).await;
    assert_eq!(ids(&subject, &mut tail).await, [id(1, 1), id(1, 2)]);
    let left = tail.cursor().clone();
    add(&subject, &second[1..2]).await;
    assert_eq!(ids(&subject, &mut tail).await, [id(2, 2)], "older than what was told before");
    add(&subject, &second[2..]).await;
    add(&subject, &first[2..]).await;
    assert_eq!(ids(&subject, &mut tail).await, [id(2, 3), id(1, 3)]);
    let resumed = Tail::resume(subject.store(), DecisionFilter::default(), left).await.unwrap();
    assert_eq!(ids(&subject, &mut resumed.unwrap()).await, [id(2, 2), id(2, 3), id(1, 3)], "and for whoever was away");
}

/// Wherever a feed breaks off, and however much is read at once, what is told afterwards is the rest, each once.
pub async fn a_tail_goes_on_where_it_was<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let decided = |number: i64| {
        let at = noon().plus(Span::seconds(((number * 37) % 101 - 50) * 60));
        let principal = if number % 3 == 0 { "User::bob" } else { "User::ana" };
        let (policies, cause): (&[&str], _) =
            if number % 4 == 1 { (&["rare"], Cause::Forbidden) } else { (&["docs.read"], Cause::Permitted) };
        Decided { principal, cause, policies, ..Decided::at(at) }
    };
    add(&subject, &sealed(stream(9), &[Decided::at(noon())])).await;
    let (start, _) = Tail::begin(subject.store(), DecisionFilter::default(), 0).await.unwrap();
    for number in 1..=3 {
        let of_stream: Vec<_> = (0..7).map(|n| decided(i64::from(number) * 11 + n)).collect();
        add(&subject, &sealed(stream(number), &of_stream)).await;
    }
    let of_bob = DecisionFilter { principals: Wanted::any(["User::\"bob\"".into()]), ..DecisionFilter::default() };
    for filter in [DecisionFilter::default(), of_bob, wants_rare()] {
        let resume = async |cursor: Cursor, at_once: usize, stretch: u64| {
            let tail = Tail::resume(subject.store(), filter.clone(), cursor).await.unwrap().unwrap();
            tail.in_pages(at_once, stretch)
        };
        let mut expected = ids(&subject, &mut resume(start.cursor().clone(), 100, 100).await).await;
        assert!(expected.len() > 3, "{filter:?}");
        expected.sort_unstable();
        for (at_once, stretch) in [(1, 1), (1, 9), (2, 3), (3, 2), (5, 9), (100, 1), (100, 100)] {
            let told = all(&subject, &mut resume(start.cursor().clone(), at_once, stretch).await).await;
            for cut in 0..=told.len() {
                let (before, token) = (told.get(..cut).unwrap(), last_token(&told, cut));
                let mut cursor: Cursor = token.unwrap_or(start.cursor()).to_string().parse().unwrap();
                newest(before).into_iter().for_each(|id| cursor.reach(id));
                let rest = ids(&subject, &mut resume(cursor, at_once, stretch).await).await;
                let mut whole: Vec<_> = before.iter().map(|(id, _)| *id).chain(rest).collect();
                let ascend = |stream: StreamId| whole.iter().filter(|id| id.stream == stream).is_sorted();
                assert!((1..=3).map(stream).all(ascend), "{whole:?}");
                whole.sort_unstable();
                assert_eq!(whole, expected, "cut behind {cut} in pages of {at_once} and {stretch}, {filter:?}");
            }
        }
    }
}

/// Where the tail was, as far as it was told up to there.
fn last_token(told: &[(DecisionId, Option<Cursor>)], cut: usize) -> Option<&Cursor> {
    told.iter().take(cut).rev().find_map(|(_, cursor)| cursor.as_ref())
}

fn newest(told: &[(DecisionId, Option<Cursor>)]) -> Vec<DecisionId> {
    told.iter().map(|(id, _)| (id.stream, *id)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// A place in a feed of another store would tell all of this one.
pub async fn a_tail_of_another_history_does_not_go_on<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let nothing = Cursor::default();
    let resume = async |cursor| Tail::resume(subject.store(), DecisionFilter::default(), cursor).await.unwrap();
    assert!(resume(nothing.clone()).await.is_some(), "there was nothing, and there is nothing yet");
    add(&subject, &sealed(stream(1), &[Decided::at(noon())])).await;
    assert!(resume(nothing).await.is_some());
    assert!(resume([(stream(1), 1), (stream(2), 1)].into_iter().collect()).await.is_some());
    assert!(resume([(stream(2), 1)].into_iter().collect()).await.is_none());
}

/// Every stream's own, whatever lies between.
pub async fn the_last_place_of_every_stream_is_told<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    assert_eq!(subject.store().places().await.unwrap(), []);
    let decided = vec![Decided::at(noon()); 9];
    for number in [3, 1, 255] {
        let mut records = sealed(stream(number), &decided);
        records.remove(4);
        add(&subject, &records).await;
    }
    let mut places = subject.store().places().await.unwrap();
    places.sort_unstable();
    assert_eq!(places, [(stream(1), 9), (stream(3), 9), (stream(255), 9)]);
    let behind = async |places, limit| {
        let filter = DecisionFilter::default();
        let found = subject.store().behind(&filter, stream(3), places, limit).await.unwrap();
        found.iter().map(|it| it.id.seq).collect::<Vec<_>>()
    };
    assert_eq!(behind((3, 7), 10).await, [4, 6, 7]);
    assert_eq!(behind((3, 7), 2).await, [4, 6]);
    assert_eq!(behind((0, u64::MAX), 10).await, [1, 2, 3, 4, 6, 7, 8, 9]);
    assert!(behind((9, u64::MAX), 10).await.is_empty());
    assert_eq!(subject.store().behind(&DecisionFilter::default(), stream(4), (0, 9), 10).await.unwrap(), []);
}
