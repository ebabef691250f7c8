//! What was loaded and what changed since, against plain maps.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{Conferred, Instant, Span, Term, json};
use proptest::prelude::*;

use super::*;

/// Entities and grants as anybody would keep them.
#[derive(Debug, Clone, Default)]
struct Plain {
    entities: BTreeMap<EntityUid, EntityData>,
    grants: BTreeMap<String, Grant>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    Grant(u8, u8, u8),
    Revoke(u8),
    PackAnew,
}

fn uid(n: u8) -> EntityUid {
    EntityUid::from_parts(["User", "Group", "Doc"][usize::from(n % 3)], &format!("e{}", n / 3)).unwrap()
}

fn entity(n: u8, variant: u8) -> EntityData {
    let attributes = serde_json::json!({ "n": variant, "who": { "__entity": { "type": "User", "id": "e1" } } });
    let parents = (0..variant % 3).map(|by| uid(n.wrapping_add(by + 1) % 12)).collect();
    EntityData { uid: uid(n), attributes: json::record_from(&attributes, "").unwrap(), parents }
}

fn grant(n: u8, holder: u8, variant: u8) -> Grant {
    let at = |hours: u8| Instant::EPOCH.plus(Span::hours(i64::from(hours)));
    let term = match variant % 3 {
        0 => Term::standing(None),
        1 => Term::until(None, at(variant)).unwrap(),
        _ => Term::until(Some(at(1)), at(variant.max(2))).unwrap(),
    };
    let role = EntityUid::from_parts("Role", ["reader", "writer"][usize::from(variant % 2)]).unwrap();
    let conferred = match variant % 5 {
        0 => Conferred::Scope("docs:*".parse().unwrap()),
        1 => Conferred::Role { role, resource: None },
        place => Conferred::Role { role, resource: Some(uid(place * 3 + 2)) },
    };
    Grant::new(format!("g{n}").parse().unwrap(), uid(holder), conferred, term, "test").unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..12, 0_u8..6).prop_map(|(n, variant)| Step::Put(n, variant)),
        2 => (0_u8..12).prop_map(Step::Remove),
        5 => (0_u8..24, 0_u8..6, 0_u8..30).prop_map(|(n, holder, variant)| Step::Grant(n, holder, variant)),
        4 => (0_u8..24).prop_map(Step::Revoke),
        1 => Just(Step::PackAnew),
    ]
}

impl Plain {
    /// Makes a step here and there.
    fn make(&mut self, step: Step, directory: &mut Directory) {
        match step {
            Step::Put(n, variant) => {
                let after = entity(n, variant);
                let before = self.entities.insert(uid(n), after.clone());
                directory.apply(Effect::Entity(Difference { before, after: Some(after) }));
            }
            Step::Remove(n) => {
                if let Some(before) = self.entities.remove(&uid(n)) {
                    directory.apply(Effect::Entity(Difference { before: Some(before), after: None }));
                }
            }
            Step::Grant(n, holder, variant) => {
                if let Entry::Vacant(vacant) = self.grants.entry(format!("g{n}")) {
                    let after = vacant.insert(grant(n, holder, variant)).clone();
                    directory.apply(Effect::Grant(Difference { before: None, after: Some(after) }));
                }
            }
            Step::Revoke(n) => {
                if let Some(before) = self.grants.remove(&format!("g{n}")) {
                    directory.apply(Effect::Grant(Difference { before: Some(before), after: None }));
                }
            }
            Step::PackAnew => *directory = directory.packed_anew().unwrap(),
        }
    }

