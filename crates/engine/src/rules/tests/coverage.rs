//! What is generated comes to everything there is, each so often that it is seen to agree.

use std::collections::BTreeMap;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Value, ValueKind};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::generate::{CROWDED, REQUESTS, World, ends, world_of};
use super::harness::{Answer, Asking, Examined};
use super::positions::{POSITIONS, positions};

/// How often what was seen.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    fn add_if(&mut self, name: &str, is: bool) {
        if is {
            self.add(name);
        }
    }

    #[track_caller]
    fn expect<'a>(&self, least: usize, names: impl IntoIterator<Item = &'a str>) {
        let times = |name: &str| self.0.get(name).copied().unwrap_or_default();
        let missing: Vec<_> =
            names.into_iter().filter(|name| times(name) < least).map(|name| (name, times(name))).collect();
        assert!(missing.is_empty(), "seen less than {least} times: {missing:?}, of {:?}", self.0);
    }
}

/// Worlds, the same ones each time.
fn worlds(crowded: u32, count: usize) -> impl Iterator<Item = World> {
    let (mut runner, worlds) = (TestRunner::deterministic(), world_of(crowded));
    (0..count).map(move |_| worlds.new_tree(&mut runner).unwrap().current())
}

/// Every outcome in a good share, every operator and function, failure in every place, and entities of every kind.
#[test]
fn what_is_generated_covers_outcomes_and_operators() {
    const WORLDS: usize = 1_000;
    let (mut outcomes, mut operators, mut failing, mut forms) =
        (Seen::default(), Seen::default(), Seen::default(), Seen::default());
    for world in worlds(CROWDED, WORLDS) {
        let asking = Asking::of(&world);
        asking.conditions().for_each(|condition| count(&condition, &mut operators));
        for request in &world.requests {
            let Answer { reasons, denied, errored } = asking.authorizer(request);
            outcomes.add(match (denied, reasons.is_empty()) {
                (false, _) => "allowed",
                (true, false) => "forbidden",
                (true, true) => "not permitted",
            });
            outcomes.add_if("errored", !errored.is_empty());
            outcomes.add_if("several reasons", reasons.len() > 1);
            asking.examined(request, |examined| {
                examined.failing().for_each(|expr| positions(examined, expr, &mut |place| failing.add(place)));
                note_sets(examined, &mut forms);
                note_held(examined, &mut forms);
            });
        }
    }
    let requests = WORLDS * REQUESTS;
    for (outcome, least) in
        [("allowed", 10), ("forbidden", 8), ("not permitted", 10), ("errored", 10), ("several reasons", 3)]
    {
        outcomes.expect(requests * least / 100, [outcome]);
    }
    operators.expect(10, OPERATORS);
    failing.expect(3, POSITIONS);
    forms.expect(5, FORMS);
}

const FORMS: [&str; 8] = [
    "in entities known when asked",
    "in one of several known when asked",
    "in a mixed set known when asked",
    "role held",
    "scope held",
    "role and scope held",
    "resource below who holds",
    "resource that holds",
];

/// What is on the right of an `in` and no constant.
fn note_sets(examined: &Examined<'_>, forms: &mut Seen) {
    for part in examined.conditions().flat_map(Expr::subexpressions) {
        let ExprKind::BinaryApp { op: BinaryOp::In, arg2: right, .. } = part.expr_kind() else { continue };
        if right.subexpressions().all(|part| matches!(part.expr_kind(), ExprKind::Lit(_) | ExprKind::Set(_))) {
            continue;
        }
        let Some(Value { value: ValueKind::Set(set), .. }) = examined.value(right) else { continue };
        let is_entity = |item: &Value| matches!(item.value, ValueKind::Lit(Literal::EntityUID(_)));
        let is_true = examined.value(part).is_some_and(|value| value == Value::from(true));
        forms.add_if("in entities known when asked", set.iter().all(is_entity));
        forms.add_if("in one of several known when asked", is_true && set.len() > 1);
        forms.add_if("in a mixed set known when asked", set.iter().any(is_entity) && !set.iter().all(is_entity));
    }
}

fn note_held(examined: &Examined<'_>, forms: &mut Seen) {
    let is = |name: &str| examined.held().any(|of| of == name);
    forms.add_if("role held", is("Role"));
    forms.add_if("scope held", is("Scope"));
    forms.add_if("role and scope held", is("Role") && is("Scope"));
    let overlaid = examined.resource_is_overlaid();
    forms.add_if("resource below who holds", overlaid && !examined.resource_is_principal());
    forms.add_if("resource that holds", overlaid && examined.resource_is_principal());
}

/// What lies at the ends of each type is written in policies, and stored or sent where it is a value.
#[test]
fn what_is_generated_covers_the_ends_of_types() {
    let mut written = Seen::default();
    let ends: Vec<String> = ends().collect();
    for world in worlds(CROWDED, 1_000) {
        for policy in &world.policies {
            ends.iter().filter(|end| policy.text.contains(*end)).for_each(|end| written.add(end.as_str()));
        }
        let records = world.entities.values().map(|stored| &stored.attributes);
        let records = records.chain(world.requests.iter().map(|request| &request.context));
        for value in records.flat_map(|record| record.values()) {
            written.add_if(
                "extension value",
                matches!(value, magistrate_model::Value::Extension(_, text) if is_end(&ends, text)),
            );
            written.add_if("number", matches!(value, magistrate_model::Value::Long(it) if it.unsigned_abs() > 1 << 62));
        }
    }
    written.expect(2, ends.iter().map(String::as_str));
    written.expect(500, ["extension value", "number"]);
}

fn is_end(ends: &[String], text: &str) -> bool {
    ends.iter().any(|end| end.trim_matches('"') == text)
}

/// Both forms of a column of the index; sets of actions in every word of
/// bits and at its ends; entities found one after the other, and by hash.
#[test]
fn crowds_cover_the_forms_of_the_index() {
    let mut forms = Seen::default();
    for world in worlds(1, 120) {
        let asking = Asking::of(&world);
        for (keys, by_hash) in asking.columns() {
            forms.add_if("column by hash", by_hash);
            forms.add_if("column of one key and more, not by hash", keys > 1 && !by_hash);
            forms.add_if("column of more than a hundred", keys > 100);
        }
        for request in &world.requests {
            asking.examined(request, |examined| {
                let known = examined.ask.known.len();
                forms.add_if("entities found by hash", known > 12);
                forms.add_if("entities found one after the other", known <= 12);
                for number in examined.action_sets() {
                    forms.add_if("set 63", number == 63);
                    forms.add_if("set 64", number == 64);
                    forms.add_if("set 127", number == 127);
                    forms.add_if("set 128", number == 128);
                    forms.add_if("set of the second word", (64..128).contains(&number));
                }
            });
            forms.add_if("action at the end of a chain", request.action == "deep");
        }
    }
    forms.expect(3, INDEX_FORMS);
}

const INDEX_FORMS: [&str; 11] = [
    "column by hash",
    "column of one key and more, not by hash",
    "column of more than a hundred",
    "entities found by hash",
    "entities found one after the other",
    "set 63",
    "set 64",
    "set 127",
    "set 128",
    "set of the second word",
    "action at the end of a chain",
];

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

fn count(condition: &Condition<'_>, operators: &mut Seen) {
    condition.slots.iter().for_each(|slot| operators.add(*slot));
    let Some(expr) = condition.expr else { return operators.add("no condition") };
    operators.add("when");
    expr.subexpressions().for_each(|part| operators.add(name_of(part)));
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
