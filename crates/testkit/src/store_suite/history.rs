//! Finding decisions again.

use magistrate_ledger::{DecisionId, RecordedDecision, Sink};
use magistrate_model::{Caller, Cause, Channel, Decision, Instant, Revision, Span, TraceId};
use magistrate_pdp::history::{Counted, Found, Reading, Wanted, search, tally};
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
            grants: &["g2"],
            caller: Some(Caller {
                address: Some("192.0.2.7".parse().unwrap()),
                channel: Channel::Grpc,
                key: Some(KEY.parse().unwrap()),
                trace: Some(TraceId::new([7; 16])),
            }),
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
    let seqs = |found: Found| found.decisions.iter().map(|record| record.id.seq).collect::<Vec<_>>();
    let page = async |page| search(subject.store(), filter, page, Reading::of(10)).await.unwrap();
    let oldest = page(Page::OldestFirst(None)).await;
    assert_eq!(seqs(oldest), expected, "{filter:?}");
    let newest = page(Page::NewestFirst(None)).await;
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
    let cases: [(Choice, &[u64]); 28] = [
        (|_| (), &[1, 2, 3, 4]),
        (|it| it.principals = Wanted::any([ANA.into()]), &[1, 3, 4]),
        (|it| it.principals = Wanted::any([BOB.into()]), &[2]),
        (|it| it.principals = Wanted::any([ANA.into(), BOB.into()]), &[1, 2, 3, 4]),
        (|it| it.principals = Wanted::none([ANA.into()]), &[2]),
        (|it| it.actions = Wanted::any(["Action::\"write\"".into()]), &[2]),
        (|it| it.actions = Wanted::none(["Action::\"write\"".into()]), &[1, 3, 4]),
        (|it| it.resources = Wanted::any(["Doc::\"Doc1\"".into()]), &[3]),
        (|it| it.resources = Wanted::none(["Doc::\"Doc1\"".into()]), &[1, 2, 4]),
        (|it| it.decisions = Wanted::any([Decision::Deny]), &[2, 3]),
        (|it| it.decisions = Wanted::none([Decision::Deny]), &[1, 4]),
        (|it| it.causes = Wanted::any([Cause::NoPermit, Cause::Permitted]), &[1, 3, 4]),
        (|it| it.causes = Wanted::none([Cause::NoPermit]), &[1, 2, 4]),
        (|it| it.policies = Wanted::any(["docs.night".parse().unwrap()]), &[2]),
        (|it| it.policies = Wanted::none(["docs.night".parse().unwrap()]), &[1, 3, 4]),
        (|it| it.grants = Wanted::any(["g2".parse().unwrap()]), &[2]),
        (|it| it.grants = Wanted::none(["g2".parse().unwrap()]), &[1, 3, 4]),
        (|it| it.revisions = Wanted::any([Revision::new(2), Revision::new(1)]), &[1, 2, 3, 4]),
        (|it| it.revisions = Wanted::none([Revision::new(1)]), &[]),
        (|it| it.callers = Wanted::any([KEY.parse().unwrap()]), &[2]),
        (|it| it.ips = Wanted::any(["192.0.2.7".parse().unwrap()]), &[2]),
        (|it| it.traces = Wanted::any([TraceId::new([7; 16])]), &[2]),
        (|it| it.request_ids = Wanted::any(["r-1".parse().unwrap()]), &[2, 4]),
        (|it| it.request_ids = Wanted::none(["r-1".parse().unwrap()]), &[1, 3]),
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
        principals: Wanted { any: vec![ANA.into()], none: vec![BOB.into()] },
        actions: Wanted::any(["Action::\"read\"".into()]),
        resources: Wanted::any(["Doc::\"doc1\"".into(), "Doc::\"Doc1\"".into()]),
        decisions: Wanted::any([Decision::Allow]),
        causes: Wanted::any([Cause::Permitted]),
        request_ids: Wanted::any(["r-1".parse().unwrap()]),
        policies: Wanted::any(["docs.read".parse().unwrap()]),
        grants: Wanted::none(["g2".parse().unwrap()]),
        revisions: Wanted::any([Revision::new(1)]),
        callers: Wanted::none([KEY.parse().unwrap()]),
        ips: Wanted::none(["192.0.2.7".parse().unwrap()]),
        traces: Wanted::none([TraceId::new([7; 16])]),
        since: Some(instant("2026-06-01T00:00:00Z")),
        until: Some(instant("2026-06-04T00:00:00Z")),
    };
    check(&subject, &all, &[4]).await;
    let mut fewer = all.clone();
    fewer.request_ids = Wanted::default();
    check(&subject, &fewer, &[1, 4]).await;
    let mut other = all;
    other.decisions = Wanted::any([Decision::Deny]);
    check(&subject, &other, &[]).await;
}

