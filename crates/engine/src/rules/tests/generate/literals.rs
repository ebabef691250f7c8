//! Values of every kind, as policies write them and as they are stored and sent.

use magistrate_model::{AttributeName, ExtensionFunction, Record, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Text, texts, uid};

/// What an expression is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Long,
    String,
    Entity,
    /// A set of anything but entities, mostly.
    Set,
    /// A set of entities, mostly.
    Entities,
    Record,
    Ip,
    Decimal,
    Datetime,
    Duration,
}

pub(super) const KINDS: [Kind; 11] = [
    Kind::Bool,
    Kind::Long,
    Kind::String,
    Kind::Entity,
    Kind::Set,
    Kind::Entities,
    Kind::Record,
    Kind::Ip,
    Kind::Decimal,
    Kind::Datetime,
    Kind::Duration,
];

/// Attributes by their types.
pub(super) const ATTRIBUTES: [(&str, Kind); 12] = [
    ("n", Kind::Long),
    ("m", Kind::Long),
    ("s", Kind::String),
    ("yes", Kind::Bool),
    ("who", Kind::Entity),
    ("set", Kind::Set),
    ("groups", Kind::Entities),
    ("rec", Kind::Record),
    ("ip", Kind::Ip),
    ("dec", Kind::Decimal),
    ("at", Kind::Datetime),
    ("for", Kind::Duration),
];

/// Numbers whose neighbours, products or negations are none, and where a product begins to be none.
const LONG_ENDS: [&str; 6] = [
    "9223372036854775807",
    "9223372036854775806",
    "(-9223372036854775808)",
    "(-9223372036854775807)",
    "4611686018427387904",
    "3037000500",
];

/// Both ends, the smallest steps, and what lies beyond.
const DECIMAL_ENDS: [&str; 7] = [
    "922337203685477.5807",
    "-922337203685477.5808",
    "922337203685477.5808",
    "-922337203685477.5809",
    "0.0001",
    "-0.0001",
    "1.50",
];

/// All of a family and one of it, with the networks of loopback and multicast and their neighbours; and what is none.
const IP_ENDS: [&str; 20] = [
    "0.0.0.0/0",
    "255.255.255.255/32",
    "126.255.255.255",
    "127.0.0.0/8",
    "127.0.0.0/7",
    "127.255.255.255",
    "128.0.0.0",
    "223.255.255.255",
    "224.0.0.0/4",
    "224.0.0.0/3",
    "239.255.255.255",
    "240.0.0.0",
    "::/0",
    "::1/128",
    "::1/127",
    "ff00::/8",
    "ff00::/7",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "10.0.0.1/33",
    "::ffff:10.0.0.1",
];

/// Before the epoch, with offsets, at the ends of what can be written, at leap days; and what is none.
const DATETIME_ENDS: [&str; 12] = [
    "1970-01-01",
    "1969-12-31T23:59:59.999Z",
    "1969-12-31T00:00:00Z",
    "0000-01-01T00:00:00+2359",
    "0000-01-01",
    "9999-12-31T23:59:59.999-2359",
    "9999-12-31",
    "2024-02-29T12:00:00+0530",
    "2026-01-31T00:00:00-1400",
    "2025-02-29",
    "2026-01-31T00:00:00+2400",
    "2026-01-31T24:00:00Z",
];

/// Both ends, one step, the most whole days; and what lies beyond.
const DURATION_ENDS: [&str; 9] = [
    "9223372036854775807ms",
    "-9223372036854775808ms",
    "9223372036854775808ms",
    "-9223372036854775809ms",
    "106751991167d7h12m55s807ms",
    "-106751991167d7h12m55s808ms",
    "106751991168d",
    "1ms",
    "-1ms",
];

/// What lies at the ends of each type, as it stands in policies.
#[cfg(test)]
pub(crate) fn ends() -> impl Iterator<Item = String> {
    let quoted = [&DECIMAL_ENDS[..], &IP_ENDS, &DATETIME_ENDS, &DURATION_ENDS].into_iter().flatten();
    LONG_ENDS.iter().map(ToString::to_string).chain(quoted.map(|text| format!("\"{text}\"")))
}

