//! An explanation, from either side of the wire, as JSON and for people.

use magistrate_client::v1::{self, ExplanationOutcome};
use magistrate_model::{Explanation, GrantExplained, Outcome, PolicyExplained};
use serde_json::{Value as Json, json};

use super::instant;

/// As a server tells it.
pub(super) fn of_wire(explanation: &v1::Explanation) -> Json {
    let outcome = |outcome: ExplanationOutcome| match outcome {
        ExplanationOutcome::Satisfied => "satisfied",
        ExplanationOutcome::NotSatisfied => "not_satisfied",
        ExplanationOutcome::Failed => "failed",
        ExplanationOutcome::NotReached => "not_reached",
        ExplanationOutcome::Unspecified => "unspecified",
    };
    let clause = |clause: &v1::ClauseExplanation| {
        let reads = clause.reads.iter().map(|it| json!({ "expression": it.expression, "value": it.value }));
        json!({
            "clause": clause.clause,
            "outcome": outcome(clause.outcome()),
            "failure": clause.failure,
            "reads": reads.collect::<Vec<_>>(),
        })
    };
    let policy = |policy: &v1::PolicyExplanation| {
        let scope = policy.scope.iter().map(|it| json!({ "constraint": it.constraint, "holds": it.holds }));
        json!({
            "policy_id": policy.policy_id,
            "permits": policy.permits,
            "outcome": outcome(policy.outcome()),
            "failure": policy.failure,
            "scope": scope.collect::<Vec<_>>(),
            "clauses": policy.clauses.iter().map(clause).collect::<Vec<_>>(),
        })
    };
    let grant = |grant: &v1::GrantExplanation| {
        json!({
            "grant_id": grant.grant_id,
            "holder": grant.holder,
            "confers": grant.confers,
            "resource": grant.resource,
            "expires_at": grant.expires_at.as_ref().and_then(instant),
            "used": grant.used,
        })
    };
    json!({
        "policies": explanation.policies.iter().map(policy).collect::<Vec<_>>(),
        "grants": explanation.grants.iter().map(grant).collect::<Vec<_>>(),
        "nearest_permits": explanation.nearest_permits.iter().map(policy).collect::<Vec<_>>(),
    })
}

/// As this process found it.
pub(super) fn of_model(explanation: &Explanation) -> Json {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Satisfied => ("satisfied", String::new()),
        Outcome::NotSatisfied => ("not_satisfied", String::new()),
        Outcome::Failed(why) => ("failed", why.clone()),
        Outcome::NotReached => ("not_reached", String::new()),
    };
    let policy = |policy: &PolicyExplained| {
        let scope = policy.scope.iter().map(|(constraint, holds)| json!({ "constraint": constraint, "holds": holds }));
        let clauses = policy.clauses.iter().map(|clause| {
            let (came_out, failure) = outcome(&clause.outcome);
            let reads = clause.reads.iter().map(|(of, value)| json!({ "expression": of, "value": value }));
            let reads = reads.collect::<Vec<_>>();
            json!({ "clause": clause.text, "outcome": came_out, "failure": failure, "reads": reads })
        });
        let (came_out, failure) = outcome(&policy.outcome);
        json!({
            "policy_id": policy.id.as_str(),
            "permits": policy.permits,
            "outcome": came_out,
            "failure": failure,
            "scope": scope.collect::<Vec<_>>(),
            "clauses": clauses.collect::<Vec<_>>(),
        })
    };
    let grant = |grant: &GrantExplained| {
        json!({
            "grant_id": grant.id.as_str(),
            "holder": grant.holder.to_string(),
            "confers": grant.confers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "resource": grant.resource.as_ref().map(ToString::to_string).unwrap_or_default(),
            "expires_at": grant.expires_at.map(|at| at.to_string()),
            "used": grant.used,
        })
    };
    json!({
        "policies": explanation.policies.iter().map(policy).collect::<Vec<_>>(),
        "grants": explanation.grants.iter().map(grant).collect::<Vec<_>>(),
        "nearest_permits": explanation.nearest_permits.iter().map(policy).collect::<Vec<_>>(),
    })
}

/// For people: `+` holds, `-` does not, `!` could not be evaluated.
pub(super) fn text(explanation: &Json) -> String {
    let mut lines = Vec::new();
    let items = |name: &str| explanation.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
    let sections = [
        ("policies", "Policies whose scope matches"),
        ("nearest_permits", "Permits that came nearest, and what they lack"),
    ];
    for (name, title) in sections {
        let policies = items(name);
        if !policies.is_empty() {
            lines.push(format!("\n{title}"));
            policies.iter().for_each(|policy| policy_lines(policy, name == "policies", &mut lines));
        }
    }
    let grants = items("grants");
    if !grants.is_empty() {
        lines.push("\nGrants in force (* the answer rests on it)".to_owned());
        grants.iter().for_each(|grant| lines.push(grant_line(grant)));
    }
    lines.join("\n")
}

fn policy_lines(policy: &Json, matches: bool, lines: &mut Vec<String>) {
    let kind = if policy.get("permits").and_then(Json::as_bool).unwrap_or_default() { "permit" } else { "forbid" };
    lines.push(format!("  {} {kind} {}{}", mark(policy), string(policy, "policy_id"), failure(policy)));
    for constraint in policy.get("scope").and_then(Json::as_array).into_iter().flatten() {
        let holds = constraint.get("holds").and_then(Json::as_bool).unwrap_or_default();
        // Where the whole scope matches, it goes without saying.
        if !(matches && holds) {
            lines.push(format!("      {} {}", if holds { '+' } else { '-' }, string(constraint, "constraint")));
        }
    }
    for clause in policy.get("clauses").and_then(Json::as_array).into_iter().flatten() {
        lines.push(format!("      {} {}{}", mark(clause), string(clause, "clause"), failure(clause)));
        for read in clause.get("reads").and_then(Json::as_array).into_iter().flatten() {
            lines.push(format!("          {} is {}", string(read, "expression"), string(read, "value")));
        }
    }
}

fn grant_line(grant: &Json) -> String {
    let used = grant.get("used").and_then(Json::as_bool).unwrap_or_default();
    let confers = grant.get("confers").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let place = match string(grant, "resource") {
        "" => "everywhere".to_owned(),
        resource => format!("on {resource}"),
    };
    let end = match string(grant, "expires_at") {
        "" => "without an end".to_owned(),
        at => format!("until {at}"),
    };
    let confers = confers.collect::<Vec<_>>().join(", ");
    let (id, holder) = (string(grant, "grant_id"), string(grant, "holder"));
    format!("  {} {id}: {holder} has {confers} {place}, {end}", if used { '*' } else { ' ' })
}

fn mark(of: &Json) -> char {
    match string(of, "outcome") {
        "satisfied" => '+',
        "failed" => '!',
        _ => '-',
    }
}

fn failure(of: &Json) -> String {
    match string(of, "failure") {
        "" => String::new(),
        why => format!("  ({why})"),
    }
}

fn string<'a>(of: &'a Json, name: &str) -> &'a str {
    of.get(name).and_then(Json::as_str).unwrap_or_default()
}
