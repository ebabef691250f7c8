//! A set compiled beside the one before is the set compiled by itself.

use std::sync::Arc;

use magistrate_model::{Digest, PolicySet, PolicyText};
use proptest::prelude::*;

use super::{SCHEMA, source};
use crate::*;

/// What policies do, from no attribute hop to three.
const BODIES: [&str; 8] = [
    "permit (principal, action, resource);",
    "permit (principal in Group::\"g\", action in Action::\"docs:read\", resource);",
    "permit (principal, action, resource is Doc) when { principal.level > 1 };",
    "forbid (principal == User::\"u\", action == Action::\"edit\", resource);",
    "permit (principal, action, resource) when { resource.owner.level > resource.limit };",
    "permit (principal, action, resource) when { resource.owner has manager && resource.owner.manager == principal };",
    "permit (principal, action, resource) when { resource.owner has manager && resource.owner.manager.level > 3 };",
    "permit (principal, action == Action::\"edit\", resource) when { context.facts.now < datetime(\"2030-01-01\") };",
];

fn set(policies: &[(u8, usize)]) -> PolicySet {
    let text = |(id, body): &(u8, usize)| PolicyText {
        id: format!("p{id}").parse().unwrap(),
        text: format!("@id(\"p{id}\")\n{}", BODIES[*body % BODIES.len()]).into(),
    };
    PolicySet { digest: Digest::ZERO, schema: SCHEMA.into(), policies: policies.iter().map(text).collect() }
}

/// The set as a store has it: of texts that Cedar wrote.
fn stored(policies: &[(u8, usize)]) -> PolicySet {
    Snapshot::of(&set(policies)).unwrap().policy_set()
}

fn same(one: &Snapshot, other: &Snapshot) {
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.dereferences(), other.dereferences());
    assert_eq!(one.policy_set(), other.policy_set());
    assert!(one.policies().eq(other.policies()));
    assert!(one.unnarrowed().eq(other.unnarrowed()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn set_that_follows_is_the_set(history in prop::collection::vec(prop::collection::btree_map(0_u8..12, 0_usize..8, 0..9), 2..6)) {
        let mut live: Option<Snapshot> = None;
        for step in history {
            let next = stored(&step.into_iter().collect::<Vec<_>>());
            let anew = Snapshot::of(&next).unwrap();
            let followed = live.as_ref().map_or_else(|| Snapshot::of(&next), |live| live.followed_by(&next)).unwrap();
            same(&followed, &anew);
            live = Some(followed);
        }
    }
}

#[test]
fn only_what_is_new_is_prepared() {
    let before = Snapshot::of(&stored(&[(0, 0), (1, 2), (2, 4)])).unwrap();
    let after = before.followed_by(&stored(&[(0, 0), (1, 3), (2, 4), (3, 1)])).unwrap();
    let shared = |id: &str| {
        let of = |snapshot: &Snapshot| Some(Arc::clone(&snapshot.policies[snapshot.place(&id.parse().unwrap())?]));
        of(&before).zip(of(&after)).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
    };
    assert_eq!(["p0", "p1", "p2", "p3"].map(shared), [true, false, true, false]);
    assert!(Arc::ptr_eq(&before.schema, &after.schema));
}

/// What makes the most attribute hops goes, and the set makes fewer.
#[test]
fn hops_go_with_the_policy_that_made_them() {
    let deep = Snapshot::of(&stored(&[(0, 6), (1, 2), (2, 0)])).unwrap();
    assert_eq!(deep.dereferences(), 3);
    let less = deep.followed_by(&stored(&[(1, 2), (2, 0)])).unwrap();
    assert_eq!(less.dereferences(), 1);
    assert_eq!(less.followed_by(&stored(&[(2, 0)])).unwrap().dereferences(), 0);
}

#[test]
fn what_must_not_be_published_is_refused_beside_what_is_live() {
    let live = Snapshot::of(&stored(&[(0, 0), (1, 2)])).unwrap();
    let mut twice = stored(&[(0, 0), (1, 2)]);
    twice.policies.push(twice.policies[0].clone());
    let other_text = |text: &str| {
        let mut set = stored(&[(0, 0), (1, 2)]);
        set.policies.push(PolicyText { id: "p7".parse().unwrap(), text: text.into() });
        set
    };
    for (set, rule) in [
        (twice, Rule::Id),
        (other_text("@id(\"p1\") permit (principal, action, resource);"), Rule::Id),
        (other_text("@id(\"p7\") permit (principal, action, resource) when { principal.size > 1 };"), Rule::Type),
        (other_text("@id(\"p7\") permit (principal == Role::\"r\", action, resource);"), Rule::RolePosition),
        (other_text("@id(\"p7\") permit (principal, action resource);"), Rule::Syntax),
    ] {
        let refused = |outcome: Result<Snapshot, Findings>| outcome.unwrap_err().as_slice()[0].rule;
        assert_eq!(refused(live.followed_by(&set)), rule);
        assert_eq!(refused(Snapshot::of(&set)), rule);
    }
    let other_schema =
        PolicySet { schema: format!("{SCHEMA} @source(\"stored\") entity Other;").into(), ..stored(&[(0, 0)]) };
    same(&live.followed_by(&other_schema).unwrap(), &Snapshot::of(&other_schema).unwrap());
    let compiled = Snapshot::compile(&source("s", &other_schema.schema), &[]).unwrap();
    assert_eq!(compiled.vocabulary().entity_types().count(), live.vocabulary().entity_types().count() + 1);
}
