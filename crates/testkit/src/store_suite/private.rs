//! Private values: beside their records until they are erased.

use magistrate_ledger::{
    Act, ActId, ActRecord, Erasure, NoteSigner, Places, RecordedDecision, SealedAct, SealedRecord, Selection, Sink,
};
use magistrate_model::{Actor, Caller, Channel, Instant, Span};
use magistrate_pdp::erasing::{AT_ONCE, Erasable, ErasableCount, Eraser, Erasing, count_erasable, erase};
use magistrate_pdp::history::{Reading, Wanted, search, stray_openings};
use magistrate_pdp::retention::Retention;
use magistrate_pdp::{DecisionFilter, DecisionHistory, Evidence, LogError, Page, Unlogged};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::{instant, nonce};

const ANA: &str = "User::\"ana\"";
const BOB: &str = "User::\"bob\"";

/// Two decisions on Ana and one on Bob with private values, on three days, and one on Ana without any.
fn decided() -> [Decided; 4] {
    let caller = Caller { address: Some("192.0.2.7".parse().unwrap()), channel: Channel::Grpc, key: None, trace: None };
    let first = Decided {
        email: Some("hidden@example.org"),
        private: &["context.email", "ip"],
        caller: Some(caller),
        ..Decided::at(day(1))
    };
    [
        first.clone(),
        Decided { principal: BOB, at: day(2), ..first.clone() },
        Decided { resource: "Doc::doc2", at: day(3), ..first.clone() },
        Decided { private: &[], at: day(4), ..first },
    ]
}

fn day(day: i64) -> Instant {
    instant("2026-05-31T12:00:00Z").plus(Span::hours(24 * day))
}

async fn filled<S: StoreUnderTest>() -> (S, Vec<SealedRecord>) {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decided());
    assert_eq!(records.iter().filter(|record| record.opening.is_some()).count(), 3);
    subject.sink().await.commit(&records).await.unwrap();
    (subject, records)
}

fn opened(record: &SealedRecord) -> RecordedDecision {
    let decision = RecordedDecision::decode(record.id, &record.bytes).unwrap();
    match &record.opening {
        Some(opening) => decision.open(opening).unwrap(),
        None => decision,
    }
}

fn of_principal(principal: &str) -> Selection {
    Selection { principal: Some(principal.to_owned()), ..Selection::default() }
}

/// Somebody who may erase.
pub fn eraser() -> Eraser {
    let now = || instant("2026-06-07T00:00:00Z");
    Eraser { signer: signer(), actor: "os:mia".parse().unwrap(), reason: "asked for".to_owned(), act_id: nonce, now }
}

fn signer() -> NoteSigner {
    NoteSigner::new("records", &[5; 32])
}

fn act(act: Act) -> SealedAct {
    ActRecord { id: ActId(nonce()), at: day(9), actor: "os:mia".parse().unwrap(), act }.seal().unwrap()
}

/// An act of these decisions, which ascend.
fn erasure(of: Selection, decisions: &[Erasable]) -> SealedAct {
    let place = |it: &Erasable| Places { stream: it.id.stream, first: it.id.seq, last: it.id.seq };
    let (id, at, actor) = (ActId(nonce()), day(9), "os:mia".parse::<Actor>().unwrap());
    let (places, reason) = (decisions.iter().map(place).collect(), "asked for".to_owned());
    let erasure = Erasure { act: id, of, places, reason, actor: actor.clone(), at };
    ActRecord { id, at, actor, act: Act::Erasure(Box::new(erasure.sign(&signer()))) }.seal().unwrap()
}

/// What acts of erasure say, which whoever pinned the key believes.
async fn told<S: StoreUnderTest>(subject: &S) -> Vec<Erasure> {
    let acts = subject.store().acts(Some("erasure"), 0, 10).await.unwrap();
    let said = acts.iter().map(|row| {
        let record = row.decode().unwrap().record;
        let Act::Erasure(signed) = &record.act else { panic!("{record:?}") };
        assert!(signed.is_signed_by(&[signer().verifier()]) && signed.is_of(&record), "{record:?}");
        signed.erasure.clone()
    });
    said.collect()
}

/// Places whose values are not there.
async fn gone<S: StoreUnderTest>(subject: &S) -> Vec<u64> {
    let all = subject.store().page(&DecisionFilter::default(), Page::OldestFirst(None), 10).await.unwrap();
    all.iter().filter(|decision| !decision.erased.is_empty()).map(|decision| decision.id.seq).collect()
}

