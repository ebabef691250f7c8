//! The same answer as Cedar's authorizer gives, to requests of every form.
//!
//! `DIFFERENTIAL_CASES=1000000 cargo test --release -p magistrate-engine differential` asks a million; without it,
//! 20,000 are asked. What fails is made small first.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use super::generate::{Given, REQUESTS, World, world};
use super::harness::{Answer, Asking};

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
        let stranger = |text: &str| Given { text: text.to_owned(), principal: None, resource: None };
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

/// What is generated comes to everything there is: every outcome in a good share, every operator and function.
#[test]
fn what_is_generated_covers_outcomes_and_operators() {
    let mut runner = TestRunner::deterministic();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    let worlds = 800;
    for _ in 0..worlds {
        let world: World = world().new_tree(&mut runner).unwrap().current();
        let asking = Asking::of(&world);
        asking.conditions().for_each(|condition| count(&condition, &mut operators));
        for request in &world.requests {
            let Answer { reasons, denied, errored } = asking.authorizer(request);
            let outcome = match (denied, reasons.is_empty()) {
                (false, _) => "allowed",
                (true, false) => "forbidden",
                (true, true) => "not permitted",
            };
            *outcomes.entry(outcome).or_default() += 1;
            *outcomes.entry("errored").or_default() += usize::from(!errored.is_empty());
            *outcomes.entry("several reasons").or_default() += usize::from(reasons.len() > 1);
        }
    }
    let requests = worlds * REQUESTS;
    for (outcome, least) in
        [("allowed", 10), ("forbidden", 8), ("not permitted", 10), ("errored", 10), ("several reasons", 3)]
    {
        let found = outcomes.get(outcome).copied().unwrap_or_default();
        assert!(found * 100 >= requests * least, "{outcome}: {found} of {requests}, {outcomes:?}");
    }
    let wanted: BTreeSet<&str> = OPERATORS.into_iter().collect();
    let found: BTreeSet<&str> =
        operators.iter().filter(|(_, times)| **times >= 10).map(|(name, _)| name.as_str()).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "never or hardly generated: {missing:?}");
}

/// Every kind of expression and operator, and every extension function.
const OPERATORS: [&str; 53] = [
    "literal",
    "variable",
    "if",
    "and",
    "or",
    "not",
    "neg",
    "isEmpty",
    "eq",
    "less",
    "lessEq",
    "add",
    "sub",
    "mul",
    "in",
    "contains",
    "containsAll",
    "containsAny",
    "getTag",
    "hasTag",
    "get",
    "has",
    "long has",
    "like",
    "is",
    "set",
    "record",
    "ip",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "decimal",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "datetime",
    "duration",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
    "slot: principal",
    "slot: resource",
    "when",
    "no condition",
];

fn count(condition: &Condition<'_>, operators: &mut BTreeMap<String, usize>) {
    let mut add = |name: &str| *operators.entry(name.to_owned()).or_default() += 1;
    condition.slots.iter().for_each(|slot| add(slot));
    let Some(expr) = condition.expr else { return add("no condition") };
    add("when");
    expr.subexpressions().for_each(|part| add(&name_of(part)));
}

/// What a policy holds.
pub(super) struct Condition<'a> {
    pub(super) expr: Option<&'a Expr>,
    pub(super) slots: Vec<&'static str>,
}

fn name_of(expr: &Expr) -> String {
    let name = match expr.expr_kind() {
        ExprKind::Lit(_) => "literal",
        ExprKind::Var(_) => "variable",
        ExprKind::If { .. } => "if",
        ExprKind::And { .. } => "and",
        ExprKind::Or { .. } => "or",
        ExprKind::UnaryApp { op: UnaryOp::Not, .. } => "not",
        ExprKind::UnaryApp { op: UnaryOp::Neg, .. } => "neg",
        ExprKind::UnaryApp { op: UnaryOp::IsEmpty, .. } => "isEmpty",
        ExprKind::BinaryApp { op, .. } => match op {
            BinaryOp::Eq => "eq",
            BinaryOp::Less => "less",
            BinaryOp::LessEq => "lessEq",
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::In => "in",
            BinaryOp::Contains => "contains",
            BinaryOp::ContainsAll => "containsAll",
            BinaryOp::ContainsAny => "containsAny",
            BinaryOp::GetTag => "getTag",
            BinaryOp::HasTag => "hasTag",
        },
        ExprKind::ExtensionFunctionApp { fn_name, .. } => return fn_name.to_string(),
        ExprKind::GetAttr { .. } => "get",
        ExprKind::HasAttr { .. } => "has",
        ExprKind::ExtHasAttr { .. } => "long has",
        ExprKind::Like { .. } => "like",
        ExprKind::Is { .. } => "is",
        ExprKind::Set(_) => "set",
        ExprKind::Record(_) => "record",
        ExprKind::Slot(_) | ExprKind::Unknown(_) => "none of a policy",
    };
    name.to_owned()
}
