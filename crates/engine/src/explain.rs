//! Why policies answered as they did, for people.

use cedar_policy::Policy;
use cedar_policy_core::ast::{self, Expr, ExprKind, Literal, PrincipalOrResource, ValueKind, Var};
use cedar_policy_core::parser::parse_policy_or_template_to_est;
use magistrate_model::{ClauseExplained, Explanation, Outcome, PolicyExplained, Question};
use serde_json::{Value as Json, json};

use crate::evaluate::{Parts, Unanswerable};
use crate::known::Known;
use crate::policy::Effect;
use crate::rules::{Examination, Failure, Node, RuleId, ScopeHolds};
use crate::snapshot::Snapshot;

/// Policies whose scope matches that are told; more are counted out.
const MOST_POLICIES: usize = 64;
/// Permits that came near, where none matches.
const NEAREST: usize = 5;
/// Characters of a value that are told.
const LONGEST: usize = 200;

/// What led to the answer to a question whose query was admitted by this snapshot: the policies. Where no permit is
/// satisfied, those that came nearest are told.
pub fn explain(snapshot: &Snapshot, question: &Question, known: &Known) -> Result<Explanation, Unanswerable> {
    let parts = Parts::of(snapshot, question)?;
    let explaining = Explaining { snapshot, examination: parts.examine(known)? };
    let (mut matter, others): (Vec<_>, Vec<_>) =
        explaining.examination.candidates().into_iter().partition(|rule| explaining.matters(*rule));
    let permits = |rule: &RuleId| snapshot.policy_of(*rule).is_some_and(|policy| policy.effect == Effect::Permit);
    let is_satisfied = |rule: &RuleId| matches!(explaining.examination.condition(*rule), Ok(true));
    let permitted = matter.iter().any(|rule| permits(rule) && is_satisfied(rule));
    // What is satisfied or fails is told in any case, of the others as many as there is room for.
    matter.truncate(MOST_POLICIES);
    let room = MOST_POLICIES - matter.len();
    matter.extend(others.into_iter().take(room));
    matter.sort();
    let policies = matter.into_iter().filter_map(|rule| explaining.policy(rule)).collect();
    let nearest_permits = if permitted { Vec::new() } else { explaining.nearest() };
    Ok(Explanation { policies, nearest_permits, grants: Vec::new() })
}

/// A clause, prepared when it is first explained.
#[derive(Debug)]
pub(crate) struct Clause {
    text: String,
    condition: Node,
    /// The attributes it reads, with how they are told.
    reads: Vec<(String, Node)>,
}

struct Explaining<'a> {
    snapshot: &'a Snapshot,
    examination: Examination<'a>,
}