/// One by one, on pages, and for whoever verifies.
pub async fn private_values_come_back_with_their_record<S: StoreUnderTest>() {
    let (subject, records) = filled::<S>().await;
    let store = subject.store();
    let expected: Vec<_> = records.iter().map(opened).collect();
    for (record, expected) in records.iter().zip(&expected) {
        assert_eq!(store.find(record.id).await.unwrap().as_ref(), Some(expected));
    }
    let all = DecisionFilter::default();
    assert_eq!(store.page(&all, Page::OldestFirst(None), 10).await.unwrap(), expected);
    let by = |principals, resources| DecisionFilter { principals, resources, ..DecisionFilter::default() };
    for filter in [
        by(Wanted::any([BOB.to_owned()]), Wanted::default()),
        by(Wanted::default(), Wanted::any(["Doc::\"doc1\"".to_owned()])),
    ] {
        let found = store.page(&filter, Page::NewestFirst(None), 10).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|it| expected.contains(it)), "{filter:?}");
    }
    let rows = store.records(stream(1), 0, 10).await.unwrap();
    assert!(rows.iter().zip(&records).all(|(row, record)| row.opening == record.opening));
    assert_eq!(stray_openings(store, 10, 2).await.unwrap(), []);
    let ips = DecisionFilter { ips: Wanted::any(["192.0.2.7".parse().unwrap()]), ..all };
    let found = search(store, &ips, Page::OldestFirst(None), Reading::of(10)).await.unwrap();
    assert_eq!(found.decisions.len(), 4);
}

/// Whoever ships again has the values still, and the store has them no more.
pub async fn erased_values_are_known_as_erased_and_do_not_come_back<S: StoreUnderTest>() {
    let (subject, records) = filled::<S>().await;
    let store = subject.store();
    assert_eq!(erase(store, &of_principal(ANA), &eraser()).await, Ok(2));
    let check = async |times: &str| {
        let found = store.find(records[0].id).await.unwrap().unwrap();
        assert_eq!(found, RecordedDecision::decode(records[0].id, &records[0].bytes).unwrap(), "{times}");
        let erased: Vec<_> = found.erased.iter().map(ToString::to_string).collect();
        assert_eq!((erased, found.leaf), (vec!["caller.address".into(), "context.email".into()], records[0].leaf));
        assert_eq!(gone(&subject).await, [1, 3], "{times}");
        assert_eq!(stray_openings(store, 10, 2).await.unwrap(), []);
    };
    check("erased").await;
    let more = sealed(stream(1), &[decided().as_slice(), &decided()[1..2]].concat());
    let new: Vec<SealedRecord> = records.iter().chain(&more[4..]).cloned().collect();
    subject.sink().await.commit(&records).await.unwrap();
    subject.sink().await.commit(&new).await.unwrap();
    check("shipped again").await;
    assert_eq!(store.find(more[4].id).await.unwrap(), Some(opened(&more[4])));
    let ips = DecisionFilter { ips: Wanted::any(["192.0.2.7".parse().unwrap()]), ..DecisionFilter::default() };
    let found = search(store, &ips, Page::OldestFirst(None), Reading::of(10)).await.unwrap();
    assert_eq!(
        found.decisions.iter().map(|it| it.id.seq).collect::<Vec<_>>(),
        [2, 5, 4],
        "what is erased is not found by"
    );
}

/// By principal, resource and time, and what was done is told.
pub async fn what_is_erased_is_what_was_meant<S: StoreUnderTest>() {
    let none = Selection::default;
    let cases: [(Selection, &[u64]); 8] = [
        (none(), &[1, 2, 3]),
        (of_principal(ANA), &[1, 3]),
        (of_principal("User::\"Ana\""), &[]),
        (Selection { resource: Some("Doc::\"doc1\"".to_owned()), ..none() }, &[1, 2]),
        (Selection { resource: Some("Doc::\"doc2\"".to_owned()), ..of_principal(ANA) }, &[3]),
        (Selection { since: Some(day(2)), ..none() }, &[2, 3]),
        (Selection { until: Some(day(2)), ..none() }, &[1]),
        (Selection { since: Some(day(1)), until: Some(day(3)), ..of_principal(ANA) }, &[1]),
    ];
    for (of, expected) in cases {
        let (subject, _) = filled::<S>().await;
        let (store, count) = (subject.store(), expected.len() as u64);
        assert_eq!(store.count_erasable(&of).await.unwrap(), ErasableCount { erasable: count, held: 0 }, "{of:?}");
        assert_eq!(count_erasable(store, &of).await, store.count_erasable(&of).await, "day by day, {of:?}");
        assert!(gone(&subject).await.is_empty());
        assert_eq!(erase(store, &of, &eraser()).await, Ok(count), "{of:?}");
        assert_eq!(gone(&subject).await, expected, "{of:?}");
        assert_eq!(store.count_erasable(&of).await.unwrap(), ErasableCount::default());
        let told = told(&subject).await;
        let named = told.iter().flat_map(|it| &it.places).flat_map(|it| it.first..=it.last);
        assert_eq!(named.collect::<Vec<_>>(), expected, "{of:?}");
        assert!(told.len() == usize::from(count > 0) && told.iter().all(|it| it.of == of && it.reason == "asked for"));
    }
}

