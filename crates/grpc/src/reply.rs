//! Recorded verdicts to responses.

use magistrate_ledger::Receipt;
use magistrate_model::{Cause, Decision, DurabilityClass, Instant, Malformed, Notice, Span, Verdict};
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
        explanation: explain.then(|| Explanation { summary: verdict.summary() }),
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

fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Allow => v1::Decision::Allow,
        Decision::Deny => v1::Decision::Deny,
    }
}

fn cause(cause: Cause) -> v1::Cause {
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

fn receipt(receipt: &Receipt) -> v1::Receipt {
    let class = match receipt.class() {
        DurabilityClass::Process => v1::DurabilityClass::Process,
        DurabilityClass::Disk => v1::DurabilityClass::Disk,
        DurabilityClass::Database => v1::DurabilityClass::Database,
    };
    v1::Receipt {
        stream: receipt.id().stream.to_string(),
        seq: receipt.id().seq,
        leaf: receipt.leaf().as_bytes().to_vec(),
        class: class.into(),
    }
}

fn advice(notice: &Notice) -> v1::Advice {
    v1::Advice { policy_id: notice.policy_id.to_string(), name: notice.name.clone(), value: notice.value.clone() }
}

fn obligation(notice: &Notice) -> v1::Obligation {
    v1::Obligation { policy_id: notice.policy_id.to_string(), name: notice.name.clone(), value: notice.value.clone() }
}

fn timestamp(instant: Instant) -> Timestamp {
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