    fn check(&self, directory: &Directory) {
        assert_eq!(directory.size(), self.entities.len() + self.grants.len());
        for uid in (0..12).map(uid) {
            let found = directory.entity(&uid).map(|(entity, version)| (EntityData::clone(&entity), Some(version)));
            assert_eq!(found.as_ref().map(|(entity, _)| entity), self.entities.get(&uid));
            assert_eq!(directory.version(&uid), found.and_then(|(_, version)| version));
        }
        let told = |views: Vec<GrantView<'_>>| -> BTreeSet<_> {
            let tell = |it: GrantView<'_>| {
                let confers = it.confers().unwrap().into_owned();
                (it.id().unwrap(), it.holder(), it.resource(), format!("{confers:?}"), format!("{:?}", it.term()))
            };
            let all: Vec<_> = views.into_iter().map(tell).collect();
            let each: BTreeSet<_> = all.iter().cloned().collect();
            assert_eq!(each.len(), all.len(), "each once");
            each
        };
        for holder in (0..6).map(uid) {
            let wanted = |of: &dyn Fn(&Grant) -> bool| {
                let held = self.grants.values().filter(|it| *it.holder() == holder && of(it));
                told(held.map(GrantView::Added).collect())
            };
            let held = directory.held_by(&holder);
            assert_eq!(told(held.everywhere().collect()), wanted(&|it| it.resource().is_none()));
            assert_eq!(told(directory.all_held_by(&holder).collect()), wanted(&|_| true));
            for place in (0..24).map(uid) {
                let here = told(held.on(directory.place(&place)).collect());
                assert_eq!(here, wanted(&|it| it.resource() == Some(&place)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn directory_holds_what_was_loaded_and_what_changed(
        loaded in prop::collection::vec(step(), 0..40),
        history in prop::collection::vec(step(), 0..40),
    ) {
        let mut plain = Plain::default();
        loaded.into_iter().for_each(|step| plain.make(step, &mut Directory::of(Dataset::empty())));
        let dataset = |plain: &Plain| Dataset {
            entities: plain.entities.values().cloned().collect(),
            grants: plain.grants.values().cloned().collect(),
            ..Dataset::empty()
        };
        let mut directory = Directory::of(dataset(&plain));
        plain.check(&directory);
        for step in history {
            let (before, was) = (plain.clone(), directory.clone());
            plain.make(step, &mut directory);
            plain.check(&directory);
            before.check(&was);
        }
        assert_eq!(directory, Directory::of(dataset(&plain)));
    }
}

#[test]
fn version_changes_with_an_entity_and_with_nothing_else() {
    let dataset = Dataset { entities: (0..6).map(|n| entity(n, 0)).collect(), ..Dataset::empty() };
    let mut directory = Directory::of(dataset);
    let versions = |of: &Directory| (0..6).map(|n| of.version(&uid(n)).unwrap()).collect::<Vec<_>>();
    let (before, hierarchy) = (versions(&directory), directory.hierarchy());
    directory.apply(Effect::Grant(Difference { before: None, after: Some(grant(1, 1, 1)) }));
    assert_eq!((versions(&directory), directory.hierarchy()), (before.clone(), hierarchy));
    directory.apply(Effect::Entity(Difference { before: None, after: Some(entity(3, 1)) }));
    assert_ne!(directory.hierarchy(), hierarchy);
    for (n, (before, after)) in before.iter().zip(versions(&directory)).enumerate() {
        assert_eq!(*before == after, n != 3, "{n}");
    }
}

#[test]
fn what_changed_much_is_packed_anew() {
    let mut directory = Directory::of(Dataset { entities: vec![entity(1, 0)], ..Dataset::empty() });
    let change =
        |n: usize| Effect::Entity(Difference { before: None, after: Some(entity(2, u8::from(n.is_multiple_of(2)))) });
    (0..MOST_CHANGES).for_each(|n| directory.apply(change(n)));
    let directory = directory.tidied();
    assert_eq!(directory.changes, MOST_CHANGES);
    let mut more = directory.clone();
    more.apply(change(0));
    let tidied = more.clone().tidied();
    assert_eq!((tidied.changes, tidied.entities.size()), (0, 0));
    assert_eq!(tidied, more);
}
