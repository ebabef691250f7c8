//! Roles and scopes only widen: the check that makes it true.
//!
//! A published policy tests role and scope membership only as `principal in <literal>`, and only where
//! holding the role can make the policy grant more or forbid less. Hence removing a grant never allows
//! more. The proof walks a policy with a polarity: `when` of a permit and `unless` of a forbid are
//! positive, the other two and a forbid's scope negative; `&&` and `||` keep it, `!` turns it, and
//! everything else (conditions of `if`, operands of comparisons) counts as both. The walk is closed: a
//! role or scope anywhere it does not understand is misplaced.
//!
//! An expression that fails takes the whole policy with it, so a test that lets one be reached could
//! take access away as well: conditions that test roles hold no arithmetic that can overflow.

use std::collections::BTreeSet;

use magistrate_model::TypeName;
use serde_json::Value as Json;

use crate::finding::{Finding, Rule};
use crate::policy::{Effect, ParsedPolicy};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Polarity {
    Widens,
    Narrows,
    Either,
}

impl Polarity {
    fn turned(self) -> Self {
        match self {
            Self::Widens => Self::Narrows,
            Self::Narrows => Self::Widens,
            Self::Either => Self::Either,
        }
    }
}

/// Checks one policy, in Cedar's JSON, against the role and scope types of its schema. One that `states_reason` may
/// take access away.
pub(crate) fn check(
    policy: &ParsedPolicy,
    json: &Json,
    states_reason: bool,
    assigned: &BTreeSet<&TypeName>,
) -> Vec<Finding> {
    let mut walk = Walk::new(assigned);
    let scope = match policy.info.effect {
        Effect::Permit => Polarity::Widens,
        Effect::Forbid => Polarity::Narrows,
    };
    walk.scope(json.get("principal"), scope, true);
    walk.scope(json.get("resource"), scope, false);
    walk.in_condition = true;
    for condition in json.get("conditions").and_then(Json::as_array).into_iter().flatten() {
        let when = condition.get("kind").and_then(Json::as_str) != Some("unless");
        let polarity = if when { scope } else { scope.turned() };
        walk.expression(condition.get("body").unwrap_or(&Json::Null), polarity);
    }
    let mut findings = Vec::new();
    if walk.misplaced {
        let message = format!("`{}` uses a role or scope other than as `principal in …`", policy.info.id);
        findings.push(policy.finding(
            Rule::RolePosition,
            message,
            "test membership of `principal` only; for others use groups or attributes",
        ));
    }
    if walk.tested && walk.fallible && !states_reason {
        let message = format!(
            "`{}` tests a role or scope beside arithmetic, which can fail and take the policy with it",
            policy.info.id
        );
        let help = "make it two policies, or state `@negative_role(\"reason\")`";
        findings.push(policy.finding(Rule::NegativeRole, message, help));
    }
    if walk.narrowing && !states_reason {
        let message = format!("in `{}` holding a role or scope can take access away", policy.info.id);
        let help = "restrict by attributes, groups or facts, or state `@negative_role(\"reason\")`";
        findings.push(policy.finding(Rule::NegativeRole, message, help));
    }
    findings
}

#[expect(clippy::struct_excessive_bools, reason = "independent observations of one walk")]
struct Walk<'a> {
    assigned: &'a BTreeSet<&'a TypeName>,
    in_condition: bool,
    /// A role or scope stands where it is not understood.
    misplaced: bool,
    /// Holding one can take access away.
    narrowing: bool,
    /// A condition tests one.
    tested: bool,
    /// A condition can fail to evaluate.
    fallible: bool,
}

impl<'a> Walk<'a> {
    fn new(assigned: &'a BTreeSet<&'a TypeName>) -> Self {
        Self { assigned, in_condition: false, misplaced: false, narrowing: false, tested: false, fallible: false }
    }

    fn scope(&mut self, constraint: Option<&Json>, polarity: Polarity, principal: bool) {
        let Some(constraint) = constraint else { return };
        let inner = constraint.get("in").unwrap_or(constraint);
        let by_membership = constraint.get("op").and_then(Json::as_str) != Some("==");
        let entity = inner.get("entity").is_some_and(|entity| self.is_assigned(entity));
        let kind = constraint.get("entity_type").and_then(Json::as_str).is_some_and(|name| self.names(name));
        if entity {
            self.membership(principal && by_membership, polarity);
        }
        self.misplaced |= kind;
    }

    fn membership(&mut self, well_placed: bool, polarity: Polarity) {
        self.misplaced |= !well_placed;
        self.narrowing |= polarity != Polarity::Widens;
        self.tested |= self.in_condition;
    }

