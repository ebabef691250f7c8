//! Why an answer is what it is: policies as the engine tells them, and the grants behind roles and scopes.

use std::collections::HashMap;

use magistrate_engine::{self as engine, Known};
use magistrate_model::{Cause, Explanation, GrantExplained, GrantId, Outcome, PolicyExplained, Question, Verdict};

use crate::directory::{self, GrantView};
use crate::error::CheckError;
use crate::state::View;

/// What led to a verdict of this state. Callers that may not assert what things are like are not told either: the
/// values that clauses read are left out for them.
pub(crate) fn explain(
    view: &View,
    question: &Question,
    known: Option<&Known>,
    verdict: &Verdict,
) -> Result<Explanation, CheckError> {
    let evaluated = known.filter(|_| verdict.cause != Cause::ScopeCeiling);
    let mut explanation = match evaluated {
        Some(known) => engine::explain(&view.snapshot, question, known)
            .map_err(|unanswerable| CheckError::NotReady(unanswerable.to_string()))?,
        None => Explanation::default(),
    };
    if !question.query.caller.may_assert() {
        let policies = explanation.policies.iter_mut().chain(&mut explanation.nearest_permits);
        policies.for_each(without_values);
    }
    explanation.grants = grants(view, question, verdict);
    Ok(explanation)
}

/// Why something failed may name the values it failed on.
const WITHHELD: &str = "it could not be evaluated; why is told to callers that may assert";

fn without_values(policy: &mut PolicyExplained) {
    let withhold = |outcome: &mut Outcome| {
        if matches!(outcome, Outcome::Failed(_)) {
            *outcome = Outcome::Failed(WITHHELD.to_owned());
        }
    };
    withhold(&mut policy.outcome);
    for clause in &mut policy.clauses {
        withhold(&mut clause.outcome);
        clause.reads.clear();
    }
}

fn grants(view: &View, question: &Question, verdict: &Verdict) -> Vec<GrantExplained> {
    let principal = question.query.principal.uid();
    let directory = &view.directory;
    let data = question.facts.entities.iter().find(|entity| entity.uid == *principal);
    let above = data.map(|data| directory::above(data, |uid| directory.entity(uid)).entities).unwrap_or_default();
    let holders = std::iter::once(principal).chain(above.iter().map(|(entity, _)| &entity.uid));
    let held = holders.flat_map(|holder| directory.all_held_by(holder));
    let known: HashMap<GrantId, GrantView<'_>> = held.filter_map(|grant| Some((grant.id()?, grant))).collect();
    let explained = question.facts.grants.iter().filter_map(|in_force| {
        let grant = known.get(&in_force.id)?;
        Some(GrantExplained {
            id: in_force.id.clone(),
            holder: grant.holder()?,
            confers: in_force.confers.iter().cloned().collect(),
            resource: grant.resource(),
            expires_at: grant.term()?.expires_at(),
            used: verdict.grants.contains(&in_force.id),
        })
    });
    explained.collect()
}
