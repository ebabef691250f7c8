//! Decisions as rows, pages and JSON.

use magistrate_ledger::RecordedDecision;
use magistrate_model::{EntityInput, Environment, LoggedChange, Notice, PolicyId, RequestId, json};
use serde_json::{Value as Json, json as object};

pub(crate) const HEADERS: [&str; 8] = ["at", "decision", "cause", "principal", "action", "resource", "policies", "id"];

pub(crate) fn row(decision: &RecordedDecision) -> Vec<String> {
    let (query, verdict) = (&decision.record.query, &decision.record.verdict);
    let policies: Vec<&str> = verdict.determining.iter().map(PolicyId::as_str).collect();
    vec![
        decision.recorded_at.to_string(),
        verdict.decision().to_string(),
        verdict.cause.to_string(),
        query.principal.uid().to_string(),
        query.action.to_string(),
        query.resource.uid().to_string(),
        policies.join(", "),
        decision.id.to_string(),
    ]
}

/// Everything a record holds, as JSON; what was erased says so at its place.
pub(crate) fn json(decision: &RecordedDecision) -> Json {
    let mut json = sealed(decision);
    mark(&mut json, decision, "erased");
    json
}

/// The same of a record alone, without the private values beside it.
pub(crate) fn json_of_record(decision: &RecordedDecision) -> Json {
    let mut json = sealed(decision);
    mark(&mut json, decision, "private");
    json
}

fn mark(json: &mut Json, decision: &RecordedDecision, word: &str) {
    if decision.erased.is_empty() {
        return;
    }
    for path in &decision.erased {
        let path = path.to_string();
        let mut keys: Vec<&str> =
            path.splitn(if path.starts_with("environment.attributes.") { 3 } else { 2 }, '.').collect();
        if ["principal", "resource"].contains(&keys.first().copied().unwrap_or_default()) {
            keys.insert(1, "attributes");
        }
        let place = keys.into_iter().fold(&mut *json, |at, key| {
            if at.is_null() {
                *at = object!({});
            }
            &mut at[key]
        });
        *place = Json::from(format!("({word})"));
    }
    json[word] = decision.erased.iter().map(ToString::to_string).collect();
}

fn sealed(decision: &RecordedDecision) -> Json {
    let record = &decision.record;
    let (query, verdict) = (&record.query, &record.verdict);
    let texts = |items: &mut dyn Iterator<Item = String>| Json::Array(items.map(Json::from).collect());
    object!({
        "id": decision.id.to_string(),
        "leaf": decision.leaf.to_string(),
        "class": decision.class.name(),
        "at": decision.recorded_at.to_string(),
        "decision": verdict.decision().name(),
        "cause": verdict.cause.name(),
        "summary": verdict.summary(),
        "principal": party(&query.principal),
        "action": query.action.to_string(),
        "resource": party(&query.resource),
        "context": json::record(&query.context),
        "environment": environment(&query.environment),
        "request_id": query.request_id.as_ref().map(RequestId::as_str),
        "caller": { "address": query.caller.address.map(|it| it.to_string()), "channel": query.caller.channel.name(),
            "key": query.caller.key.as_ref().map(ToString::to_string), "trace": query.caller.trace.map(|it| it.to_string()) },
        "determining_policies": texts(&mut verdict.determining.iter().map(ToString::to_string)),
        "errored_policies": texts(&mut verdict.errored.iter().map(ToString::to_string)),
        "roles": texts(&mut record.roles.iter().map(ToString::to_string)),
        "scopes": texts(&mut record.scopes.keys().map(ToString::to_string)),
        "grants_in_force": texts(&mut record.grants.iter().map(|grant| grant.id.to_string())),
        "grants": texts(&mut verdict.grants.iter().map(ToString::to_string)),
        "facts": record.supplied.as_ref().map(json::record),
        "advice": notices(&verdict.advice),
        "obligations": notices(&verdict.obligations),
        "revision": verdict.revision.number(),
        "policy_set_digest": verdict.policy_set_digest.to_string(),
        "entities_digest": record.entities_digest.to_string(),
        "valid_until": verdict.valid_until.map(|it| it.to_string()),
    })
}

/// A row of the change log as JSON.
pub(crate) fn change(change: &LoggedChange) -> Json {
    let parsed =
        |text: &Option<String>| text.as_deref().map(|text| json::parse(text).unwrap_or_else(|_| Json::from(text)));
    object!({
        "revision": change.revision.number(),
        "ordinal": change.ordinal,
        "kind": change.kind,
        "key": change.key,
        "before": parsed(&change.before),
        "after": parsed(&change.after),
        "actor": change.authorship.actor.as_str(),
        "reason": change.authorship.reason.as_str(),
        "at": change.authorship.at.to_string(),
    })
}

/// A decision for people: a name and a value a line.
pub(crate) fn page(decision: &RecordedDecision) -> String {
    let json = json(decision);
    let lines = json.as_object().into_iter().flatten().filter(|(_, value)| !is_nothing(value));
    lines.map(|(name, value)| format!("{name:<22}{}", text(value))).collect::<Vec<_>>().join("\n")
}

fn is_nothing(value: &Json) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn text(value: &Json) -> String {
    let plain = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Json::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Json::Object(map) => {
            map.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => plain(value),
    }
}

fn party(party: &EntityInput) -> Json {
    match party {
        EntityInput::Reference(uid) => Json::from(uid.to_string()),
        EntityInput::Asserted(data) => json::entity(data),
    }
}

fn environment(environment: &Environment) -> Json {
    if environment.is_empty() {
        return Json::Null;
    }
    object!({
        "source_ip": environment.source_ip.map(|it| it.to_string()),
        "user_agent": environment.user_agent,
        "attributes": environment.attributes.iter().map(|(k, v)| (k.to_string(), Json::from(v.as_ref()))).collect::<serde_json::Map<_, _>>(),
    })
}

fn notices(notices: &[Notice]) -> Json {
    let notice = |notice: &Notice| object!({ "policy_id": notice.policy_id.as_str(), "name": notice.name, "value": notice.value });
    Json::Array(notices.iter().map(notice).collect())
}