    /// An expression is an object with one key, its operator.
    fn expression(&mut self, json: &Json, polarity: Polarity) {
        let operation = json.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
        match operation {
            Some((operator, operands)) => self.operation(operator, operands, polarity),
            None => self.misplaced |= self.holds_assigned(json),
        }
    }

    fn operation(&mut self, operator: &str, operands: &Json, polarity: Polarity) {
        let part = |name: &str| operands.get(name).unwrap_or(&Json::Null);
        self.fallible |= FALLIBLE.contains(&operator) || constructs(operator, operands);
        match operator {
            "&&" | "||" => {
                self.expression(part("left"), polarity);
                self.expression(part("right"), polarity);
            }
            "!" => self.expression(part("arg"), polarity.turned()),
            "if-then-else" => {
                self.expression(part("if"), Polarity::Either);
                self.expression(part("then"), polarity);
                self.expression(part("else"), polarity);
            }
            "in" if self.is_membership(part("right")) => self.membership(is_principal(part("left")), polarity),
            "is" => self.type_test(operands, polarity),
            "Value" => self.misplaced |= self.mentions(operands),
            "Var" => {}
            "Record" => self.each(operands.as_object().into_iter().flat_map(|fields| fields.values())),
            "in" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "contains" | "containsAll"
            | "containsAny" | "getTag" | "hasTag" => self.each([part("left"), part("right")].into_iter()),
            "." | "has" | "like" => self.expression(part("left"), Polarity::Either),
            "neg" | "isEmpty" => self.expression(part("arg"), Polarity::Either),
            // Sets, and calls of extension functions.
            _ if operands.is_array() => self.each(operands.as_array().into_iter().flatten()),
            _ => self.misplaced |= self.holds_assigned(operands),
        }
    }

    fn each<'j>(&mut self, expressions: impl Iterator<Item = &'j Json>) {
        expressions.for_each(|expression| self.expression(expression, Polarity::Either));
    }

    fn type_test(&mut self, operands: &Json, polarity: Polarity) {
        let left = operands.get("left").unwrap_or(&Json::Null);
        self.misplaced |= operands.get("entity_type").and_then(Json::as_str).is_some_and(|name| self.names(name));
        match operands.get("in") {
            Some(group) if self.is_membership(group) => self.membership(is_principal(left), polarity),
            group => self.each([Some(left), group].into_iter().flatten()),
        }
    }

    /// Whether the right side of an `in` is a role or scope literal, or a set of literals that holds one.
    fn is_membership(&self, json: &Json) -> bool {
        let literal = |json: &Json| json.get("Value").is_some_and(|value| self.mentions(value));
        let items = json.get("Set").and_then(Json::as_array);
        let all_literal = |items: &&Vec<Json>| items.iter().all(|item| item.get("Value").is_some());
        literal(json) || items.filter(all_literal).is_some_and(|items| items.iter().any(literal))
    }

    /// Whether a role or scope stands anywhere below, in whatever form.
    fn holds_assigned(&self, json: &Json) -> bool {
        match json {
            Json::Object(map) => self.is_assigned(json) || map.values().any(|inner| self.holds_assigned(inner)),
            Json::Array(items) => items.iter().any(|item| self.holds_assigned(item)),
            Json::String(text) => self.names(text),
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        }
    }

    /// Whether a literal value is, or contains, a role or scope.
    fn mentions(&self, value: &Json) -> bool {
        match value {
            Json::Object(map) => map.iter().any(|(key, inner)| match key.as_str() {
                "__entity" => self.is_assigned(inner),
                _ => self.mentions(inner),
            }),
            Json::Array(items) => items.iter().any(|item| self.mentions(item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
        }
    }

    fn is_assigned(&self, entity: &Json) -> bool {
        entity.get("type").and_then(Json::as_str).is_some_and(|name| self.names(name))
    }

    fn names(&self, name: &str) -> bool {
        self.assigned.iter().any(|assigned| assigned.as_str() == name)
    }
}

fn is_principal(json: &Json) -> bool {
    json.get("Var").and_then(Json::as_str) == Some("principal")
}

/// Operators and functions that can fail on values of the right type: overflow.
const FALLIBLE: [&str; 7] = ["+", "-", "*", "neg", "offset", "durationSince", "toDate"];

/// An extension constructor of anything but a literal, which may not parse.
fn constructs(operator: &str, operands: &Json) -> bool {
    let literal = |operand: &Json| operand.get("Value").is_some_and(Json::is_string);
    let constructor = ["ip", "decimal", "datetime", "duration"].contains(&operator);
    constructor && !operands.as_array().is_some_and(|operands| operands.iter().all(literal))
}
