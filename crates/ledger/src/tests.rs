use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_model::{
    ActionUid, AttributeName, Caller, Cause, Channel, Digest, DurabilityClass, EntityData, EntityInput, EntityUid,
    Environment, ExtensionFunction, Facts, GrantInForce, Instant, KnownEntity, Missing, Notice, Query, Question,
    Record, Revision, Span, Value, Verdict,
};
use proptest::prelude::*;

use crate::*;

fn uid(text: &str) -> EntityUid {
    EntityUid::parse_shorthand(text).unwrap()
}

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

/// A question and verdict with something in every field.
pub(crate) fn full(long: i64, text: &str, cause: Cause) -> (Question, Verdict) {
    let record = Record::from([
        (name("a-long-name"), Value::Long(long)),
        (name("z"), Value::String(text.into())),
        (name("set"), Value::Set(vec![Value::Bool(true), Value::Entity(uid("User::ana"))])),
        (name("ip"), Value::Extension(ExtensionFunction::Ip, "10.0.0.1".into())),
        (name("deep"), Value::Record(Record::from([(name("x"), Value::Long(-1))]))),
    ]);
    let order =
        EntityData { uid: uid("Order::o"), attributes: record.clone(), parents: BTreeSet::from([uid("Folder::f")]) };
    let query = Query {
        principal: EntityInput::Reference(uid("User::ana")),
        action: ActionUid::resolve("read", "Company").unwrap(),
        resource: EntityInput::Asserted(order.clone()),
        context: record.clone(),
        environment: Environment::new("10.1.2.3", "agent", [("k", "v")].into_iter()).unwrap(),
        at_least_revision: Some(Revision::new(3)),
        request_id: Some("r-1".parse().unwrap()),
        explain: true,
        caller: Caller { address: Some("127.0.0.1".parse().unwrap()), channel: Channel::Grpc, key: None, trace: None },
    };
    let known = |data| Arc::new(KnownEntity::new(data));
    let facts = Facts {
        instant: Instant::from_micros(1_780_315_200_000_001).unwrap(),
        entities: vec![known(order), known(EntityData::bare(uid("User::ana")))],
        roles: vec![known(EntityData::bare(uid("Role::editor")))],
        direct_roles: BTreeSet::from([uid("Role::editor")]),
        scopes: BTreeMap::from([("orders:read".parse().unwrap(), ActionUid::resolve("orders:read", "").unwrap())]),
        grants: vec![GrantInForce { id: "g".parse().unwrap(), confers: BTreeSet::from([uid("Role::editor")]) }],
        supplied: Some(record),
        missing: (cause == Cause::UnknownEntity).then(|| Missing::Other(uid("User::gone"))),
        next_change: None,
    };
    let notice = Notice { policy_id: "p".parse().unwrap(), name: "n".into(), value: text.into() };
    let verdict = Verdict {
        cause,
        determining: vec!["p".parse().unwrap()],
        errored: vec!["q".parse().unwrap()],
        grants: vec!["g".parse().unwrap()],
        advice: vec![notice.clone()],
        obligations: vec![notice],
        revision: Revision::new(4),
        policy_set_digest: Digest::new([9; 32]),
        valid_until: Some(facts.instant),
        cache_for: Span::ZERO,
        class: DurabilityClass::Disk,
        explanation: None,
    };
    (Question { query, facts }, verdict)
}

fn id(seq: u64) -> DecisionId {
    DecisionId { stream: StreamId::new([7; 16]), seq }
}

fn sealed(seq: u64) -> SealedRecord {
    let (question, verdict) = full(5, "text", Cause::Permitted);
    Draft::decision(&question, &verdict).at(DurabilityClass::Database).seal(id(seq), [1; 16])
}

#[test]
fn decoded_record_is_the_one_encoded() {
    let (question, verdict) = full(5, "text", Cause::Permitted);
    let record = sealed(1);
    let decoded = RecordedDecision::decode(id(1), &record.bytes).unwrap();
    assert_eq!(decoded.record, DecisionRecord::of(&question, &verdict));
    assert_eq!((decoded.leaf, decoded.class), (record.leaf, DurabilityClass::Database));
    assert_eq!(record.index, IndexColumns::of(&decoded.record));
}

#[test]
fn leaf_follows_its_definition() {
    use sha2::{Digest as _, Sha256};
    let record = sealed(3);
    let mut input = vec![0];
    input.extend(b"magistrate/record/1");
    input.extend([7; 16]);
    input.extend(3_u64.to_be_bytes());
    input.extend((record.bytes.len() as u64).to_be_bytes());
    input.extend(&record.bytes);
    assert_eq!(record.leaf.as_bytes()[..], Sha256::digest(&input)[..]);
}

#[test]
fn leaf_depends_on_place_nonce_and_content() {
    let (question, verdict) = full(5, "text", Cause::Permitted);
    let draft = Draft::decision(&question, &verdict);
    let base = sealed(1).leaf;
    assert_ne!(base, sealed(2).leaf);
    assert_ne!(base, draft.clone().at(DurabilityClass::Database).seal(id(1), [2; 16]).leaf);
    assert_ne!(base, draft.at(DurabilityClass::Process).seal(id(1), [1; 16]).leaf);
    let (question, verdict) = full(6, "text", Cause::Permitted);
    assert_ne!(base, Draft::decision(&question, &verdict).at(DurabilityClass::Database).seal(id(1), [1; 16]).leaf);
}

