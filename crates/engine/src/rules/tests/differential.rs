//! The same answer as Cedar's authorizer gives, to requests of every form.
//!
//! `DIFFERENTIAL_CASES=1000000 cargo test --release -p magistrate-engine differential` asks a million; without it,
//! 20,000 are asked. What fails is made small first.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::generate::{Given, REQUESTS, World, world};
use super::harness::Asking;

fn cases() -> u32 {
    std::env::var("DIFFERENTIAL_CASES").ok().map_or(20_000, |given| given.parse().unwrap())
}

#[test]
fn answers_are_those_of_cedars_authorizer() {
    let worlds = cases().div_ceil(u32::try_from(REQUESTS).unwrap());
    let config = Config { cases: worlds, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&world(), |world| {
        let asking = Asking::of(&world);
        for request in &world.requests {
            let (ours, theirs) = (asking.rules(request), asking.authorizer(request));
            prop_assert_eq!(ours, theirs, "{:?}", request);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Policies in another order, and among others that can match nothing that is asked, answer the same.
#[test]
fn order_and_strangers_change_nothing() {
    let config = Config { cases: cases().div_ceil(40), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&world(), |world| {
        let stranger = |text: &str| Given::policy(text.to_owned());
        let strangers = [
            stranger(r#"permit(principal == User::"nobody", action, resource);"#),
            stranger(r#"forbid(principal, action == Action::"unknown", resource);"#),
            stranger(r#"forbid(principal, action, resource in N::Folder::"nowhere") when { 1 == "a" };"#),
        ];
        let policies = strangers.into_iter().chain(world.policies.iter().rev().cloned()).collect();
        let other = World { policies, ..world.clone() };
        let (asking, among_others) = (Asking::of(&world), Asking::of(&other));
        let last = other.policies.len() - 1;
        let renamed = |ids: &BTreeSet<String>| -> BTreeSet<String> {
            ids.iter().map(|id| format!("p{}", last - id.trim_start_matches('p').parse::<usize>().unwrap())).collect()
        };
        for request in &world.requests {
            let (ours, theirs) = (asking.rules(request), among_others.rules(request));
            prop_assert_eq!(ours.denied, theirs.denied);
            prop_assert_eq!(&ours.reasons, &renamed(&theirs.reasons));
            prop_assert_eq!(&ours.errored, &renamed(&theirs.errored));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
