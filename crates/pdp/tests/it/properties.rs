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
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

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

    #[test]
    fn same_question_same_verdict(lines in grants()) {
        let world = world().with("grants", &lines.join("\n"));
        for user in USERS {
            let verdict = || world.ask(user, "read", "Doc::d1").verdict();
            prop_assert_eq!(verdict(), verdict());
        }
    }
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
