//! `audit acts`: what was done to the history, or learned from it.

use std::collections::VecDeque;

use anyhow::Context as _;
use magistrate_ledger::{
    Act, ActRecord, Answered, Asked, DifferingDecision, Erasure, Policies, RefusedCall, SecondWay, Selection,
    SignedExpiry, StoredAct,
};
use magistrate_model::Instant;
use magistrate_pdp::Unlogged as _;
use serde_json::{Value as Json, json};

use super::retention::date;
use crate::cli::ActsArgs;
use crate::output::Out;
use crate::store::Store;
use crate::verbs::input;

/// Acts read at a time.
const PAGE: u32 = 1_000;

/// Gives the acts behind a place, of one kind or of all, in their order; tells the place of the last one.
pub(super) async fn each(
    store: &Store,
    kind: Option<&str>,
    mut after: u64,
    mut take: impl FnMut(&StoredAct) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    loop {
        let page = store.acts(kind, after, PAGE).await?;
        page.iter().try_for_each(&mut take)?;
        let Some(last) = page.last() else { return Ok(after) };
        after = u64::try_from(last.place).unwrap_or(after).max(after + 1);
    }
}

pub(super) async fn run(store: &Store, out: Out, args: &ActsArgs, now: Instant) -> anyhow::Result<()> {
    let wanted = Wanted::of(args, now)?;
    let mut newest = VecDeque::new();
    each(store, args.kind.as_deref(), 0, |row| {
        let act = decoded(row)?;
        if wanted.wants(&act) {
            newest.push_back(act);
        }
        if newest.len() > args.lines {
            newest.pop_front();
        }
        Ok(())
    })
    .await?;
    let rows: Vec<_> = newest.iter().map(row).collect();
    out.rows(&["at", "actor", "act", "what"], &rows, || newest.iter().map(json).collect())?;
    Ok(())
}

/// Which acts are wanted, besides their kind.
struct Wanted<'a> {
    args: &'a ActsArgs,
    since: Option<Instant>,
    until: Option<Instant>,
}

impl<'a> Wanted<'a> {
    fn of(args: &'a ActsArgs, now: Instant) -> anyhow::Result<Self> {
        let instant = |text: &Option<String>| text.as_deref().map(|text| input::ago(text, now)).transpose();
        Ok(Self { args, since: instant(&args.since)?, until: instant(&args.until)? })
    }

    fn wants(&self, act: &ActRecord) -> bool {
        let ActsArgs { actor, cause, caller, .. } = self.args;
        self.since.is_none_or(|since| act.at >= since)
            && self.until.is_none_or(|until| act.at < until)
            && actor.as_ref().is_none_or(|actor| act.actor.as_str() == actor)
            && cause.as_ref().is_none_or(|cause| cause_of(&act.act) == Some(cause))
            && caller.as_ref().is_none_or(|caller| caller_of(&act.act) == Some(caller))
    }
}

fn cause_of(act: &Act) -> Option<&str> {
    match act {
        Act::Refusal { cause, .. } => Some(cause),
        Act::Refused(call) => Some(&call.cause),
        Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Hold { .. }
        | Act::Erasure(_)
        | Act::UnsignedErasure { .. }
        | Act::Difference(_) => None,
    }
}

fn caller_of(act: &Act) -> Option<&str> {
    match act {
        Act::Refusal { source, .. } => source.strip_prefix("key:"),
        Act::Refused(call) => Some(call.caller.as_str()),
        Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Hold { .. }
        | Act::Erasure(_)
        | Act::UnsignedErasure { .. }
        | Act::Difference(_) => None,
    }
}

fn decoded(row: &StoredAct) -> anyhow::Result<ActRecord> {
    let sealed = row.decode().map_err(|why| anyhow::anyhow!("{why}"));
    let sealed = sealed.with_context(|| format!("act {} is damaged; run `magistrate audit verify`", row.place))?;
    Ok(sealed.record)
}

fn row(act: &ActRecord) -> Vec<String> {
    vec![act.at.to_string(), act.actor.to_string(), act.act.kind().to_owned(), what(&act.act)]
}

fn what(act: &Act) -> String {
    match act {
        Act::Access { verb, query, records } => format!("{verb} {query}: {records} records"),
        Act::Enrolment { node, revoked: false, .. } => format!("the key of {node} signs"),
        Act::Enrolment { node, revoked: true, .. } => format!("the key of {node} signs no more"),
        Act::Retention(SignedExpiry { expiry, .. }) => {
            format!("{} records of {} were taken out: {}", expiry.records, date(expiry.day), expiry.reason)
        }
        Act::Hold { name, released: true, reason, .. } => format!("{name} is released: {reason}"),
        Act::Hold { name, first, last, reason, .. } => {
            let last = last.map_or("all to come".to_owned(), date);
            format!("{name} holds {} to {last}: {reason}", date(*first))
        }
        Act::Refusal { cause, source, count, first, last } => {
            format!("{cause} from {source}: {count}, from {first} to {last}")
        }
        Act::Refused(call) => refused(call),
        Act::Erasure(signed) => {
            let Erasure { of, reason, .. } = &signed.erasure;
            erased(of, reason, signed.erasure.decisions())
        }
        Act::UnsignedErasure { of, reason, decisions } => erased(of, reason, *decisions),
        Act::Difference(decision) => differing(decision),
    }
}

