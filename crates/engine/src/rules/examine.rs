//! Single rules on one request, for explanations: slower than asking for the response, and more is told.

use std::borrow::Cow;

use cedar_policy_core::ast::{Effect, EntityUID, Expr, Value};

use super::asked::{Asked, Given};
use super::evaluation::Evaluation;
use super::failure::Failure;
use super::node::Node;
use super::{ActionSets, Ask, RuleId, Rules, contains};

/// A request, to be looked at rule by rule.
pub(crate) struct Examination<'a> {
    rules: &'a Rules,
    ask: Ask<'a>,
    asked: Asked<'a>,
}

/// Whether what a scope asks is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeHolds {
    pub(crate) principal: bool,
    pub(crate) action: bool,
    pub(crate) resource: bool,
}

impl Rules {
    /// A request, to be looked at rule by rule.
    pub(crate) fn examine<'a>(&'a self, ask: Ask<'a>, given: Given<'a>) -> Examination<'a> {
        let asked = self.asked(&ask, given);
        Examination { rules: self, ask, asked }
    }
}

impl Examination<'_> {
    /// The rules whose scope is true of the request, in order.
    pub(crate) fn candidates(&self) -> Vec<RuleId> {
        self.rules.candidates(&self.ask, &self.asked).map(|(id, _)| id).collect()
    }

    /// Every rule that permits and asks for this action, in order.
    pub(crate) fn permits(&self) -> impl Iterator<Item = RuleId> {
        let rules = self.rules.all.iter().zip(0..);
        rules.filter(|(rule, _)| rule.effect == Effect::Permit && self.is_asked(rule.actions)).map(|(_, at)| RuleId(at))
    }

    fn is_asked(&self, actions: u32) -> bool {
        let sets = self.rules.action_sets.get::<EntityUID>(self.ask.action);
        sets.map_or(actions == ActionSets::ANY, |sets| contains(sets, actions))
    }

    /// Whether what the scope of a rule asks is so; of a rule there is none of, nothing is.
    pub(crate) fn scope(&self, id: RuleId) -> ScopeHolds {
        let names = &self.rules.names;
        let Some(rule) = self.rules.all.get(id.place()) else {
            return ScopeHolds { principal: false, action: false, resource: false };
        };
        ScopeHolds {
            principal: rule.principal.holds(self.ask.principal, names, &self.asked),
            action: self.is_asked(rule.actions),
            resource: rule.resource.holds(self.ask.resource, names, &self.asked),
        }
    }

    /// Whether the clauses of a rule are true together.
    pub(crate) fn condition(&self, id: RuleId) -> Result<bool, Failure> {
        let condition = self.rules.all.get(id.place()).and_then(|rule| rule.condition.as_ref());
        condition.map_or(Ok(true), |condition| Evaluation::of(&self.asked).truth(condition))
    }

    /// Any expression over what policies name, prepared.
    pub(crate) fn prepare(&self, expr: &Expr) -> Node {
        Node::prepare(expr, &mut &self.rules.names)
    }

    /// Its value for this request.
    pub(crate) fn value(&self, node: &Node) -> Result<Value, Failure> {
        Evaluation::of(&self.asked).value(node).map(Cow::into_owned)
    }
}