/// Of what is not there any more nothing is erased, and no act says that it was.
pub async fn an_act_erases_all_or_nothing<S: StoreUnderTest>() {
    let (subject, records) = filled::<S>().await;
    let store = subject.store();
    let place = |record: &SealedRecord| Erasable { day: record.recorded_at.day(), id: record.id };
    let without: Vec<_> = [&records[0], &records[3]].map(place).to_vec();
    let refused = store.erase(&erasure(of_principal(ANA), &without), &without).await;
    assert!(matches!(refused, Err(LogError::Refused(_))), "{refused:?}");
    assert!(gone(&subject).await.is_empty() && store.acts(None, 0, 10).await.unwrap().is_empty());
    let (first, third) = (place(&records[0]), place(&records[2]));
    let told = erasure(of_principal(ANA), &[first]);
    store.erase(&told, &[first]).await.unwrap();
    // An act that was recorded erases nothing more, nor does one erase what it does not name, or without a signature.
    let reason = "asked for".to_owned();
    let unsigned = act(Act::UnsignedErasure { of: of_principal(ANA), reason, decisions: 1 });
    let both = [place(&records[1]), third];
    for (act, decisions) in [
        (&told, &[third][..]),
        (&told, &[first]),
        (&erasure(of_principal(ANA), &[place(&records[1])]), &[third]),
        (&erasure(of_principal(ANA), &[third]), &both),
        (&erasure(of_principal(ANA), &both), &[third]),
        (&unsigned, &[third]),
    ] {
        assert!(matches!(store.erase(act, decisions).await, Err(LogError::Refused(_))), "{decisions:?}");
    }
    assert_eq!((gone(&subject).await, store.acts(None, 0, 10).await.unwrap().len()), (vec![1], 1));
}

/// A hold is stronger than whoever asks.
pub async fn held_days_keep_their_values<S: StoreUnderTest>() {
    let (subject, records) = filled::<S>().await;
    let store = subject.store();
    let hold = |released| {
        let (first, last) = (day(2).day(), Some(day(3).day()));
        act(Act::Hold { name: "case-7".to_owned(), first, last, reason: "r".to_owned(), released })
    };
    store.hold(&hold(false)).await.unwrap();
    let all = Selection::default();
    assert_eq!(store.count_erasable(&all).await.unwrap(), ErasableCount { erasable: 1, held: 2 });
    assert_eq!(count_erasable(store, &all).await, store.count_erasable(&all).await, "day by day");
    let third = [Erasable { day: day(3).day(), id: records[2].id }];
    let refused = store.erase(&erasure(all.clone(), &third), &third).await;
    assert!(matches!(&refused, Err(LogError::Refused(why)) if why.contains("is held")), "{refused:?}");
    // Nor under another day than its own.
    let elsewhere = [Erasable { day: day(1).day(), id: records[2].id }];
    assert!(store.erase(&erasure(all.clone(), &elsewhere), &elsewhere).await.is_err());
    assert_eq!(erase(store, &all, &eraser()).await, Ok(1));
    assert_eq!(gone(&subject).await, [1]);
    store.hold(&hold(true)).await.unwrap();
    assert_eq!(erase(store, &all, &eraser()).await, Ok(2));
    assert_eq!(gone(&subject).await, [1, 2, 3]);
}

/// Each act is of what it says.
pub async fn values_of_more_decisions_than_one_act_are_erased<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let count = i64::from(AT_ONCE) + 5;
    let many: Vec<Decided> =
        (0..count).map(|n| Decided { at: day(1).plus(Span::millis(n)), ..decided()[0].clone() }).collect();
    for records in sealed(stream(1), &many).chunks(500) {
        subject.sink().await.commit(records).await.unwrap();
    }
    let store = subject.store();
    assert_eq!(erase(store, &of_principal(ANA), &eraser()).await, Ok(u64::from(AT_ONCE) + 5));
    let told: Vec<u64> = told(&subject).await.iter().map(Erasure::decisions).collect();
    assert_eq!(told, [u64::from(AT_ONCE), 5]);
    assert_eq!(store.count_erasable(&Selection::default()).await.unwrap(), ErasableCount::default());
}