/// A call of a constructor with one of some texts.
fn called(function: &'static str, of: &'static [&'static str]) -> Text {
    select(of.to_vec()).prop_map(move |text| format!("{function}(\"{text}\")")).boxed()
}

/// One that is ordinary, or one that is not.
fn ends_of(ordinary: Text, ends: Text) -> Text {
    prop_oneof![1 => ordinary, 1 => ends].boxed()
}

pub(super) fn literal(kind: Kind) -> Text {
    match kind {
        Kind::Bool => texts(&["true", "false"]),
        Kind::Long => prop_oneof![2 => texts(&["0", "1", "2", "3", "(-1)"]), 1 => texts(&LONG_ENDS)].boxed(),
        Kind::String => texts(&[r#""""#, r#""a""#, r#""ab""#, r#""tag""#, r#""b*c""#, r#""a\\b""#, r#""\u{e9}""#]),
        Kind::Entity => uid().boxed(),
        Kind::Set => texts(&[
            "[]",
            "[1, 2]",
            "[2, 3, 1, 1]",
            r#"["a", 1]"#,
            r#"[1, "a", {x: 1}]"#,
            r#"[{x: 1}, "a", 1, 1]"#,
            "[[1], []]",
            "[{x: 1, n: 2}, {n: 2, x: 1}]",
            "[true, [], {}]",
        ]),
        Kind::Entities => texts(&[
            "[]",
            r#"[User::"a", Role::"b"]"#,
            r#"[Role::"b", User::"a"]"#,
            r#"[Group::"a", Group::"b", N::Folder::"a", Scope::"a"]"#,
            r#"[Group::"a", 1]"#,
        ]),
        Kind::Record => texts(&[
            "{}",
            "{x: 1}",
            r#"{x: 1, y: {z: "a"}}"#,
            r#"{y: {z: "a"}, x: 1}"#,
            r"{x: 1, y: {z: 1}}",
            "{x: true, n: 2}",
            r#"{x: [1, "a"], who: User::"a"}"#,
        ]),
        Kind::Ip => ends_of(
            texts(&[r#"ip("10.0.0.1")"#, r#"ip("10.0.0.0/8")"#, r#"ip("::1")"#, r#"ip("nonsense")"#]),
            called("ip", &IP_ENDS),
        ),
        Kind::Decimal => ends_of(
            texts(&[r#"decimal("1.5")"#, r#"decimal("-0.25")"#, r#"decimal("1.23456")"#]),
            called("decimal", &DECIMAL_ENDS),
        ),
        Kind::Datetime => ends_of(
            texts(&[r#"datetime("2026-01-31")"#, r#"datetime("2026-01-31T09:00:00Z")"#, r#"datetime("never")"#]),
            called("datetime", &DATETIME_ENDS),
        ),
        Kind::Duration => ends_of(
            texts(&[r#"duration("1h30m")"#, r#"duration("-1d")"#, r#"duration("x")"#]),
            called("duration", &DURATION_ENDS),
        ),
    }
}

/// A value of an extension type: of some texts, and of those at the ends that are values.
fn extension(
    function: ExtensionFunction,
    ordinary: &'static [&'static str],
    ends: &'static [&'static str],
) -> BoxedStrategy<Value> {
    let is_value = |text: &&str| crate::cedar::extension_value(function, text).is_ok();
    let ends: Vec<&str> = ends.iter().copied().filter(is_value).collect();
    let texts = prop_oneof![3 => select(ordinary.to_vec()), 1 => select(ends)];
    texts.prop_map(move |text| Value::Extension(function, text.into())).boxed()
}

pub(super) fn value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Long => {
            let ends = select(vec![i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 3_037_000_500]);
            prop_oneof![4 => -2..4_i64, 1 => ends].prop_map(Value::Long).boxed()
        }
        Kind::String => {
            select(vec!["", "a", "ab", "tag", "b*c", "a\\b", "é"]).prop_map(|it| Value::String(it.into())).boxed()
        }
        Kind::Entity => uid().prop_map(|it| Value::Entity(it.parse().unwrap())).boxed(),
        Kind::Set => {
            let pair = value(Kind::Long).prop_map(|n| Value::Record([(AttributeName::new("x").unwrap(), n)].into()));
            let item = prop_oneof![
                6 => value(Kind::Long),
                2 => value(Kind::String),
                1 => pair,
                1 => vec(value(Kind::Long), 0..2).prop_map(Value::Set),
            ];
            vec(item, 0..4).prop_map(Value::Set).boxed()
        }
        Kind::Entities => {
            let item = prop_oneof![24 => value(Kind::Entity), 1 => value(Kind::Long)];
            vec(item, 0..4).prop_map(Value::Set).boxed()
        }
        Kind::Record => {
            let flat = record(&[("x", Kind::Long), ("n", Kind::Long), ("s", Kind::String), ("who", Kind::Entity)]);
            let with_inner = |(mut outer, inner): (Record, Option<Record>)| {
                outer.extend(inner.map(|inner| (AttributeName::new("y").unwrap(), Value::Record(inner))));
                Value::Record(outer)
            };
            (flat, proptest::option::of(record(&[("z", Kind::String), ("x", Kind::Long)]))).prop_map(with_inner).boxed()
        }
        Kind::Ip => extension(ExtensionFunction::Ip, &["10.0.0.1", "::1", "192.168.0.0/16"], &IP_ENDS),
        Kind::Decimal => extension(ExtensionFunction::Decimal, &["1.5", "0.0", "-0.25"], &DECIMAL_ENDS),
        Kind::Datetime => {
            extension(ExtensionFunction::Datetime, &["2026-01-31", "2025-01-01T00:00:00Z"], &DATETIME_ENDS)
        }
        Kind::Duration => extension(ExtensionFunction::Duration, &["1h30m", "0ms", "-1d"], &DURATION_ENDS),
    }
}

/// Most of the attributes, most of them of their kinds.
pub(super) fn record(of: &[(&'static str, Kind)]) -> BoxedStrategy<Record> {
    let mostly = |kind| prop_oneof![20 => value(kind), 1 => select(vec![Kind::Bool, Kind::Long, Kind::Entity]).prop_flat_map(value)];
    let fields: Vec<_> =
        of.iter().map(|(name, kind)| (Just(*name), proptest::option::weighted(0.95, mostly(*kind)))).collect();
    let named = |(name, value): (&str, Option<Value>)| Some((AttributeName::new(name).unwrap(), value?));
    fields.prop_map(move |fields| fields.into_iter().filter_map(named).collect()).boxed()
}