impl Explaining<'_> {
    /// The permits for this action that lack least. Clauses are looked at only where the scope lacks at most one thing.
    fn nearest(&self) -> Vec<PolicyExplained> {
        let lacking = |rule: &RuleId| {
            let ScopeHolds { principal, resource, .. } = self.examination.scope(*rule);
            usize::from(!principal) + usize::from(!resource)
        };
        let mut permits: Vec<(usize, RuleId)> =
            self.examination.permits().map(|rule| (lacking(&rule), rule)).filter(|(lacking, _)| *lacking < 2).collect();
        permits.sort();
        permits.truncate(4 * NEAREST);
        let mut nearest: Vec<PolicyExplained> = permits.into_iter().filter_map(|(_, rule)| self.policy(rule)).collect();
        nearest.sort_by_key(|policy| policy.lacks().count());
        nearest.truncate(NEAREST);
        nearest
    }

    /// Whether a policy is satisfied, or fails.
    fn matters(&self, rule: RuleId) -> bool {
        !matches!(self.examination.condition(rule), Ok(false))
    }

    fn policy(&self, rule: RuleId) -> Option<PolicyExplained> {
        let info = self.snapshot.policy_of(rule)?;
        let id = &info.id;
        let core: &ast::Policy = self.snapshot.policies.get(rule.place())?.cedar.as_ref();
        let holds = self.examination.scope(rule);
        let party = |constraint: &ast::PrincipalOrResourceConstraint, which| constraint.display(which);
        let scope = vec![
            (party(core.principal_constraint().as_inner(), PrincipalOrResource::Principal), holds.principal),
            (core.action_constraint().to_string(), holds.action),
            (party(core.resource_constraint().as_inner(), PrincipalOrResource::Resource), holds.resource),
        ];
        let matches = holds.principal && holds.action && holds.resource;
        let outcome = match self.examination.condition(rule) {
            _ if !matches => Outcome::NotSatisfied,
            condition => outcome_of(condition),
        };
        let clauses = self.snapshot.clauses_of(rule, |text| self.prepared(text))?;
        let mut reached = true;
        let clauses = clauses.iter().map(|clause| {
            let clause = self.clause(clause, reached);
            // They are joined by `&&`: behind one that is not satisfied none is evaluated.
            reached &= clause.holds();
            clause
        });
        let clauses = clauses.collect();
        Some(PolicyExplained { id: id.clone(), permits: info.effect == Effect::Permit, outcome, scope, clauses })
    }

    fn prepared(&self, text: &str) -> Vec<Clause> {
        clauses(text).iter().filter_map(|json| self.prepare(json)).collect()
    }

    /// One clause, which Cedar is given as a policy of its own.
    fn prepare(&self, json: &Json) -> Option<Clause> {
        let any = json!({ "op": "All" });
        let alone =
            json!({ "effect": "permit", "principal": any, "action": any, "resource": any, "conditions": [json] });
        let alone = Policy::from_json(None, alone).ok()?;
        let core: &ast::Policy = alone.as_ref();
        let expr = core.non_scope_constraints()?;
        let shown = alone.to_cedar()?;
        let (_, text) = shown.split_once(')')?;
        let mut read = Vec::new();
        reads(expr, &mut read);
        let prepare = |expr: &Expr| self.examination.prepare(expr);
        Some(Clause {
            text: one_line(text.trim().trim_end_matches(';')),
            condition: prepare(expr),
            reads: read.into_iter().map(|expr| (shortened(&expr.to_string()), prepare(expr))).collect(),
        })
    }

    /// A clause that is not reached tells what it would come to, unless it would fail: it does not.
    fn clause(&self, clause: &Clause, reached: bool) -> ClauseExplained {
        let outcome = outcome_of(self.examination.value(&clause.condition).and_then(|value| {
            let ValueKind::Lit(Literal::Bool(it)) = value.value else { return Err(Failure::NotEvaluable) };
            Ok(it)
        }));
        let fails = matches!(outcome, Outcome::Failed(_));
        let outcome = if fails && !reached { Outcome::NotReached } else { outcome };
        let reads = clause.reads.iter().map(|(expression, node)| {
            let value = self.examination.value(node);
            let value = value.map_or_else(|why| format!("nothing: {why}"), |value| value.to_string());
            (expression.clone(), shortened(&value))
        });
        ClauseExplained { text: clause.text.clone(), outcome, reads: reads.collect() }
    }
}

/// Lines as one; what stands within a line stays as it is, literals among it.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn outcome_of(outcome: Result<bool, Failure>) -> Outcome {
    match outcome {
        Ok(true) => Outcome::Satisfied,
        Ok(false) => Outcome::NotSatisfied,
        Err(failure) => Outcome::Failed(shortened(&failure.to_string())),
    }
}

/// The clauses of a policy's text, as Cedar writes them in JSON.
fn clauses(text: &str) -> Vec<Json> {
    let json = parse_policy_or_template_to_est(text).ok().and_then(|policy| serde_json::to_value(policy).ok());
    let conditions = json.as_ref().and_then(|json| json.get("conditions")).and_then(Json::as_array);
    conditions.cloned().unwrap_or_default()
}

/// The attributes that an expression reads, each with all that leads to it, once.
fn reads<'a>(expr: &'a Expr, found: &mut Vec<&'a Expr>) {
    let mut each = |parts: &mut dyn Iterator<Item = &'a Expr>| parts.for_each(|part| reads(part, found));
    match expr.expr_kind() {
        ExprKind::GetAttr { expr: of, .. } if is_path(of) => {
            if !found.iter().any(|known| known.eq_shape(expr)) {
                found.push(expr);
            }
        }
        ExprKind::GetAttr { expr, .. }
        | ExprKind::HasAttr { expr, .. }
        | ExprKind::ExtHasAttr { expr, .. }
        | ExprKind::Like { expr, .. }
        | ExprKind::Is { expr, .. }
        | ExprKind::UnaryApp { arg: expr, .. } => each(&mut std::iter::once(&**expr)),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => each(&mut [&**left, &**right].into_iter()),
        ExprKind::BinaryApp { arg1, arg2, .. } => each(&mut [&**arg1, &**arg2].into_iter()),
        ExprKind::If { test_expr, then_expr, else_expr } => {
            each(&mut [&**test_expr, &**then_expr, &**else_expr].into_iter());
        }
        ExprKind::ExtensionFunctionApp { args, .. } | ExprKind::Set(args) => each(&mut args.iter()),
        ExprKind::Record(fields) => each(&mut fields.values()),
        ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {}
    }
}

/// Whether an expression is a variable, or attributes of one.
fn is_path(expr: &Expr) -> bool {
    if let ExprKind::GetAttr { expr, .. } = expr.expr_kind() {
        return is_path(expr);
    }
    matches!(expr.expr_kind(), ExprKind::Var(Var::Principal | Var::Action | Var::Resource | Var::Context))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}
