//! Structs to records.

use magistrate_model::{AttributeName, EntityUid, ExtensionFunction, InvalidText, Record, Value};
use magistrate_proto::structure::{self as wire, Entry, Kind, ListValue, Struct};

use crate::finding::{Findings, Path};
use crate::tests::lines;
use crate::value::bounded_record;

fn parse(wire: &Struct) -> Result<Record, Vec<String>> {
    let mut findings = Findings::default();
    let record = bounded_record(wire, Path::root("context"), &mut findings);
    findings.settle(record).map_err(|malformed| lines(&malformed))
}

fn one(value: impl Into<wire::Value>) -> Struct {
    Struct::from_iter([("x", value.into())])
}

#[track_caller]
fn accepts(value: impl Into<wire::Value>, expected: Value) {
    let record = AttributeName::new("x").map(|name| Record::from([(name, expected)]));
    assert_eq!(Ok::<_, InvalidText>(parse(&one(value))), record.map(Ok));
}

#[track_caller]
fn refuses(value: impl Into<wire::Value>, expected: &str) {
    assert_eq!(parse(&one(value)), Err(vec![expected.to_owned()]));
}

fn number(number: f64) -> wire::Value {
    Kind::Number(number).into()
}

#[test]
fn booleans_and_strings_pass() {
    accepts(true, Value::Bool(true));
    accepts("a\u{202E}b", Value::String("a\u{202E}b".into()));
    accepts("", Value::String("".into()));
}

#[test]
fn whole_numbers_within_two_to_the_53_pass() {
    accepts(number(-0.0), Value::Long(0));
    accepts(number(9_007_199_254_740_991.0), Value::Long(9_007_199_254_740_991));
    accepts(number(-9_007_199_254_740_991.0), Value::Long(-9_007_199_254_740_991));
    let beyond = "context.x: lies beyond 2^53 - 1, where the wire loses digits; send it as a string";
    refuses(number(9_007_199_254_740_992.0), beyond);
    refuses(number(-9_007_199_254_740_992.0), beyond);
    refuses(number(1e300), beyond);
    refuses(number(1.5), "context.x: is 1.5, which is not whole; send a decimal as the string \"1.5\"");
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refuses(number(strange), "context.x: is not a finite number");
    }
}

#[test]
fn null_and_nothing_are_refused() {
    refuses(Kind::Null(0), "context.x: is null; leave an absent attribute out");
    refuses(wire::Value::default(), "context.x: has no value; leave an absent attribute out");
    let bare = Struct { fields: vec![Entry { key: "x".to_owned(), value: None }] };
    let expected = "context.x: has no value; leave an absent attribute out".to_owned();
    assert_eq!(parse(&bare), Err(vec![expected]));
}

#[test]
fn lists_and_records_pass_and_name_the_place_of_what_is_wrong() {
    accepts(ListValue::from_iter([1, 2]), Value::Set(vec![Value::Long(1), Value::Long(2)]));
    accepts(Struct::default(), Value::Record(Record::new()));
    accepts(ListValue::default(), Value::Set(Vec::new()));
    let deep = Struct::from_iter([("amounts", ListValue::from_iter([number(1.0), number(0.5)]))]);
    refuses(deep, "context.x.amounts[1]: is 0.5, which is not whole; send a decimal as the string \"0.5\"");
}

#[test]
fn repeated_keys_are_refused_at_any_level() {
    let twice = || Struct::from_iter([("a", 1), ("b", 2), ("a", 1)]);
    assert_eq!(parse(&twice()), Err(vec!["context.a: stands twice; send each key once".to_owned()]));
    refuses(twice(), "context.x.a: stands twice; send each key once");
    refuses(ListValue::from_iter([twice()]), "context.x[0].a: stands twice; send each key once");
}

