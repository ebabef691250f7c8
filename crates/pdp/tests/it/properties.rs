//! Properties that hold for every world and every question.

use magistrate_model::{Decision, Grant};
use magistrate_testkit::{Scale, Scenario, World};
use proptest::prelude::*;

use crate::small_world::{POLICIES, schema, world};

const HOLDERS: [&str; 4] = ["User::\\\"ann\\\"", "User::\\\"bob\\\"", "Group::\\\"dev\\\"", "Group::\\\"staff\\\""];
const PLACES: [&str; 5] =
    ["", "Folder::\\\"top\\\"", "Folder::\\\"mid\\\"", "Folder::\\\"secret\\\"", "Doc::\\\"d1\\\""];
const USERS: [&str; 3] = ["User::ann", "User::bob", "User::eve"];
const DOCS: [&str; 3] = ["Doc::d1", "Doc::d2", "Doc::d3"];

fn grant(n: usize, (holder, role, place, begin, end): (usize, usize, usize, i64, i64)) -> String {
    let resource = match PLACES[place] {
        "" => String::new(),
        uid => format!(",\"resource\":\"{uid}\""),
    };
    let role = ["reader", "writer"][role];
    let begin = if begin < 0 { format!("{begin}h") } else { format!("+{begin}h") };
    format!(
        r#"{{"id":"g{n}","holder":"{}","role":"{role}"{resource},"not_before":"{begin}","expires_at":"+{end}h","reason":"x"}}"#,
        HOLDERS[holder]
    )
}

fn grants() -> impl Strategy<Value = Vec<String>> {
    let one = (0..HOLDERS.len(), 0..2_usize, 0..PLACES.len(), -3..3_i64, 4..6_i64);
    prop::collection::vec(one, 0..8)
        .prop_map(|grants| grants.into_iter().enumerate().map(|(n, g)| grant(n, g)).collect())
}

/// Whether each question of a fixed set is allowed.
fn answers(world: &World) -> Vec<bool> {
    let ask =
        |user: &&str, action: &str, doc: &&str| world.ask(user, action, doc).verdict().decision() == Decision::Allow;
    let pairs = USERS.iter().flat_map(|user| DOCS.iter().map(move |doc| (user, doc)));
    pairs.flat_map(|(user, doc)| [ask(user, "read", doc), ask(user, "write", doc)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn removing_a_grant_never_allows_more(lines in grants(), gone in 0..8_usize) {
        let full = world().with("grants", &lines.join("\n"));
        let less = full.clone().without_grants(|grant: &Grant| grant.id().as_str() == format!("g{gone}"));
        for (before, after) in answers(&full).into_iter().zip(answers(&less)) {
            prop_assert!(before || !after, "a question is allowed only since a grant is gone");
        }
    }

    #[test]
    fn adding_a_forbid_never_allows_more(lines in grants(), level in 0..4_i64, folder in 0..3_usize) {
        let folder = ["top", "other", "secret"][folder];
        let forbid = format!("@id(\"more\") forbid (principal is User, action, resource in Folder::\"{folder}\") when {{ principal.level > {level} }};");
        let before = rebuilt(POLICIES, &lines);
        let after = rebuilt(&format!("{POLICIES}\n{forbid}"), &lines);
        for (before, after) in answers(&before).into_iter().zip(answers(&after)) {
            prop_assert!(before || !after, "a question is allowed only since a forbid is there");
        }
    }

    /// What publishing accepts never takes access from whoever holds a role.
    #[test]
    fn accepted_policies_only_widen(policies in prop::collection::vec(policy(), 1..4), lines in grants(), gone in 0..8_usize) {
        let named = |(n, text): (usize, &String)| format!("@id(\"p{n}\") {text}");
        let open = "@id(\"open\") permit (principal is User, action, resource is Doc) when { principal.level < 2 };";
        let text: Vec<String> = policies.iter().enumerate().map(named).chain([open.to_owned()]).collect();
        let source = |text: String| magistrate_engine::Source { name: "p".into(), text };
        let accepted = magistrate_engine::Snapshot::compile(&source(schema()), &[source(text.join("\n"))]).is_ok();
        prop_assume!(accepted);
        let full = rebuilt(&text.join("\n"), &lines);
        let less = full.clone().without_grants(|grant: &Grant| grant.id().as_str() == format!("g{gone}"));
        for (before, after) in answers(&full).into_iter().zip(answers(&less)) {
            prop_assert!(before || !after, "a question is allowed only since a grant is gone: {text:?}");
        }
    }

    #[test]
    fn same_question_same_verdict(lines in grants()) {
        let world = world().with("grants", &lines.join("\n"));
        for user in USERS {
            let verdict = || world.ask(user, "read", "Doc::d1").verdict();
            prop_assert_eq!(verdict(), verdict());
        }
    }
}

/// Conditions over roles, attributes and everything that combines them.
fn condition() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        Just("principal in Role::\"reader\"".to_owned()),
        Just("principal in Role::\"writer\"".to_owned()),
        Just("principal in [Role::\"writer\", Group::\"dev\"]".to_owned()),
        Just("principal is User in Role::\"reader\"".to_owned()),
        Just("principal.suspended".to_owned()),
        Just("resource.secret".to_owned()),
        (0..3_i64).prop_map(|n| format!("principal.level > {n}")),
        (0..2_i64).prop_map(|n| format!("principal.level + 9223372036854775806 > {n}")),
    ];
    atom.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("({{\"!\": {a}}}[\"!\"])")),
            inner.clone().prop_map(|a| format!("([{a}].contains(true))")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![Just("permit"), Just("forbid")];
    let scope = prop_oneof![Just("principal is User"), Just("principal is User in Role::\"reader\"")];
    (effect, scope, prop::bool::ANY, condition()).prop_map(|(effect, scope, when, condition)| {
        let kind = if when { "when" } else { "unless" };
        format!("{effect} ({scope}, action, resource is Doc) {kind} {{ {condition} }};")
    })
}

fn rebuilt(policies: &str, grants: &[String]) -> World {
    let base = world();
    let kept = base.dataset().entities.iter().filter(|entity| entity.uid.type_name().as_str() != "Role");
    let entities: Vec<String> = kept.map(|entity| magistrate_model::json::entity(entity).to_string()).collect();
    let world = World::of(&schema(), policies)
        .with("entities", &entities.join("\n"))
        .with("roles", "{\"role\":\"reader\"}\n{\"role\":\"writer\",\"parents\":[\"reader\"]}");
    world.with("grants", &grants.join("\n"))
}

#[test]
fn generator_is_seeded_and_keeps_its_scale() {
    let scale = Scale { policies: 200, assignments: 300, entities: 150 };
    let now = World::example().now();
    let (snapshot, dataset) = Scenario::generate(7, scale).build(now);
    let (again, same) = Scenario::generate(7, scale).build(now);
    assert_eq!((snapshot.digest(), &dataset), (again.digest(), &same));
    assert_eq!(snapshot.policies().len(), 200);
    let shipped = World::example();
    assert_eq!(dataset.grants.len(), shipped.dataset().grants.len() + 300);
    assert_eq!(dataset.entities.len(), shipped.dataset().entities.len() + 150);
    let (other, _) = Scenario::generate(8, scale).build(now);
    assert_ne!(snapshot.digest(), other.digest());
}
