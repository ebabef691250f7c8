//! Finding decisions again.

use magistrate_ledger::{DecisionId, RecordedDecision, Sink};
use magistrate_model::{Cause, Decision, Instant};
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
            principal: BOB,
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
    let records = sealed(stream(1), &decided());
    subject.sink().await.commit(&records).await.unwrap();
    subject
}

async fn check<S: StoreUnderTest>(subject: &S, filter: &DecisionFilter, expected: &[u64]) {
    let seqs = |found: Vec<RecordedDecision>| found.iter().map(|record| record.id.seq).collect::<Vec<_>>();
    let oldest = subject.store().search(filter, Page::OldestFirst(None), 10).await.unwrap();
    assert_eq!(seqs(oldest), expected, "{filter:?}");
    let newest = subject.store().search(filter, Page::NewestFirst(None), 10).await.unwrap();
    let reversed: Vec<u64> = expected.iter().rev().copied().collect();
    assert_eq!(seqs(newest), reversed, "{filter:?}");
}

/// What is found is what was sealed.
pub async fn a_decision_is_read_back_exactly<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &decided());
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
    let cases: [(Choice, &[u64]); 14] = [
        (|_| (), &[1, 2, 3, 4]),
        (|it| it.principals = vec![ANA.into()], &[1, 3, 4]),
        (|it| it.principals = vec![BOB.into()], &[2]),
        (|it| it.principals = vec![ANA.into(), BOB.into()], &[1, 2, 3, 4]),
        (|it| it.actions = vec!["Action::\"write\"".into()], &[2]),
        (|it| it.resources = vec!["Doc::\"Doc1\"".into()], &[3]),
        (|it| it.decision = Some(Decision::Deny), &[2, 3]),
        (|it| it.causes = vec![Cause::NoPermit, Cause::Permitted], &[1, 3, 4]),
        (|it| it.policies = vec!["docs.night".parse().unwrap()], &[2]),
        (|it| it.request_id = Some("r-1".parse().unwrap()), &[2, 4]),
        (|it| it.since = Some(instant("2026-06-02T00:00:00Z")), &[2, 3, 4]),
        (|it| it.until = Some(instant("2026-06-02T00:00:00Z")), &[1]),
        (|it| it.since = Some(instant("2026-06-03T12:00:00Z")), &[4]),
        (|it| it.until = Some(instant("2026-06-02T00:00:00.000001Z")), &[1, 2]),
    ];
    for (choose, expected) in cases {
        check(&subject, &chosen(choose), expected).await;
    }
}

/// Every given field must match.
pub async fn fields_are_combined<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let all = DecisionFilter {
        principals: vec![ANA.into()],
        actions: vec!["Action::\"read\"".into()],
        resources: vec!["Doc::\"doc1\"".into(), "Doc::\"Doc1\"".into()],
        decision: Some(Decision::Allow),
        causes: vec![Cause::Permitted],
        policies: vec!["docs.read".parse().unwrap()],
        request_id: Some("r-1".parse().unwrap()),
        since: Some(instant("2026-06-01T00:00:00Z")),
        until: Some(instant("2026-06-04T00:00:00Z")),
    };
    check(&subject, &all, &[4]).await;
    let mut fewer = all.clone();
    fewer.request_id = None;
    check(&subject, &fewer, &[1, 4]).await;
    let mut other = all;
    other.decision = Some(Decision::Deny);
    check(&subject, &other, &[]).await;
}

/// A value nothing has, and an empty stretch of time.
pub async fn fields_that_match_nothing_find_nothing<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let cases: [Choice; 4] = [
        |it| it.principals = vec!["User::\"Ana\"".into()],
        |it| it.resources = vec!["Doc::\"doc1 \"".into()],
        |it| it.policies = vec!["none".parse().unwrap()],
        |it| (it.since, it.until) = (Some(noon()), Some(noon())),
    ];
    for choose in cases {
        check(&subject, &chosen(choose), &[]).await;
    }
}

/// Sets the fields of a filter.
type Choice = fn(&mut DecisionFilter);

const ANA: &str = "User::\"ana\"";
const BOB: &str = "User::\"it's \\\"bob\\\"\"";

fn chosen(choose: Choice) -> DecisionFilter {
    let mut filter = DecisionFilter::default();
    choose(&mut filter);
    filter
}

fn noon() -> Instant {
    instant("2026-06-02T12:00:00Z")
}
