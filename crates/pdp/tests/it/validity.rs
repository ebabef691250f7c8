//! Until when an answer stands: nothing but time passes, and before that it is the same.

use magistrate_model::{Instant, Span};
use magistrate_testkit::{World, instant};
use proptest::prelude::*;

const SCHEMA: &str = r#"
@source("role") entity Role;
@source("stored") entity User in [Role];
@source("stored") entity Doc;
action read appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
"#;

/// Minutes after the world's time, in whole and odd parts of seconds.
fn minute(n: i64) -> String {
    let at = instant("2026-06-01T12:00:00Z").plus(Span::from_micros(n * 60_000_000 + n * 1_000));
    format!("datetime(\"{}\")", at.cedar_datetime())
}

fn comparison() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let plain = (operator, -5_i64..60, any::<bool>()).prop_map(|(operator, at, turned)| match turned {
        false => format!("context.facts.now {operator} {}", minute(at)),
        true => format!("{} {operator} context.facts.now", minute(at)),
    });
    prop_oneof![
        12 => plain,
        1 => Just("context.facts.now.toTime() < duration(\"12h20m\")".to_owned()),
        1 => Just("context.facts.snapshot_age_s < 5".to_owned()),
        2 => Just("context.facts.channel == \"local\"".to_owned()),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let scope = prop::sample::select(vec!["principal", "principal in Role::\"r\"", "principal == User::\"other\""]);
    let parts = (any::<bool>(), scope, comparison(), comparison(), prop::sample::select(vec!["&&", "||"]));
    parts.prop_map(|(permits, scope, one, other, with)| {
        // A forbid that tests a role would take access away.
        let (effect, scope) = if permits { ("permit", scope) } else { ("forbid", "principal") };
        format!("{effect} ({scope}, action, resource) when {{ {one} {with} !({other}) }};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answer_stands_until_it_says(
        policies in prop::collection::vec(policy(), 1..4),
        term in (-10_i64..40, 1_i64..50),
        later in prop::collection::vec(0_i64..4_000_000_000, 12),
    ) {
        let numbered: Vec<_> = policies.iter().enumerate().map(|(n, text)| format!("@id(\"p{n}\") {text}")).collect();
        let (begin, length) = term;
        let end = begin + length;
        let at = |n: i64| instant("2026-06-01T12:00:00Z").plus(Span::from_micros(n * 60_000_000));
        prop_assume!(end > 0);
        let world = World::of(SCHEMA, &numbered.join("\n"))
            .with("roles", "{\"role\":\"r\"}")
            .with("entities", "{\"uid\":\"User::\\\"u\\\"\"}\n{\"uid\":\"Doc::\\\"d\\\"\"}")
            .with("grants", &format!(
                "{{\"id\":\"g\",\"holder\":\"User::\\\"u\\\"\",\"role\":\"r\",\"not_before\":\"{}\",\"expires_at\":\"{}\",\"reason\":\"x\"}}",
                at(begin), at(end)
            ));
        let asked = |now: Instant| world.clone().at(now).ask("User::u", "read", "Doc::d").verdict();
        let first = asked(world.now());
        let until = first.valid_until;
        let boundary = until.into_iter().flat_map(|until| [-1, 0].map(|by| until.plus(Span::from_micros(by))));
        for then in later.iter().map(|by| world.now().plus(Span::from_micros(*by))).chain(boundary) {
            if then >= world.now() && until.is_none_or(|until| then < until) {
                let second = asked(then);
                prop_assert!(second.says_as(&first), "at {then}: {second:?}\nuntil {until:?}: {first:?}");
            }
        }
    }
}
