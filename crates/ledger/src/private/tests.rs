use magistrate_model::{Cause, DurabilityClass, EntityInput, EntityUid, Missing, Question, Verdict};
use proptest::prelude::*;

use sha2::Digest as _;

use super::commitment::hmac;
use super::*;
use crate::tests::full;
use crate::{DecisionId, DecisionRecord, Draft, InvalidRecord, RecordedDecision, SealedRecord, StreamId};

const ALL: [&str; 6] =
    ["context.z", "context.deep", "resource.a-long-name", "environment.k", "environment.user_agent", "ip"];

fn id() -> DecisionId {
    DecisionId { stream: StreamId::new([7; 16]), seq: 1 }
}

fn asked() -> (Question, Verdict) {
    full(5, "hidden@example.org", Cause::Permitted)
}

fn sealed_of((question, verdict): &(Question, Verdict), fields: &[&str]) -> SealedRecord {
    let fields = PrivateFields::parse(fields).unwrap();
    Draft::keeping_private(question, verdict, &fields, || [9; 16]).at(DurabilityClass::Process).seal(id(), [1; 16])
}

fn sealed(fields: &[&str]) -> SealedRecord {
    sealed_of(&asked(), fields)
}

fn decoded(record: &SealedRecord) -> RecordedDecision {
    RecordedDecision::decode(id(), &record.bytes).unwrap()
}

