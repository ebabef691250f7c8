//! Texts from elsewhere, asked both ways.

use std::sync::LazyLock;

use cedar_policy::PolicySet;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::generate::{Given, World, world};
use super::harness::Asking;

/// Some entities, and what is asked about them.
fn entities_and_requests() -> &'static World {
    static WORLDS: LazyLock<World> = LazyLock::new(|| {
        let mut runner = TestRunner::deterministic();
        let mut worlds = (0..64).map(|_| world().new_tree(&mut runner).unwrap().current());
        let mut chosen = worlds.next().unwrap();
        for world in worlds {
            chosen.requests.extend(world.requests);
            if world.entities.len() > chosen.entities.len() {
                chosen.entities = world.entities;
            }
        }
        chosen.requests.truncate(48);
        chosen
    });
    &WORLDS
}

/// Asks whatever policies there are both ways.
pub(crate) fn same_answers(set: &PolicySet) {
    let policies = set.policies().map(|policy| Given::policy(policy.to_string())).collect();
    let world = World { policies, ..entities_and_requests().clone() };
    let asking = Asking::of(&world);
    for request in &world.requests {
        assert_eq!(asking.rules(request), asking.authorizer(request), "{request:?}");
    }
}