/// The bytes of format version 1 stay what they are: a change here breaks every stored record.
#[test]
fn format_version_1_does_not_change() {
    assert_eq!(sealed(1).leaf.to_string(), "6cb02568bdce40c121bb46d24e990810be5c10cf5849b490d778f29bb0ff434e");
}

#[test]
fn format_version_2_does_not_change() {
    let (mut question, verdict) = full(5, "text", Cause::Permitted);
    question.query.caller.key = Some("abcdefghij234567".parse().unwrap());
    question.query.caller.trace = Some(magistrate_model::TraceId::new([7; 16]));
    let sealed = Draft::decision(&question, &verdict).at(DurabilityClass::Process).seal(id(1), [9; 16]);
    assert_eq!(sealed.leaf.to_string(), "d314e14b828e5abd981709aadcd9cb303cbaf9aa5dbaf22ff7ec944bbedf32fa");
}

/// What version 1 cannot tell is written in version 2, and nothing else is.
#[test]
fn key_and_trace_of_the_caller_are_version_2() {
    let known = |key: bool, trace: bool| {
        let (mut question, verdict) = full(5, "text", Cause::Permitted);
        question.query.caller.key = key.then(|| "abcdefghij234567".parse().unwrap());
        question.query.caller.trace = trace.then(|| magistrate_model::TraceId::new([7; 16]));
        let sealed = Draft::decision(&question, &verdict).at(DurabilityClass::Process).seal(id(1), [9; 16]);
        let decoded = RecordedDecision::decode(id(1), &sealed.bytes).unwrap();
        assert_eq!(decoded.record.query.caller, question.query.caller);
        sealed.bytes[2]
    };
    assert_eq!([known(false, false), known(true, false), known(false, true), known(true, true)], [1, 2, 2, 2]);
}

#[test]
fn any_flipped_bit_is_refused_or_changes_the_record() {
    let record = sealed(1);
    let original = RecordedDecision::decode(id(1), &record.bytes).unwrap();
    for at in 0..record.bytes.len() {
        let mut bytes = record.bytes.clone();
        bytes[at] ^= 1;
        assert_ne!(leaf(id(1).stream, 1, &bytes), record.leaf);
        if let Ok(decoded) = RecordedDecision::decode(id(1), &bytes) {
            assert_ne!(decoded.leaf, original.leaf, "byte {at}");
        }
    }
}

#[test]
fn other_forms_of_the_same_record_are_refused() {
    let record = sealed(1);
    assert!(matches!(RecordedDecision::decode(id(2), &record.bytes), Err(InvalidRecord::Misplaced { .. })));
    let mut longer = record.bytes.clone();
    longer.push(0);
    assert_eq!(RecordedDecision::decode(id(1), &longer), Err(InvalidRecord::NotCanonical));
    // The version written as two bytes (0x18 0x01) instead of one.
    let mut wide = record.bytes.clone();
    assert_eq!(wide[1..3], [0, 1]);
    wide.splice(2..3, [0x18, 0x01]);
    assert_eq!(RecordedDecision::decode(id(1), &wide), Err(InvalidRecord::NotCanonical));
    let mut newer = record.bytes.clone();
    assert_eq!(
        RecordedDecision::decode(id(1), &{
            let mut bytes = newer.clone();
            bytes[2] = 2;
            bytes
        }),
        Err(InvalidRecord::NotCanonical)
    );
    newer[2] = 4;
    assert!(
        matches!(RecordedDecision::decode(id(1), &newer), Err(InvalidRecord::Format(why)) if why.contains("newer"))
    );
}

#[test]
fn record_nested_too_deep_is_refused_and_ends_nothing() {
    let record = sealed(1);
    let at = record.bytes.windows(4).position(|window| window == [0xA1, 0x61, b'x', 0x20]).unwrap();
    let mut deep = record.bytes[..at].to_vec();
    deep.extend([0xA1, 0x61, b'x']);
    deep.extend([0xD9, 0x01, 0x02, 0x81].repeat(100_000));
    deep.push(0xF5);
    deep.extend(&record.bytes[at + 4..]);
    let refused = RecordedDecision::decode(id(1), &deep);
    assert!(matches!(&refused, Err(InvalidRecord::Format(why)) if why.contains("too deep")), "{refused:?}");
}

#[test]
fn decision_id_reads_what_it_writes() {
    let written = id(42).to_string();
    assert_eq!(written, "07070707070707070707070707070707-42");
    assert_eq!(written.parse(), Ok(id(42)));
    for bad in [
        "",
        "07-1",
        "07070707070707070707070707070707-0",
        "07070707070707070707070707070707-01",
        "0707070707070707070707070707070G-1",
        "07070707070707070707070707070707",
    ] {
        assert!(bad.parse::<DecisionId>().is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_survives(long in any::<i64>(), text in "\\PC{0,30}", cause in 0..Cause::ALL.len(), seq in 1_u64.., nonce in any::<[u8; 16]>()) {
        let (question, verdict) = full(long, &text, Cause::ALL[cause]);
        let record = Draft::decision(&question, &verdict).at(DurabilityClass::Process).seal(id(seq), nonce);
        let decoded = RecordedDecision::decode(id(seq), &record.bytes).unwrap();
        prop_assert_eq!(decoded.record, DecisionRecord::of(&question, &verdict));
        prop_assert_eq!(decoded.leaf, record.leaf);
        prop_assert_eq!(SealedRecord::read(id(seq), record.bytes.clone(), None), Ok(record));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _refused = RecordedDecision::decode(id(1), &bytes);
    }
}
