//! Finding decisions again.

use magistrate_ledger::{DecisionId, RecordedDecision, Sink};
use magistrate_model::{Cause, Decision};
use magistrate_pdp::{DecisionFilter, DecisionHistory, Page};

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::instant;

/// Four decisions, numbered 1 to 4, around a midnight.
fn decided() -> [Decided; 4] {
    let base = Decided::at(instant("2026-06-01T23:59:59.999999Z"));
    [
        base.clone(),
        Decided {
            principal: "User::\"it's \\\"bob\\\"\"",
            action: "write",
            cause: Cause::Forbidden,
            policies: &["docs.freeze", "docs.night"],
            at: instant("2026-06-02T00:00:00Z"),
            request_id: Some("r-1"),
            ..base.clone()
        },
        Decided {
            resource: "Doc::Doc1",
            cause: Cause::NoPermit,
            policies: &[],
            at: instant("2026-06-02T00:00:00.000001Z"),
            ..base.clone()
        },
        Decided { at: instant("2026-06-03T12:00:00Z"), request_id: Some("r-1"), ..base },
    ]
}

async fn filled<S: StoreUnderTest>() -> S {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decided()).await;
    subject.sink().await.commit(&records).await.unwrap();
    subject
}

async fn check<S: StoreUnderTest>(subject: &S, filter: DecisionFilter, expected: &[u64]) {
    let seqs = |found: Vec<RecordedDecision>| found.iter().map(|record| record.id.seq).collect::<Vec<_>>();
    let oldest = subject.store().search(&filter, Page::OldestFirst(None), 10).await.unwrap();
    assert_eq!(seqs(oldest), expected, "{filter:?}");
    let newest = subject.store().search(&filter, Page::NewestFirst(None), 10).await.unwrap();
    let reversed: Vec<u64> = expected.iter().rev().copied().collect();
    assert_eq!(seqs(newest), reversed, "{filter:?}");
}

/// What is found is what was sealed.
pub async fn a_decision_is_read_back_exactly<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decided()).await;
    subject.sink().await.commit(&records).await.unwrap();
    for record in &records {
        let expected = RecordedDecision::decode(record.id, &record.bytes).unwrap();
        assert_eq!(subject.store().find(record.id).await.unwrap(), Some(expected));
    }
}

/// Another place, another stream, a place no store can hold.
pub async fn an_unknown_decision_is_none<S: StoreUnderTest>() {
    let subject: S = filled().await;
    for (number, seq) in [(1, 5), (2, 1), (1, 0), (1, u64::MAX)] {
        let id = DecisionId { stream: stream(number), seq };
        assert_eq!(subject.store().find(id).await.unwrap(), None);
    }
}

/// Each field alone, several values of a field, and no field.
pub async fn decisions_are_found_by_each_field<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let any = DecisionFilter::default;
    let (ana, bob) = ("User::\"ana\"".to_owned(), "User::\"it's \\\"bob\\\"\"".to_owned());
    let cases: [(DecisionFilter, &[u64]); 14] = [
        (any(), &[1, 2, 3, 4]),
        (DecisionFilter { principals: vec![ana.clone()], ..any() }, &[1, 3, 4]),
        (DecisionFilter { principals: vec![bob.clone()], ..any() }, &[2]),
        (DecisionFilter { principals: vec![ana, bob], ..any() }, &[1, 2, 3, 4]),
        (DecisionFilter { actions: vec!["Action::\"write\"".into()], ..any() }, &[2]),
        (DecisionFilter { resources: vec!["Doc::\"Doc1\"".into()], ..any() }, &[3]),
        (DecisionFilter { decision: Some(Decision::Deny), ..any() }, &[2, 3]),
        (DecisionFilter { causes: vec![Cause::NoPermit, Cause::Permitted], ..any() }, &[1, 3, 4]),
        (DecisionFilter { policies: vec!["docs.night".parse().unwrap()], ..any() }, &[2]),
        (DecisionFilter { request_id: Some("r-1".parse().unwrap()), ..any() }, &[2, 4]),
        (DecisionFilter { since: Some(instant("2026-06-02T00:00:00Z")), ..any() }, &[2, 3, 4]),
        (DecisionFilter { until: Some(instant("2026-06-02T00:00:00Z")), ..any() }, &[1]),
        (DecisionFilter { since: Some(instant("2026-06-03T12:00:00Z")), ..any() }, &[4]),
        (DecisionFilter { until: Some(instant("2026-06-02T00:00:00.000001Z")), ..any() }, &[1, 2]),
    ];
    for (filter, expected) in cases {
        check(&subject, filter, expected).await;
    }
}

/// Every given field must match.
pub async fn fields_are_combined<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let filter = DecisionFilter {
        principals: vec!["User::\"ana\"".into()],
        actions: vec!["Action::\"read\"".into()],
        resources: vec!["Doc::\"doc1\"".into(), "Doc::\"Doc1\"".into()],
        decision: Some(Decision::Allow),
        causes: vec![Cause::Permitted],
        policies: vec!["docs.read".parse().unwrap()],
        request_id: Some("r-1".parse().unwrap()),
        since: Some(instant("2026-06-01T00:00:00Z")),
        until: Some(instant("2026-06-04T00:00:00Z")),
    };
    check(&subject, filter.clone(), &[4]).await;
    check(&subject, DecisionFilter { request_id: None, ..filter.clone() }, &[1, 4]).await;
    check(&subject, DecisionFilter { decision: Some(Decision::Deny), ..filter }, &[]).await;
}

/// A value nothing has, and an empty stretch of time.
pub async fn fields_that_match_nothing_find_nothing<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let any = DecisionFilter::default;
    let noon = instant("2026-06-02T12:00:00Z");
    check(&subject, DecisionFilter { principals: vec!["User::\"Ana\"".into()], ..any() }, &[]).await;
    check(&subject, DecisionFilter { resources: vec!["Doc::\"doc1 \"".into()], ..any() }, &[]).await;
    check(&subject, DecisionFilter { policies: vec!["none".parse().unwrap()], ..any() }, &[]).await;
    check(&subject, DecisionFilter { since: Some(noon), until: Some(noon), ..any() }, &[]).await;
}