fn erased(of: &Selection, reason: &str, decisions: u64) -> String {
    format!("the private values of {decisions} decisions were erased, {}: {reason}", words(of))
}

/// The parts of a question that are known.
fn parts(Asked { principal, action, resource }: &Asked) -> String {
    [principal, action, resource].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Of a decision that the two ways of deciding make differently.
fn differing(it: &DifferingDecision) -> String {
    let which = it.decision.map_or_else(|| format!("question {}", it.question), |id| format!("decision {id}"));
    let said = |it: &Answered| {
        let (determining, errored) = (named(&it.determining), named(&it.errored));
        let errored = if errored.is_empty() { errored } else { format!(", failing {errored}") };
        let by = if determining.is_empty() { determining } else { format!(" by {determining}") };
        format!("{}{by}{errored}", it.cause)
    };
    let asked = parts(&it.asked);
    let second = match it.second {
        SecondWay::Authorizer => "; to Cedar's own authorizer it is",
        SecondWay::Evaluation => " as an earlier answer; evaluated anew it is",
    };
    format!("{which} ({asked}) was {}{second} {}", said(&it.answered), said(&it.says))
}

/// Policies, as far as they are named.
fn named(policies: &Policies) -> String {
    let ids: Vec<&str> = policies.first.iter().map(magistrate_model::PolicyId::as_str).collect();
    let more = policies.count.saturating_sub(ids.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", ids.join(", "))
}

fn refused(call: &RefusedCall) -> String {
    let asked = parts(&call.asked);
    let from = call.address.map_or_else(|| "here".to_owned(), |address| address.to_string());
    let asked = if asked.is_empty() { asked } else { format!(" ({asked})") };
    format!("{} to key:{} at {from} for {}{asked}: {}", call.cause, call.caller, call.method, call.why)
}

fn json(act: &ActRecord) -> Json {
    let mut json = json!({
        "id": act.id.to_string(),
        "at": act.at.to_string(),
        "actor": act.actor.as_str(),
        "act": act.act.kind(),
        "what": what(&act.act),
    });
    if let (Json::Object(json), Json::Object(details)) = (&mut json, details(&act.act)) {
        json.extend(details);
    }
    json
}

/// A selection in words.
fn words(of: &Selection) -> String {
    let Selection { principal, resource, since, until } = of;
    let parts = [
        principal.as_ref().map(|it| format!("of {it}")),
        resource.as_ref().map(|it| format!("on {it}")),
        since.map(|it| format!("since {it}")),
        until.map(|it| format!("before {it}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What programs want to know of an act, word by word.
fn details(act: &Act) -> Json {
    match act {
        Act::Access { .. } | Act::Enrolment { .. } => Json::Null,
        Act::Retention(SignedExpiry { expiry, .. }) => json!({
            "day": date(expiry.day), "records": expiry.records, "reason": expiry.reason,
        }),
        Act::Hold { name, first, last, reason, released } => json!({
            "name": name, "first": date(*first), "last": last.map(date), "reason": reason, "released": released,
        }),
        Act::Refusal { cause, source, count, first, last } => json!({
            "cause": cause, "source": source, "count": count,
            "first": first.to_string(), "last": last.to_string(),
        }),
        Act::Erasure(signed) => erasure(&signed.erasure.of, &signed.erasure.reason, signed.erasure.decisions(), true),
        Act::UnsignedErasure { of, reason, decisions } => erasure(of, reason, *decisions, false),
        Act::Difference(it) => json!({
            "decision_id": it.decision.map(|id| id.to_string()),
            "question_digest": it.question.to_string(),
            "principal": it.asked.principal,
            "action": it.asked.action,
            "resource": it.asked.resource,
            "revision": it.revision.number(),
            "policy_set_digest": it.policy_set.to_string(),
            "answered": said(&it.answered),
            "second": it.second.name(),
            "says": said(&it.says),
        }),
        Act::Refused(call) => json!({
            "cause": call.cause,
            "caller": call.caller.as_str(),
            "address": call.address.map(|address| address.to_string()),
            "method": call.method,
            "principal": call.asked.principal,
            "action": call.asked.action,
            "resource": call.asked.resource,
            "trace_id": call.trace.map(|trace| trace.to_string()),
            "why": call.why,
        }),
    }
}

fn erasure(of: &Selection, reason: &str, decisions: u64, is_signed: bool) -> Json {
    json!({
        "principal": of.principal, "resource": of.resource, "since": of.since.map(|it| it.to_string()),
        "until": of.until.map(|it| it.to_string()), "reason": reason, "decisions": decisions, "signed": is_signed,
    })
}

fn said(it: &Answered) -> Json {
    let policies = |policies: &Policies| -> Vec<String> { policies.first.iter().map(ToString::to_string).collect() };
    json!({
        "decision": it.cause.decision().name(),
        "cause": it.cause.name(),
        "determining": policies(&it.determining),
        "determining_count": it.determining.count,
        "errored": policies(&it.errored),
        "errored_count": it.errored.count,
    })
}
