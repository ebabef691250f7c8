//! Rules taken over from a set before answer as if all were prepared anew.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use proptest::test_runner::{Config, TestRunner};

use super::generate::{Given, World, world};
use super::harness::Asking;

/// A world, and what of its policies there was at each of some steps before.
fn history() -> impl Strategy<Value = (World, Vec<Vec<Given>>, Index)> {
    world().prop_flat_map(|world| {
        let all = world.policies.clone();
        let step = subsequence(all.clone(), 0..=all.len()).prop_shuffle();
        (Just(world), prop::collection::vec(step, 1..4), any::<Index>())
    })
}

#[test]
fn rules_taken_over_answer_as_rules_prepared_anew() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&history(), |(world, steps, stranger)| {
        let gone = format!(r#"permit(principal == User::"gone-{}", action, resource);"#, stranger.index(9));
        let gone = Given::policy(gone);
        let worlds: Vec<World> = steps
            .into_iter()
            .map(|mut policies| {
                policies.insert(stranger.index(policies.len() + 1), gone.clone());
                World { policies, ..world.clone() }
            })
            .chain([world.clone()])
            .collect();
        let mut before: Option<Asking<'_>> = None;
        for step in &worlds {
            let followed = Asking::following(before.as_ref(), step);
            let anew = Asking::of(step);
            for request in &world.requests {
                prop_assert_eq!(followed.rules(request), anew.rules(request), "{:?}", request);
            }
            before = Some(followed);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// What changes again and again leaves no names behind without end.
#[test]
fn names_of_rules_that_are_gone_are_forgotten() {
    let named = |n: usize| World {
        policies: vec![Given::policy(format!(r#"permit(principal == User::"u{n}", action, resource);"#))],
        entities: std::collections::BTreeMap::new(),
        requests: Vec::new(),
    };
    let worlds: Vec<World> = (0..2_500).map(named).collect();
    let mut before: Option<Asking<'_>> = None;
    let mut most = 0;
    for world in &worlds {
        let followed = Asking::following(before.as_ref(), world);
        most = most.max(followed.names());
        before = Some(followed);
    }
    assert!((900..1_100).contains(&most), "{most} names of one rule");
}