/// A value nothing has, and an empty stretch of time.
pub async fn fields_that_match_nothing_find_nothing<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let cases: [Choice; 4] = [
        |it| it.principals = Wanted::any(["User::\"Ana\"".into()]),
        |it| it.resources = Wanted::any(["Doc::\"doc1 \"".into()]),
        |it| it.policies = Wanted::any(["none".parse().unwrap()]),
        |it| (it.since, it.until) = (Some(noon()), Some(noon())),
    ];
    for choose in cases {
        check(&subject, &chosen(choose), &[]).await;
    }
}

/// By columns and by records, in stretches that end where days do.
pub async fn decisions_are_counted_by_cause_and_time<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let (day, of_records) = (Span::hours(24), Wanted::any([Revision::new(1)]));
    let base = DecisionFilter { since: Some(instant("2026-06-01T00:00:00Z")), ..DecisionFilter::default() };
    for revisions in [Wanted::default(), of_records] {
        for (principals, expected) in
            [(Wanted::default(), [(1, 0), (0, 2), (1, 0)]), (Wanted::any([ANA.to_owned()]), [(1, 0), (0, 1), (1, 0)])]
        {
            let filter = DecisionFilter { principals, revisions: revisions.clone(), ..base.clone() };
            let tally = tally(subject.store(), &filter, day, 1_000).await.unwrap();
            let midnight = instant("2026-06-01T00:00:00Z");
            let starts: Vec<_> = (0..3).map(|n| midnight.plus(Span::hours(24 * n))).collect();
            assert_eq!(tally.buckets.iter().map(|it| it.start).collect::<Vec<_>>(), starts);
            assert_eq!(tally.buckets.iter().map(|it| (it.allowed, it.denied)).collect::<Vec<_>>(), expected);
            assert_eq!(tally.causes.get(&Cause::Permitted), Some(&2));
            assert_eq!(tally.cut_at, None);
        }
    }
    let resources = Wanted::any(["Doc::\"Doc1\"".to_owned()]);
    let counts = subject.store().count(&DecisionFilter { resources, ..base }, day).await.unwrap();
    let start = instant("2026-06-02T00:00:00Z").micros();
    assert_eq!(counts, [Counted { start, cause: Cause::NoPermit, count: 1 }]);
}

/// Where records must be read, so many are and no more, and it is said up to where.
pub async fn a_count_of_records_is_cut<S: StoreUnderTest>() {
    let subject: S = filled().await;
    let filter = DecisionFilter { revisions: Wanted::any([Revision::new(1)]), ..DecisionFilter::default() };
    let cut = tally(subject.store(), &filter, Span::hours(24), 2).await.unwrap();
    assert_eq!((cut.total(), cut.cut_at), (2, Some(instant("2026-06-02T00:00:00Z"))));
    let found = search(subject.store(), &filter, Page::NewestFirst(None), Reading { limit: 9, rows: 3 }).await.unwrap();
    assert_eq!(found.decisions.len(), 3);
    assert_eq!(found.next.map(|it| it.id.seq), Some(2));
}

/// Sets the fields of a filter.
type Choice = fn(&mut DecisionFilter);

/// The id of a key.
const KEY: &str = "abcdefghij234567";
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