#[test]
fn entities_are_escaped_as_in_cedars_json() {
    let uid = EntityUid::from_parts("Company::User", "ana");
    assert_eq!(uid.map(|uid| accepts(wire::Value::entity("Company::User", "ana"), Value::Entity(uid))), Ok(()));
    let incomplete = "context.x: must give `type` and `id` in `__entity`, both strings, and nothing else";
    for inner in [
        Struct::from_iter([("type", "Company::User")]),
        Struct::from_iter([("type", "A"), ("id", "a"), ("id", "b")]),
        Struct::from_iter([("type", "A"), ("name", "a")]),
    ] {
        refuses(Struct::from_iter([("__entity", inner)]), incomplete);
    }
    refuses(Struct::from_iter([("__entity", "Company::User::\"ana\"")]), incomplete);
    refuses(
        Struct::from_iter([("__entity", Struct::from_iter([("type", wire::Value::from("A")), ("id", 1.into())]))]),
        incomplete,
    );
    refuses(
        wire::Value::entity("no type", "a"),
        "context.x: `no type` is not an entity type: `no type` is not an identifier; write identifiers joined by \
         `::`, such as `Company::User`",
    );
    refuses(
        wire::Value::entity("A", "a\u{202E}"),
        "context.x: the id of a `A` is not accepted: it contains the direction character U+202E at byte 1; remove it",
    );
}

#[test]
fn escape_beside_another_key_is_a_record() {
    let uid = Struct::from_iter([("type", "A"), ("id", "a")]);
    let record = Struct::from_iter([("__entity", wire::Value::from(uid)), ("y", 1.into())]);
    let parsed = parse(&record).map(|record| record.values().map(Value::kind).collect::<Vec<_>>());
    assert_eq!(parsed, Ok(vec!["a record", "an integer"]));
}

#[test]
fn extensions_are_escaped_as_in_cedars_json() {
    for function in ExtensionFunction::ALL {
        accepts(wire::Value::extension(function.name(), "1"), Value::Extension(function, "1".into()));
    }
    refuses(
        wire::Value::extension("eval", "1"),
        "context.x: calls `eval`; write `ip`, `decimal`, `datetime` or `duration`",
    );
    refuses(
        Struct::from_iter([("__extn", Struct::from_iter([("fn", "ip")]))]),
        "context.x: must give `fn` and `arg` in `__extn`, both strings, and nothing else",
    );
}

#[test]
fn names_keep_the_character_rules() {
    let named = |name: &str| parse(&Struct::from_iter([(name, 1)])).map(|record| record.len());
    assert_eq!(named("größe"), Ok(1));
    assert_eq!(named(""), Err(vec!["context.: has a name that is not accepted: it is empty".to_owned()]));
    assert_eq!(
        named("a\0"),
        Err(vec![
            "context.a\\0: has a name that is not accepted: it contains the control character U+0000 at byte 1; \
             remove it"
                .to_owned()
        ])
    );
}

fn nested(levels: usize) -> Struct {
    (1..levels).fold(one(1), |inner, _| one(inner))
}

#[test]
fn eight_levels_pass_and_nine_do_not() {
    assert!(parse(&nested(8)).is_ok());
    let place = format!("context{}", ".x".repeat(8));
    let expected = format!("{place}: nests more than 8 levels deep; flatten it");
    assert_eq!(parse(&nested(9)), Err(vec![expected.clone()]));
    assert_eq!(parse(&nested(90)), Err(vec![expected]));
    let lists = (0..90).fold(wire::Value::from(1), |inner, _| ListValue::from_iter([inner]).into());
    let place = format!("context.x{}", "[0]".repeat(7));
    refuses(lists, &format!("{place}: nests more than 8 levels deep; flatten it"));
}

#[test]
fn sixteen_kibibytes_pass_and_more_do_not() {
    // A name of one byte counts 3, a string 2 more than its length.
    let limit = 16 * 1024 - 5;
    assert!(parse(&one("a".repeat(limit))).is_ok());
    refuses(
        "a".repeat(limit + 1),
        "context: it holds 16385 bytes; the limit is 16384: send ids and let policies read stored attributes",
    );
}

#[test]
fn only_the_first_findings_are_kept() {
    let many = (0..100_000).map(|n| (n.to_string(), Kind::Null(0)));
    let found = parse(&many.collect()).map_err(|lines| lines.len());
    assert_eq!(found, Err(Findings::LIMIT));
}
