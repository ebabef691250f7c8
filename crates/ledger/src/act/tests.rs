use super::*;
use crate::difference::{Answered, Policies};
use crate::refused::Asked;
use crate::stream::{DecisionId, StreamId};

fn record(act: Act) -> ActRecord {
    let at = Instant::from_micros(1_780_315_200_000_001).unwrap();
    ActRecord { id: ActId([7; 16]), at, actor: "os/mia".parse().unwrap(), act }
}

fn refused(address: Option<&str>, asked: Asked) -> Act {
    Act::Refused(Box::new(RefusedCall {
        cause: "NOT_READY".to_owned(),
        caller: "abcdefghijklmnop".parse().unwrap(),
        address: address.map(|it| it.parse().unwrap()),
        method: "Check".to_owned(),
        asked,
        trace: address.map(|_| magistrate_model::TraceId::new([3; 16])),
        why: "not ready".to_owned(),
    }))
}

fn difference(seq: Option<u64>, asked: Asked, count: u64, second: SecondWay) -> Act {
    let policies =
        |count: u64| Policies { first: (0..count.min(16)).map(|n| format!("p{n}").parse().unwrap()).collect(), count };
    let said = |cause, determining, errored| Answered { cause, determining, errored };
    Act::Difference(Box::new(DifferingDecision {
        decision: seq.map(|seq| DecisionId { stream: StreamId::new([5; 16]), seq }),
        question: Digest::new([6; 32]),
        asked,
        revision: magistrate_model::Revision::new(8),
        policy_set: Digest::new([7; 32]),
        answered: said(magistrate_model::Cause::Permitted, policies(count), policies(0)),
        second,
        says: said(magistrate_model::Cause::NoPermit, policies(0), policies(1)),
    }))
}

fn selection() -> Selection {
    let (principal, since) = (Some("User::\"ana\"".to_owned()), Instant::from_micros(5).ok());
    Selection { principal, resource: None, since, until: None }
}

fn acts() -> Vec<Act> {
    let (first, last) = (Instant::from_micros(3).unwrap(), Instant::from_micros(4).unwrap());
    vec![
        Act::Access { verb: "audit search".to_owned(), query: "--since 7d".to_owned(), records: 9 },
        Act::Enrolment { node: "node-1".to_owned(), key: [9; 32], revoked: false },
        Act::Retention(crate::retention::tests::signed()),
        Act::Refusal { cause: "malformed".to_owned(), source: "10.0.0.1".to_owned(), count: 5, first, last },
        hold(Some(20_001), false),
        hold(None, true),
        refused(Some("::1"), Asked { principal: Some("User::\"a\"".to_owned()), ..Asked::default() }),
        refused(None, Asked::default()),
        Act::UnsignedErasure { of: selection(), reason: "ticket 7".to_owned(), decisions: 2 },
        difference(
            Some(3),
            Asked { principal: Some("User::\"a\"".to_owned()), ..Asked::default() },
            2,
            SecondWay::Authorizer,
        ),
        difference(None, Asked::default(), 40, SecondWay::Authorizer),
        difference(Some(3), Asked::default(), 1, SecondWay::Evaluation),
        Act::Erasure(Box::new(crate::erasure::tests::signed())),
    ]
}

fn hold(last: Option<i64>, released: bool) -> Act {
    Act::Hold { name: "case-7".to_owned(), first: 20_000, last, reason: "asked for".to_owned(), released }
}

#[test]
fn act_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
    for act in acts() {
        let sealed = record(act).seal().unwrap();
        assert_eq!(SealedAct::decode(&sealed.bytes), Ok(sealed.clone()));
        for at in 0..sealed.bytes.len() {
            for bit in 0..8 {
                let mut other = sealed.bytes.clone();
                other[at] ^= 1 << bit;
                assert!(SealedAct::decode(&other).map_or(true, |it| it.leaf != sealed.leaf), "byte {at}");
            }
        }
        let longer = [&sealed.bytes[..], &[0]].concat();
        assert_eq!(SealedAct::decode(&longer), Err(InvalidRecord::NotCanonical));
    }
}

#[test]
fn act_with_a_text_that_is_too_long_is_none() {
    let access = |length| Act::Access { verb: String::new(), query: "x".repeat(length), records: 0 };
    assert!(record(access(LONGEST)).seal().is_ok());
    assert!(matches!(record(access(LONGEST + 1)).seal(), Err(InvalidRecord::Format(_))));
}

#[test]
fn selection_covers_what_fits_every_part_of_it() {
    let at = |micros| Instant::from_micros(micros).unwrap();
    let ana = "User::\"ana\"";
    let until = Selection { until: Some(at(7)), ..selection() };
    for (covered, principal, micros) in
        [(true, ana, 5), (true, ana, 6), (false, ana, 4), (false, ana, 7), (false, "x", 5)]
    {
        assert_eq!(until.covers(principal, "r", at(micros)), covered, "{principal} {micros}");
    }
    let resource = Selection { resource: Some("r".to_owned()), ..Selection::default() };
    assert!(resource.covers(ana, "r", at(0)) && !resource.covers(ana, "q", at(0)));
}

/// The bytes of version 1 stay what they are: a change here breaks every stored log.
#[test]
fn format_version_1_does_not_change() {
    let leaves: Vec<String> = acts().into_iter().map(|act| record(act).seal().unwrap().leaf.short()).collect();
    let expected = [
        "1580a0da18e5",
        "03ffd172ab1f",
        "b7e7f403ef19",
        "7dde18181d25",
        "f3c455509733",
        "cb1224a4730c",
        "6cd05e96d0b1",
        "f18dc107534b",
        "e4bb606e9be0",
        "965918c7a7e1",
        "1f0a663c1d92",
        "5e3e3aae785d",
        "9d28d2c58624",
    ];
    assert_eq!(leaves, expected);
}
