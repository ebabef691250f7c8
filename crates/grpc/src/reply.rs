//! Recorded verdicts to responses.

use magistrate_ledger::Receipt;
use magistrate_model::{
    Cause, Decision, DurabilityClass, GrantExplained, Instant, Malformed, Notice, Outcome as ExplainedOutcome,
    PolicyExplained, Span, Verdict,
};
use magistrate_pdp::{BatchAnswer, Recorded};
use magistrate_proto::v1::batch_result::Outcome;
use magistrate_proto::v1::{self, BatchResult, CheckBatchResponse, CheckResponse, Explanation, ItemError};
use magistrate_proto::{Duration, Timestamp};
use tonic::Code;

use crate::batch::in_item;
use crate::status;

/// The response to a check. The only argument it can be built from proves that the answer was recorded.
pub(crate) fn check(recorded: &Recorded<Verdict>, explain: bool) -> CheckResponse {
    let verdict = recorded.answer();
    CheckResponse {
        decision: decision(verdict.decision()).into(),
        cause: cause(verdict.cause).into(),
        decision_id: recorded.receipt().id().to_string(),
        determining_policies: verdict.determining.iter().map(ToString::to_string).collect(),
        revision: verdict.revision.number(),
        valid_until: verdict.valid_until.map(timestamp),
        advice: verdict.advice.iter().map(advice).collect(),
        obligations: verdict.obligations.iter().map(obligation).collect(),
        explanation: explain.then(|| explanation(verdict)),
        policy_set_digest: verdict.policy_set_digest.to_string(),
        grants: verdict.grants.iter().map(|grant| grant.as_str().to_owned()).collect(),
        receipt: Some(receipt(recorded.receipt())),
        cache_for: duration(verdict.cache_for),
    }
}

/// The response to a batch.
pub(crate) fn batch(answer: &BatchAnswer, explain: bool) -> CheckBatchResponse {
    let results = answer.results.iter().enumerate();
    let outcomes = results.map(|(n, result)| match result {
        Ok(recorded) => Outcome::Response(check(recorded, explain)),
        Err(malformed) => Outcome::Error(item_error(n, malformed)),
    });
    CheckBatchResponse {
        results: outcomes.map(|outcome| BatchResult { outcome: Some(outcome) }).collect(),
        revision: answer.revision.number(),
        policy_set_digest: answer.policy_set_digest.to_string(),
    }
}

/// One sentence always; the rest where the decision point explained.
fn explanation(verdict: &Verdict) -> Explanation {
    let explained = verdict.explanation.as_deref();
    let policies = |of: &[PolicyExplained]| of.iter().map(policy_explanation).collect();
    Explanation {
        summary: verdict.summary(),
        policies: explained.map(|it| policies(&it.policies)).unwrap_or_default(),
        nearest_permits: explained.map(|it| policies(&it.nearest_permits)).unwrap_or_default(),
        grants: explained.map(|it| it.grants.iter().map(grant_explanation).collect()).unwrap_or_default(),
    }
}

fn policy_explanation(policy: &PolicyExplained) -> v1::PolicyExplanation {
    let (outcome, failure) = explanation_outcome(&policy.outcome);
    let scope = policy
        .scope
        .iter()
        .map(|(constraint, holds)| v1::ScopeExplanation { constraint: constraint.clone(), holds: *holds });
    let clauses = policy.clauses.iter().map(|clause| {
        let (outcome, failure) = explanation_outcome(&clause.outcome);
        let reads = clause
            .reads
            .iter()
            .map(|(expression, value)| v1::ReadExplanation { expression: expression.clone(), value: value.clone() });
        v1::ClauseExplanation { clause: clause.text.clone(), outcome, failure, reads: reads.collect() }
    });
    v1::PolicyExplanation {
        policy_id: policy.id.to_string(),
        permits: policy.permits,
        outcome,
        failure,
        scope: scope.collect(),
        clauses: clauses.collect(),
    }
}

fn explanation_outcome(outcome: &ExplainedOutcome) -> (i32, String) {
    let (outcome, failure) = match outcome {
        ExplainedOutcome::Satisfied => (v1::ExplanationOutcome::Satisfied, ""),
        ExplainedOutcome::NotSatisfied => (v1::ExplanationOutcome::NotSatisfied, ""),
        ExplainedOutcome::NotReached => (v1::ExplanationOutcome::NotReached, ""),
        ExplainedOutcome::Failed(why) => (v1::ExplanationOutcome::Failed, why.as_str()),
    };
    (outcome.into(), failure.to_owned())
}

fn grant_explanation(grant: &GrantExplained) -> v1::GrantExplanation {
    v1::GrantExplanation {
        grant_id: grant.id.as_str().to_owned(),
        holder: grant.holder.to_string(),
        confers: grant.confers.iter().map(ToString::to_string).collect(),
        resource: grant.resource.as_ref().map(ToString::to_string).unwrap_or_default(),
        expires_at: grant.expires_at.map(timestamp),
        used: grant.used,
    }
}

fn item_error(index: usize, malformed: &Malformed) -> ItemError {
    let violations = status::presentable(&in_item(index, malformed));
    ItemError {
        code: Code::InvalidArgument.into(),
        message: status::malformed_message(&violations),
        violations: violations
            .into_iter()
            .map(|it| v1::FieldViolation { field: it.field, description: it.description })
            .collect(),
    }
}

pub(crate) fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Allow => v1::Decision::Allow,
        Decision::Deny => v1::Decision::Deny,
    }
}

pub(crate) fn cause(cause: Cause) -> v1::Cause {
    match cause {
        Cause::Permitted => v1::Cause::Permitted,
        Cause::Forbidden => v1::Cause::Forbidden,
        Cause::NoPermit => v1::Cause::NoPermit,
        Cause::ForbidErrored => v1::Cause::ForbidErrored,
        Cause::UnknownPrincipal => v1::Cause::UnknownPrincipal,
        Cause::UnknownResource => v1::Cause::UnknownResource,
        Cause::UnknownEntity => v1::Cause::UnknownEntity,
        Cause::ScopeCeiling => v1::Cause::ScopeCeiling,
    }
}

pub(crate) fn class(class: DurabilityClass) -> v1::DurabilityClass {
    match class {
        DurabilityClass::Process => v1::DurabilityClass::Process,
        DurabilityClass::Disk => v1::DurabilityClass::Disk,
        DurabilityClass::Database => v1::DurabilityClass::Database,
    }
}

fn receipt(receipt: &Receipt) -> v1::Receipt {
    v1::Receipt {
        stream: receipt.id().stream.to_string(),
        seq: receipt.id().seq,
        leaf: receipt.leaf().as_bytes().to_vec(),
        class: class(receipt.class()).into(),
    }
}

pub(crate) fn advice(notice: &Notice) -> v1::Advice {
    v1::Advice { policy_id: notice.policy_id.to_string(), name: notice.name.clone(), value: notice.value.clone() }
}

pub(crate) fn obligation(notice: &Notice) -> v1::Obligation {
    v1::Obligation { policy_id: notice.policy_id.to_string(), name: notice.name.clone(), value: notice.value.clone() }
}

pub(crate) fn timestamp(instant: Instant) -> Timestamp {
    let (seconds, nanos) = parts(instant.micros());
    Timestamp { seconds, nanos }
}

/// No time at all is absent: the answer may not be reused.
fn duration(span: Span) -> Option<Duration> {
    let (seconds, nanos) = parts(span.micros());
    (span > Span::ZERO).then_some(Duration { seconds, nanos })
}

fn parts(micros: i64) -> (i64, i32) {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    (micros.div_euclid(1_000_000), nanos)
}
