//! Around the sizes at which a form becomes another one, all there is is asked for: chance seldom comes to the one key that
//! is the last one.

use std::collections::BTreeMap;

use magistrate_model::{AttributeName, EntityUid, Record, Value};

use super::generate::{ACTIONS, GROUPS, Given, Request, Stored, World};
use super::harness::Asking;

fn doc(number: usize) -> EntityUid {
    EntityUid::from_parts("Doc", &format!("k{number}")).unwrap()
}

fn request(resource: EntityUid) -> Request {
    let principal = EntityUid::from_parts("User", "a").unwrap();
    Request { principal, action: "read", resource, context: Record::new(), held: Vec::new() }
}

fn stored(attributes: Record) -> Stored {
    Stored { attributes, tags: Record::new(), parents: [].into() }
}

/// Asks both ways, and how many reasons there are.
#[track_caller]
fn ask(asking: &Asking<'_>, request: &Request) -> usize {
    let (ours, theirs) = (asking.rules(request), asking.authorizer(request));
    assert_eq!(ours, theirs, "{request:?}");
    ours.reasons.len()
}

#[test]
fn every_key_of_a_column_selects_its_rules() {
    for size in [1, 2, 30, 31, 32, 33, 34, 64, 65] {
        let policies = (0..size).map(|n| Given::policy(format!("permit(principal, action, resource == {});", doc(n))));
        let world = World { policies: policies.collect(), entities: BTreeMap::new(), requests: Vec::new() };
        let asking = Asking::of(&world);
        assert_eq!(asking.columns().collect::<Vec<_>>(), [(size, size > 32)]);
        for number in 0..=size {
            assert_eq!(ask(&asking, &request(doc(number))), usize::from(number < size), "{number} of {size}");
        }
    }
}

/// One set of actions for each policy, so that their numbers fill words of bits and begin the next.
#[test]
fn every_set_of_actions_is_matched() {
    let all = [&ACTIONS[..], &GROUPS[..]].concat();
    for size in [1, 62, 63, 64, 65, 127, 128, 129, 150] {
        let name = |at: usize| all[at % all.len()];
        let pair = |n: usize| format!("[Action::\"{}\", Action::\"{}\"]", name(n), name(n / all.len()));
        let policies = (0..size).map(|n| Given::policy(format!("permit(principal, action in {}, resource);", pair(n))));
        let world = World { policies: policies.collect(), entities: BTreeMap::new(), requests: Vec::new() };
        let asking = Asking::of(&world);
        let reasons = all.iter().map(|action| ask(&asking, &Request { action, ..request(doc(0)) }));
        assert!(reasons.sum::<usize>() >= size, "each is matched by some action");
    }
}

/// Whichever of them is asked about is found, one after the other or by hash.
#[test]
fn every_entity_that_is_known_is_found() {
    for size in [1, 11, 12, 13, 14, 15, 40] {
        let n = AttributeName::new("n").unwrap();
        let entities = (0..size).map(|at| {
            let number = i64::try_from(at).unwrap();
            (doc(at), stored(Record::from([(n.clone(), Value::Long(number))])))
        });
        let policies = (0..=size).map(|at| {
            Given::policy(format!(
                "permit(principal, action, resource) when {{ {} has n && {}.n == {at} }};",
                doc(at),
                doc(at)
            ))
        });
        let world = World { policies: policies.collect(), entities: entities.collect(), requests: Vec::new() };
        let asking = Asking::of(&world);
        assert_eq!(ask(&asking, &request(EntityUid::from_parts("Doc", "another").unwrap())), size);
        assert_eq!(ask(&asking, &request(doc(size / 2))), size, "the parties are known apart");
    }
}