fn paths(decision: &RecordedDecision) -> Vec<String> {
    decision.erased.iter().map(ToString::to_string).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// RFC 4231, sections 4.2 and 4.3: keys below 32 bytes are padded with zeros, here as there.
#[test]
fn hmac_is_that_of_the_standard() {
    let key = |text: &[u8]| {
        let mut key = [0; 32];
        key[..text.len()].copy_from_slice(text);
        key
    };
    for (key, data, expected) in [
        (key(&[0x0b; 20]), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            key(b"Jefe"),
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ] {
        assert_eq!(Digest::new(hmac(&key, &[data.as_bytes()])).to_string(), expected);
        let (one, other) = data.as_bytes().split_at(3);
        assert_eq!(Digest::new(hmac(&key, &[one, other])).to_string(), expected, "parts are one message");
    }
}

#[test]
fn private_values_lie_beside_the_record_and_come_back() {
    let record = sealed(&ALL);
    let (question, verdict) = asked();
    // `e`: a text of five bytes in CBOR; paths have the word as well.
    for hidden in ["10.1.2.3", "127.0.0.1", "eagent"] {
        assert!(holds(&sealed(&[]).bytes, hidden), "{hidden}");
        assert!(!holds(&record.bytes, hidden), "{hidden}");
        assert!(holds(record.opening.as_ref().unwrap(), hidden), "{hidden}");
    }
    let closed = decoded(&record);
    assert_eq!(
        paths(&closed),
        [
            "caller.address",
            "context.deep",
            "context.z",
            "entities_digest",
            "environment.attributes.k",
            "environment.source_ip",
            "environment.user_agent",
            "facts.ip",
            "resource.a-long-name",
        ]
    );
    assert_eq!(closed.record.entities_digest, Digest::ZERO);
    let opened = closed.open(record.opening.as_ref().unwrap()).unwrap();
    assert!(opened.erased.is_empty());
    let expected = DecisionRecord { private: opened.record.private.clone(), ..DecisionRecord::of(&question, &verdict) };
    assert_eq!(opened.record, expected);
    assert_eq!((opened.leaf, opened.record.private.len()), (record.leaf, 9));
}

/// What is not there needs no commitment, and what needs none is written as before.
#[test]
fn record_without_private_values_is_what_it_was() {
    let plain = sealed(&[]);
    assert_eq!(plain.opening, None);
    assert_eq!(sealed(&["context.absent", "principal.phone", "environment.absent"]), plain);
    assert_eq!((plain.bytes[2], sealed(&ALL).bytes[2]), (1, 3));
}

/// The bytes of format version 3 stay what they are: a change here breaks every stored record, and its opening.
#[test]
fn format_version_3_does_not_change() {
    let record = sealed(&ALL);
    assert_eq!(record.leaf.to_string(), "c71d529b1f85cf16faa8454f3311e2d4f5cc331ad1302e18d2f5546cf9c905db");
    assert_eq!(Digest::new(sha2::Sha256::digest(record.opening.unwrap()).into()).short(), "7300bb31fa2b");
}

/// The digest over entities and the name of one that is not there would tell a value to whoever tries.
#[test]
fn what_would_tell_a_value_goes_with_it() {
    let (mut question, verdict) = asked();
    // What a private value names may lead to it: whoever looks for what refers to it finds that.
    let gone: EntityUid = EntityUid::parse_shorthand("Team::gone").unwrap();
    question.facts.missing = Some(Missing::Other(gone));
    let of = |fields: &[&str]| paths(&decoded(&sealed_of(&(question.clone(), verdict.clone()), fields)));
    assert_eq!(of(&["context.z"]), ["context.z"]);
    assert_eq!(of(&["context.set"]), ["context.set", "entities_digest", "missing"]);
    assert_eq!(of(&["resource.z"]), ["entities_digest", "missing", "resource.z"]);
    let record = sealed_of(&(question.clone(), verdict.clone()), &["context.set"]);
    let opened = decoded(&record).open(&record.opening.unwrap()).unwrap();
    assert_eq!(opened.record.missing, question.facts.missing);
}

/// With its salt gone a commitment says nothing: the same value under another salt has another one.
#[test]
fn equal_values_have_unequal_commitments() {
    let (question, verdict) = asked();
    let fields = PrivateFields::parse(&["ip"]).unwrap();
    let next = std::cell::Cell::new(0_u8);
    let nonce = || {
        next.set(next.get() + 1);
        [next.get(); 16]
    };
    let record = Draft::keeping_private(&question, &verdict, &fields, nonce).seal(id(), [1; 16]);
    let opened = OpenedValues::decode(&record.opening.clone().unwrap()).unwrap();
    let mut salts: Vec<_> = opened.all().iter().map(|it| it.salt).collect();
    salts.dedup();
    assert_eq!(salts.len(), 3, "a salt for each value");
    let commitments = |record: &SealedRecord| decoded(record).record.private;
    let (one, other) = (commitments(&record), commitments(&sealed(&["ip"])));
    assert!(one.iter().zip(&other).all(|(one, other)| one.path == other.path && one.commitment != other.commitment));
}

#[test]
fn opening_of_something_else_does_not_fit() {
    let record = sealed(&ALL);
    let opening = record.opening.clone().unwrap();
    for at in 0..opening.len() {
        let mut other = opening.clone();
        other[at] ^= 1;
        assert!(decoded(&record).open(&other).is_err(), "byte {at}");
    }
    let fewer = sealed(&ALL[..2]).opening.unwrap();
    assert_eq!(decoded(&record).open(&fewer), Err(InvalidOpening::OtherPaths));
    assert_eq!(decoded(&sealed(&[])).open(&opening), Err(InvalidOpening::OtherPaths));
    let longer = [&opening[..], &[0]].concat();
    assert!(matches!(decoded(&record).open(&longer), Err(InvalidOpening::Format(_))));
    let (mut question, verdict) = asked();
    question.query.environment.user_agent = Some("another".into());
    let another = sealed_of(&(question, verdict), &ALL).opening.unwrap();
    assert_eq!(decoded(&record).open(&another), Err(InvalidOpening::OtherValue(PrivatePath::UserAgent)));
}

#[test]
fn value_beside_its_commitment_is_no_record() {
    let record = sealed(&["environment.user_agent"]);
    // The place of the agent: `null` between the address and the attributes.
    let agent = [0x68, b'1', b'0', b'.', b'1', b'.', b'2', b'.', b'3', 0xf6];
    let at = record.bytes.windows(agent.len()).position(|window| window == agent).unwrap() + agent.len() - 1;
    let mut beside = record.bytes.clone();
    beside.splice(at..=at, [0x61, b'x']);
    let refused = RecordedDecision::decode(id(), &beside).unwrap_err();
    assert!(matches!(&refused, InvalidRecord::Format(why) if why.contains("beside the commitment")), "{refused}");
}

#[test]
fn any_flipped_bit_of_a_record_with_commitments_is_seen() {
    let record = sealed(&ALL);
    for at in 0..record.bytes.len() {
        let mut bytes = record.bytes.clone();
        bytes[at] ^= 1;
        if let Ok(other) = RecordedDecision::decode(id(), &bytes) {
            assert_ne!(other.leaf, record.leaf, "byte {at}");
        }
    }
}

#[test]
fn fields_that_cannot_be_private_are_refused_with_those_that_can() {
    assert!(PrivateFields::parse::<&str>(&[]).unwrap().is_empty());
    assert!(!PrivateFields::parse(&["ip"]).unwrap().is_empty());
    assert_eq!(PrivateFields::parse(&ALL).unwrap().to_string(), ALL.join(", "));
    for bad in [
        "",
        "context",
        "context.",
        "context.a.b",
        "context.facts",
        "principal",
        "principal.id.x",
        "action",
        "request_id",
        "caller.address",
        "facts.ip",
        "environment.source_ip",
        "environment.attributes.k",
        "Ip",
        "context.\u{7}",
    ] {
        let refused = PrivateFields::parse(&["ip", bad]).unwrap_err().to_string();
        assert!(refused.contains("context.NAME") && refused.contains("`ip`"), "{bad}: {refused}");
    }
}

#[test]
fn paths_are_read_as_they_are_written() {
    for text in paths(&decoded(&sealed(&ALL))).iter().map(String::as_str).chain(["missing", "principal.phone"]) {
        assert_eq!(text.parse::<PrivatePath>().unwrap().to_string(), text);
    }
    for bad in ["", "context", "facts.now", "caller.key", "environment.k", "missing.x"] {
        assert!(bad.parse::<PrivatePath>().is_err(), "{bad}");
    }
}

#[test]
fn neither_salt_nor_value_is_told_for_debugging() {
    let opened = OpenedValues::decode(&sealed(&ALL).opening.unwrap()).unwrap();
    let told = format!("{opened:?}");
    assert!(told.contains("UserAgent") && !told.contains("agent") && !told.contains("10.1.2.3"), "{told}");
}

/// Encoded openings are held by records on their way, and by rows; of those only the length is told.
#[test]
fn records_tell_no_opening_for_debugging() {
    let sealed = sealed(&ALL);
    let opening = sealed.opening.clone().unwrap();
    let (question, verdict) = asked();
    let fields = PrivateFields::parse(&ALL).unwrap();
    let draft = Draft::keeping_private(&question, &verdict, &fields, || [9; 16]);
    let placed = draft.place(id(), [1; 16]);
    assert_eq!(placed.opening.as_ref(), Some(&opening));
    let stored = crate::StoredDecision {
        day: 0,
        stream: Vec::new(),
        seq: 1,
        leaf: Vec::new(),
        recorded_at: 0,
        class: String::new(),
        principal: String::new(),
        action: String::new(),
        resource: String::new(),
        decision: String::new(),
        cause: String::new(),
        request_id: None,
        body: Vec::new(),
        opening: Some(opening.clone()),
    };
    let beginning = format!("{:?}", &opening[..8]);
    let beginning = beginning.trim_end_matches(']');
    for told in [format!("{draft:?}"), format!("{placed:?}"), format!("{sealed:?}"), format!("{stored:?}")] {
        assert!(told.contains(&format!("{} bytes", opening.len())) && !told.contains(beginning), "{told}");
    }
}

#[test]
fn parties_that_are_references_have_no_private_values() {
    let (mut question, verdict) = asked();
    question.query.resource = EntityInput::Reference(question.query.resource.uid().clone());
    assert_eq!(sealed_of(&(question, verdict), &["resource.z"]).opening, None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_private_value_survives(long in any::<i64>(), text in "\\PC{0,30}", chosen in prop::sample::subsequence(&ALL[..], 0..=ALL.len())) {
        let asked = full(long, &text, Cause::Permitted);
        let record = sealed_of(&asked, &chosen);
        let closed = decoded(&record);
        let opened = match &record.opening {
            Some(opening) => closed.open(opening).unwrap(),
            None => closed,
        };
        let private = opened.record.private.clone();
        prop_assert_eq!(opened.record, DecisionRecord { private, ..DecisionRecord::of(&asked.0, &asked.1) });
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _refused = OpenedValues::decode(&bytes);
    }
}
