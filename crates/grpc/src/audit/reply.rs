//! What history holds, to the wire.

use magistrate_ledger::{RecordedDecision, StoredCheckpoint};
use magistrate_model::{EntityInput, EntityUid, Environment};
use magistrate_pdp::history::replay::{NotReplayable, Replayed};
use magistrate_pdp::history::{Bucket, Tally};
use magistrate_proto::structure::Struct;
use magistrate_proto::v1::{self, EntityRef};

use crate::reply::{advice, cause, class, decision as wire_decision, obligation, timestamp};
use crate::value::structure;

/// A record, field by field.
pub(super) fn decision(decision: &RecordedDecision) -> v1::RecordedDecision {
    let record = &decision.record;
    let (query, verdict) = (&record.query, &record.verdict);
    let (principal_attributes, principal_parents) = asserted(&query.principal);
    let (resource_attributes, resource_parents) = asserted(&query.resource);
    let caller = &query.caller;
    v1::RecordedDecision {
        decision_id: decision.id.to_string(),
        recorded_at: Some(timestamp(decision.recorded_at)),
        class: class(decision.class).into(),
        leaf: decision.leaf.as_bytes().to_vec(),
        principal: Some(entity_ref(query.principal.uid())),
        action: query.action.to_string(),
        resource: Some(entity_ref(query.resource.uid())),
        context: (!query.context.is_empty()).then(|| structure(&query.context)),
        environment: environment(&query.environment),
        request_id: query.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        caller_address: caller.address.map(|it| it.to_string()).unwrap_or_default(),
        caller_key: caller.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        trace_id: caller.trace.map(|it| it.to_string()).unwrap_or_default(),
        channel: caller.channel.name().to_owned(),
        decision: wire_decision(verdict.decision()).into(),
        cause: cause(verdict.cause).into(),
        determining_policies: texts(&verdict.determining),
        errored_policies: texts(&verdict.errored),
        grants: texts(&verdict.grants),
        grants_in_force: record.grants.iter().map(|grant| grant.id.to_string()).collect(),
        roles: texts(&record.roles),
        scopes: record.scopes.keys().map(ToString::to_string).collect(),
        facts: record.supplied.as_ref().map(structure),
        advice: verdict.advice.iter().map(advice).collect(),
        obligations: verdict.obligations.iter().map(obligation).collect(),
        revision: verdict.revision.number(),
        policy_set_digest: verdict.policy_set_digest.to_string(),
        entities_digest: record.entities_digest.to_string(),
        valid_until: verdict.valid_until.map(timestamp),
        summary: verdict.summary(),
        principal_attributes,
        resource_attributes,
        principal_parents,
        resource_parents,
        erased: texts(&decision.erased),
        tail_token: String::new(),
    }
}

/// Counts; stretches only if they were asked for.
pub(super) fn tally(tally: &Tally, with_histogram: bool) -> v1::CountDecisionsResponse {
    let bucket =
        |it: &Bucket| v1::DecisionCount { since: Some(timestamp(it.start)), allowed: it.allowed, denied: it.denied };
    let histogram = tally.buckets.iter().filter(|_| with_histogram).map(bucket);
    v1::CountDecisionsResponse {
        total: tally.total(),
        causes: tally.causes.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect(),
        histogram: histogram.collect(),
        cut_at: tally.cut_at.map(timestamp),
    }
}

/// What came out; under another state, only what was answered counts.
pub(super) fn replayed(outcome: &Result<Replayed, NotReplayable>, is_under: bool) -> v1::ReplayDecisionResponse {
    match outcome {
        Err(why) => v1::ReplayDecisionResponse {
            same: false,
            departures: Vec::new(),
            not_replayable: why.to_string(),
            not_replayable_reason: why.name().to_owned(),
        },
        Ok(replayed) => {
            let counts = replayed.departures.iter().filter(|it| !is_under || it.is_of_answer());
            let departures: Vec<_> = counts
                .map(|it| v1::Departure {
                    field: it.field.to_owned(),
                    recorded: it.recorded.clone(),
                    replayed: it.replayed.clone(),
                })
                .collect();
            let (same, none) = (departures.is_empty(), String::new);
            v1::ReplayDecisionResponse { same, departures, not_replayable: none(), not_replayable_reason: none() }
        }
    }
}

/// A checkpoint as it is stored.
pub(super) fn checkpoint(stored: &StoredCheckpoint) -> v1::SignedCheckpoint {
    v1::SignedCheckpoint {
        origin: stored.origin.clone(),
        size: u64::try_from(stored.size).unwrap_or_default(),
        note: stored.note.clone(),
    }
}

fn texts<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    items.into_iter().map(ToString::to_string).collect()
}

fn entity_ref(uid: &EntityUid) -> EntityRef {
    EntityRef { r#type: uid.type_name().to_string(), id: uid.id().as_str().to_owned() }
}

fn asserted(input: &EntityInput) -> (Option<Struct>, Vec<EntityRef>) {
    match input {
        EntityInput::Reference(_) => (None, Vec::new()),
        EntityInput::Asserted(data) => {
            (Some(structure(&data.attributes)), data.parents.iter().map(entity_ref).collect())
        }
    }
}

fn environment(environment: &Environment) -> Option<v1::Environment> {
    (!environment.is_empty()).then(|| v1::Environment {
        source_ip: environment.source_ip.map(|it| it.to_string()).unwrap_or_default(),
        user_agent: environment.user_agent.as_deref().unwrap_or_default().to_owned(),
        attributes: environment.attributes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    })
}
