//! Our `Struct` is the well-known one on the wire, and keeps what that one loses.

use std::collections::BTreeMap;

use magistrate_proto::structure::{Entry, Inexact, Kind, ListValue, Struct, Value};
use prost::Message;
use prost_types::value::Kind as KnownKind;

fn known(kind: KnownKind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

#[track_caller]
fn check(ours: impl Into<Value>, theirs: KnownKind) {
    let ours = Struct::from_iter([("value", ours.into())]);
    let theirs = prost_types::Struct { fields: BTreeMap::from([("value".to_owned(), known(theirs))]) };
    let bytes = ours.encode_to_vec();
    assert_eq!(bytes, theirs.encode_to_vec());
    assert_eq!(Struct::decode(bytes.as_slice()), Ok(ours));
    assert_eq!(prost_types::Struct::decode(bytes.as_slice()), Ok(theirs));
}

#[test]
fn values_are_identical_on_the_wire() {
    check(true, KnownKind::BoolValue(true));
    check(false, KnownKind::BoolValue(false));
    check(-7, KnownKind::NumberValue(-7.0));
    check(0_u32, KnownKind::NumberValue(0.0));
    check("", KnownKind::StringValue(String::new()));
    check("añb", KnownKind::StringValue("añb".to_owned()));
    check(Kind::Null(0), KnownKind::NullValue(0));
    check(
        ListValue::from_iter(["a", "b"]),
        KnownKind::ListValue(prost_types::ListValue {
            values: ["a", "b"].map(|it| known(KnownKind::StringValue(it.to_owned()))).into(),
        }),
    );
    check(
        Struct::from_iter([("a", 1), ("b", 2)]),
        KnownKind::StructValue(prost_types::Struct {
            fields: BTreeMap::from([
                ("a".to_owned(), known(KnownKind::NumberValue(1.0))),
                ("b".to_owned(), known(KnownKind::NumberValue(2.0))),
            ]),
        }),
    );
}

#[test]
fn repeated_key_survives_decoding() {
    let twice = Struct::from_iter([("amount", 1), ("amount", 1_000_000)]);
    let bytes = twice.encode_to_vec();
    assert_eq!(prost_types::Struct::decode(bytes.as_slice()).map(|it| it.fields.len()), Ok(1));
    assert_eq!(Struct::decode(bytes.as_slice()), Ok(twice));
}

#[test]
fn key_without_a_value_survives_decoding() {
    let bare = Struct { fields: vec![Entry { key: "x".to_owned(), value: None }] };
    assert_eq!(Struct::decode(bare.encode_to_vec().as_slice()), Ok(bare));
}

#[test]
fn entities_and_extensions_take_cedars_form() {
    let uid = Struct::from_iter([("type", "Company::User"), ("id", "ana")]);
    assert_eq!(Value::entity("Company::User", "ana"), Struct::from_iter([("__entity", uid)]).into());
    let call = Struct::from_iter([("fn", "ip"), ("arg", "10.0.0.1")]);
    assert_eq!(Value::extension("ip", "10.0.0.1"), Struct::from_iter([("__extn", call)]).into());
}

#[test]
fn whole_numbers_are_exact_or_refused() {
    const EDGE: i64 = Value::LARGEST_WHOLE;
    assert_eq!(Value::whole(EDGE), Ok(Kind::Number(9_007_199_254_740_991.0).into()));
    assert_eq!(Value::whole(-EDGE), Ok(Kind::Number(-9_007_199_254_740_991.0).into()));
    assert_eq!(Value::whole(EDGE + 1), Err(Inexact(EDGE + 1)));
    assert_eq!(Value::whole(-EDGE - 1), Err(Inexact(-EDGE - 1)));
    assert_eq!(Value::whole(i64::MIN), Err(Inexact(i64::MIN)));
}
