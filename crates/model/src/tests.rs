use proptest::prelude::*;

use crate::json::{self, InvalidJson};
use crate::*;

#[test]
fn uid_reads_what_it_writes() {
    for text in [r#"User::"ana""#, r#"Company::Sub::User::"a \"quoted\" \\ id""#, r#"User::"ümlaut and space ""#] {
        let uid: EntityUid = text.parse().unwrap();
        assert_eq!(uid.to_string(), text);
        assert_eq!(uid.to_string().parse::<EntityUid>().unwrap(), uid);
    }
    assert_eq!(r#"User::"\u{e4}\'""#.parse::<EntityUid>().unwrap().id().as_str(), "ä'");
    assert_eq!(EntityUid::parse_shorthand("Company::User::ana").unwrap(), r#"Company::User::"ana""#.parse().unwrap());
}

#[test]
fn uid_refuses_what_hides_or_does_not_fit() {
    let refused = |text: &str, says: &str| {
        let error = text.parse::<EntityUid>().unwrap_err().to_string();
        assert!(error.contains(says), "{text:?}: {error}");
    };
    refused("User", "no `::\"`");
    refused(r#"User::"open"#, "closing quote");
    refused(r#"User::"a"b""#, "bare quote");
    refused(r#"User::"\q""#, "unknown escape");
    refused(r#"9User::"a""#, "not an identifier");
    refused(r#"User::"""#, "empty");
    refused("User::\"a\0b\"", "control character U+0000");
    refused("User::\"a\nb\"", "control character U+000A");
    refused("User::\"a\u{202E}b\"", "direction character U+202E");
    refused("User::\"a\u{200B}b\"", "separator character U+200B");
    refused(&format!("User::\"{}\"", "x".repeat(257)), "257 bytes long; the limit is 256");
    assert!(format!("User::\"{}\"", "x".repeat(256)).parse::<EntityUid>().is_ok());
}

#[test]
fn bare_action_belongs_to_the_default_namespace() {
    let resolved = |text: &str, namespace: &str| ActionUid::resolve(text, namespace).map(|action| action.to_string());
    assert_eq!(resolved("read", "Company").unwrap(), r#"Company::Action::"read""#);
    assert_eq!(resolved("read", "").unwrap(), r#"Action::"read""#);
    assert_eq!(resolved(r#"Other::Action::"read""#, "Company").unwrap(), r#"Other::Action::"read""#);
    assert!(matches!(resolved(r#"User::"ana""#, ""), Err(InvalidUid::NotAnAction { .. })));
    assert!(resolved("Company::read", "").is_err());
}

#[test]
fn wildcard_stands_for_a_whole_segment() {
    let covers = |pattern: &str, scope: &str| {
        pattern.parse::<ScopePattern>().unwrap().covers(&scope.parse::<ScopeName>().unwrap())
    };
    for (pattern, scope, expected) in [
        ("orders:read", "orders:read", true),
        ("orders:read", "orders:write", false),
        ("orders:*", "orders:write", true),
        ("orders:*", "payments:write", false),
        ("*:read", "payments:read", true),
        ("*:*", "payments:read", true),
    ] {
        assert_eq!(covers(pattern, scope), expected, "{pattern} {scope}");
    }
    for bad in ["orders", "orders:re*d", "Orders:read", "orders:read:all", ":read", "orders:", "", "a b:c"] {
        assert!(bad.parse::<ScopePattern>().is_err(), "{bad}");
    }
    assert!(matches!("orders:*".parse::<ScopeName>(), Err(InvalidScope::Wildcard(_))));
}

#[test]
fn instants_are_exact_to_the_microsecond() {
    let at: Instant = "2026-06-01T12:00:00.000001Z".parse().unwrap();
    assert_eq!(at.to_string(), "2026-06-01T12:00:00.000001Z");
    assert_eq!(at.cedar_datetime(), "2026-06-01T12:00:00.000Z");
    assert_eq!(Instant::parse("+2h", at).unwrap().since(at), Span::hours(2));
    assert_eq!(at.since(Instant::parse("-1d", at).unwrap()), Span::hours(24));
    assert_eq!("2026-06-01T14:00:00+02:00".parse::<Instant>().unwrap().to_string(), "2026-06-01T12:00:00Z");
    for bad in ["tomorrow", "+2", "+h", "2026-06-01", "+99999999999999d", "+-2h", ""] {
        assert!(Instant::parse(bad, at).is_err(), "{bad}");
    }
    assert_eq!(Instant::from_micros(-1).unwrap().day(), -1, "the last microsecond before the epoch is the day before");
}

#[test]
fn term_is_half_open() {
    let at = |micros| Instant::from_micros(micros).unwrap();
    let term = Term::until(Some(at(10)), at(20)).unwrap();
    let states: Vec<bool> = [9, 10, 19, 20].map(|now| term.in_force(at(now))).into();
    assert_eq!(states, [false, true, true, false]);
    assert_eq!(
        [9, 10, 19, 20].map(|now| term.next_change(at(now)).map(Instant::micros)),
        [Some(10), Some(20), Some(20), None]
    );
    assert!(Term::until(Some(at(20)), at(20)).is_err());
}

#[test]
fn repeated_key_is_refused_at_any_depth() {
    for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"c":1,"c":2}}]"#] {
        assert!(matches!(json::parse(text), Err(InvalidJson::Syntax(why)) if why.contains("stands twice")), "{text}");
    }
}

#[test]
fn json_that_is_no_value_is_refused_with_its_path() {
    let refused = |text: &str, path: &str, says: &str| {
        let error = json::record_from(&json::parse(text).unwrap(), "context").unwrap_err();
        let InvalidJson::Value { path: found, why } = &error else { panic!("{error}") };
        assert!(found == path && why.contains(says), "{text}: {error}");
    };
    refused(r#"{"a":1.5}"#, "context.a", "whole");
    refused(r#"{"a":{"b":[1,null]}}"#, "context.a.b[1]", "null");
    refused(r#"{"a":9223372036854775808}"#, "context.a", "64 bits");
    refused(r#"{"a":{"__entity":{"type":"User"}}}"#, "context.a", "`type` and `id`");
    refused(r#"{"a":{"__extn":{"fn":"exec","arg":"x"}}}"#, "context.a", "`fn`");
    refused("[]", "context", "object");
}

#[test]
fn bounds_count_bytes_and_levels() {
    let nested = |levels: usize| {
        let text = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        json::record_from(&json::parse(&text).unwrap(), "context").unwrap()
    };
    assert_eq!(Bounds::REQUEST.check("the context", &nested(8)), Ok(()));
    assert!(matches!(Bounds::REQUEST.check("the context", &nested(9)), Err(OutOfBounds::Deep { depth: 9, .. })));
    let long =
        |bytes: usize| Record::from([(AttributeName::new("a").unwrap(), Value::String("x".repeat(bytes).into()))]);
    assert_eq!(Bounds::REQUEST.check("the context", &long(16 * 1024 - 5)), Ok(()));
    assert!(matches!(Bounds::REQUEST.check("the context", &long(16 * 1024)), Err(OutOfBounds::Large { .. })));
}

#[test]
fn only_this_machine_may_assert() {
    let caller = |address: Option<&str>| Caller {
        address: address.map(|it| it.parse().unwrap()),
        channel: Channel::Grpc,
        key: None,
        trace: None,
    };
    assert!(caller(None).may_assert());
    assert!(caller(Some("127.0.0.1")).may_assert());
    assert!(caller(Some("::1")).may_assert());
    assert!(caller(Some("::ffff:127.0.0.1")).may_assert());
    assert!(!caller(Some("10.0.0.1")).may_assert());
    assert!(!caller(Some("::ffff:10.0.0.1")).may_assert());
}

#[test]
fn only_a_permit_is_an_allow() {
    for cause in Cause::ALL {
        assert_eq!(cause.decision() == Decision::Allow, cause == Cause::Permitted);
        assert_eq!(Cause::named(cause.name()), Some(cause));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_accepted_id_survives_its_notation(id in "\\PC{1,40}") {
        if let Ok(uid) = EntityUid::from_parts("A::B", &id) {
            prop_assert_eq!(uid.to_string().parse::<EntityUid>().unwrap(), uid);
        }
    }

    #[test]
    fn any_value_survives_json(long in any::<i64>(), text in "\\PC{0,20}", flag in any::<bool>()) {
        let uid = EntityUid::from_parts("User", "ana").unwrap();
        let set = Value::Set(vec![Value::Long(long), Value::Entity(uid), Value::Extension(ExtensionFunction::Ip, "::1".into())]);
        let inner = Record::from([(AttributeName::new("b").unwrap(), Value::Bool(flag))]);
        let record = Record::from([
            (AttributeName::new("set").unwrap(), set),
            (AttributeName::new("text").unwrap(), Value::String(text.into())),
            (AttributeName::new("record").unwrap(), Value::Record(inner)),
        ]);
        let read = json::record_from(&json::parse(&json::record(&record).to_string()).unwrap(), "context");
        prop_assert_eq!(read.unwrap(), record);
    }
}

/// A grant of texts that lie elsewhere is the same grant, and is refused where the grant is.
#[test]
fn grant_by_reference_is_the_grant() {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let role = |resource| Conferred::Role { role: uid("R::\"r\""), resource };
    let term = Term::standing(None);
    for conferred in [role(None), role(Some(uid("D::\"é\""))), Conferred::Scope("orders:*".parse().unwrap())] {
        let grant = Grant::new("g".parse().unwrap(), uid("U::\"u\""), conferred, term, "why").unwrap();
        assert_eq!(grant.borrowed().to_grant(), grant);
    }
    let (of, hidden, long) = (TypeName::new("U").unwrap(), "a\u{202e}", "x".repeat(501));
    let id = |id| UidRef::new(&of, id).map(UidRef::to_uid);
    for text in ["a", "é", "", hidden, "\n", &"x".repeat(257)] {
        assert_eq!(id(text), EntityUid::from_parts("U", text));
    }
    let holder = UidRef::new(&of, "u").unwrap();
    for (grant_id, reason) in [("g", "why"), ("", "why"), (hidden, "why"), ("g", ""), ("g", hidden), ("g", &long)] {
        let conferred = ConferredRef::Role { role: holder, resource: None };
        let by_reference = GrantRef::new(grant_id, holder, conferred, term, reason).map(|grant| grant.to_grant());
        let conferred = Conferred::Role { role: holder.to_uid(), resource: None };
        let grant = grant_id.parse().and_then(|id| Grant::new(id, holder.to_uid(), conferred, term, reason));
        assert_eq!(by_reference, grant, "{grant_id:?} {reason:?}");
    }
}

/// Whatever features other crates turn on: databases compare these texts, and digests are over them.
#[test]
fn json_has_one_text() {
    let check = |json: serde_json::Value, expected: &str| assert_eq!(json.to_string(), expected);
    let uid = |text: &str| EntityUid::parse_shorthand(text).unwrap();
    let attributes = r#"{"z":{"__entity":{"type":"T","id":"x"}},"a":[{"__extn":{"fn":"ip","arg":"10.0.0.1"}}],"m":{"z":1,"b":true}}"#;
    let entity = EntityData {
        uid: uid("T::a"),
        attributes: json::record_from(&json::parse(attributes).unwrap(), "").unwrap(),
        parents: [uid("T::p"), uid("S::q")].into(),
    };
    check(
        json::entity(&entity),
        r#"{"attributes":{"a":[{"__extn":{"arg":"10.0.0.1","fn":"ip"}}],"m":{"b":true,"z":1},"z":{"__entity":{"id":"x","type":"T"}}},"parents":[{"id":"q","type":"S"},{"id":"p","type":"T"}],"uid":{"id":"a","type":"T"}}"#,
    );
    let role = Conferred::Role { role: uid("R::r"), resource: Some(uid("T::a")) };
    let grant = |conferred, term| Grant::new("g".parse().unwrap(), uid("U::u"), conferred, term, "why").unwrap();
    let (begin, end) = (Instant::EPOCH, Instant::EPOCH.plus(Span::seconds(1)));
    check(
        json::grant(&grant(role, Term::until(Some(begin), end).unwrap())),
        r#"{"expires_at":"1970-01-01T00:00:01Z","holder":{"id":"u","type":"U"},"id":"g","not_before":"1970-01-01T00:00:00Z","reason":"why","resource":{"id":"a","type":"T"},"role":{"id":"r","type":"R"}}"#,
    );
    let scope = Conferred::Scope("a:*".parse().unwrap());
    check(
        json::grant(&grant(scope, Term::standing(None))),
        r#"{"holder":{"id":"u","type":"U"},"id":"g","reason":"why","scope":"a:*","standing":true}"#,
    );
}
