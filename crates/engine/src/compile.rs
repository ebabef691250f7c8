//! From texts to a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use magistrate_model::PolicyId;

use crate::finding::{Finding, Rule};
use crate::guard;
use crate::policy::{self, CheckedPolicy, ParsedPolicy};
use crate::roles;
use crate::rules::{RuleId, Rules};
use crate::schema::{self, CompiledSchema};
use crate::snapshot::{OTHER_ID, Snapshot, Source, unprocessable};
use crate::stack;
use crate::validate::{self, Hops};

/// A snapshot of the same schema, and which of its policies stay.
pub(crate) struct Before<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) kept: Vec<&'a PolicyId>,
}

/// A policy of the new snapshot: where it stood before, or what it was parsed to.
enum Part {
    Kept(RuleId),
    New(Box<ParsedPolicy>, Hops),
}

/// Compiles new texts beside the policies that stay.
pub(crate) fn compile(
    schema: &Source,
    sources: &[Source],
    before: Option<Before<'_>>,
) -> Result<Snapshot, Vec<Finding>> {
    let schema = match &before {
        Some(before) => Arc::clone(&before.snapshot.schema),
        None => {
            guard::check(schema.as_pair())?;
            Arc::new(CompiledSchema::of(&schema.text, schema::parse(schema.as_pair())?)?)
        }
    };
    let parsed = parse_all(sources)?;
    let assigned = schema.assigned_types();
    let misused: Vec<Finding> = parsed.values().flat_map(|policy| roles::check(policy, &assigned)).collect();
    if !misused.is_empty() {
        return Err(misused);
    }
    let hops_before = before.as_ref().map_or(0, |before| before.snapshot.dereferences());
    let hops = validate::validate(&schema.cedar, hops_before, &parsed)?;
    let new = parsed.into_iter().zip(hops).map(|((id, policy), hops)| (id, Part::New(Box::new(policy), hops)));
    let mut parts: BTreeMap<PolicyId, Part> = new.collect();
    if let Some(before) = &before {
        keep(before, &mut parts)?;
    }
    assemble(schema, before.map(|before| before.snapshot), parts).ok_or_else(unprocessable)
}

/// Adds the policies that stay.
fn keep(before: &Before<'_>, parts: &mut BTreeMap<PolicyId, Part>) -> Result<(), Vec<Finding>> {
    let mut findings = Vec::new();
    for id in &before.kept {
        let Some(place) = before.snapshot.place(id) else { return Err(unprocessable()) };
        match parts.insert((*id).clone(), Part::Kept(RuleId::at(place))) {
            None => {}
            Some(Part::New(policy, _)) => findings.push(taken(&policy, &format!("policy {id}"))),
            Some(Part::Kept(_)) => {
                let source = format!("policy {id}");
                let message = format!("the id `{id}` is taken by a policy before it");
                findings.push(Finding::whole((&source, ""), Rule::Id, message, Some(OTHER_ID.to_owned())));
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// `None` where a policy has a slot that is not filled.
fn assemble(
    schema: Arc<CompiledSchema>,
    before: Option<&Snapshot>,
    parts: BTreeMap<PolicyId, Part>,
) -> Option<Snapshot> {
    let mut policies = Vec::with_capacity(parts.len());
    let mut hops = Vec::with_capacity(parts.len());
    let mut places = Vec::with_capacity(parts.len());
    for part in parts.into_values() {
        let (policy, its_hops, place) = match part {
            Part::New(policy, hops) => (Arc::new(CheckedPolicy::of(*policy)), hops, None),
            Part::Kept(rule) => {
                let before = before?;
                (Arc::clone(before.policies.get(rule.place())?), *before.hops.get(rule.place())?, Some(rule))
            }
        };
        policies.push(policy);
        hops.push(its_hops);
        places.push(place);
    }
    let parts = policies.iter().map(|policy| policy.cedar.as_ref()).zip(places);
    let rules = Rules::following(before.map(|before| &before.rules), parts, &schema.action_entities)?;
    Some(Snapshot::assemble(schema, policies, rules, hops))
}

fn parse_all(sources: &[Source]) -> Result<BTreeMap<PolicyId, ParsedPolicy>, Vec<Finding>> {
    let parse = |source: &Source| guard::check(source.as_pair()).and_then(|()| policy::parse(source));
    let shares = stack::in_shares(sources, |share| share.iter().map(parse).collect::<Vec<_>>());
    let mut findings = Vec::new();
    let mut parsed: BTreeMap<PolicyId, ParsedPolicy> = BTreeMap::new();
    for source in shares.ok_or_else(unprocessable)?.into_iter().flatten() {
        match source {
            Ok(policies) => policies.into_iter().for_each(|policy| insert_unique(&mut parsed, policy, &mut findings)),
            Err(found) => findings.extend(found),
        }
    }
    match findings.is_empty() {
        true => Ok(parsed),
        false => Err(findings),
    }
}

fn insert_unique(parsed: &mut BTreeMap<PolicyId, ParsedPolicy>, policy: ParsedPolicy, findings: &mut Vec<Finding>) {
    let id = policy.info.id.clone();
    match parsed.get(&id) {
        Some(first) => findings.push(taken(&policy, &first.source.name)),
        None => drop(parsed.insert(id, policy)),
    }
}

fn taken(policy: &ParsedPolicy, by: &str) -> Finding {
    let message = format!("the id `{}` is taken by a policy in {by}", policy.info.id);
    policy.finding(Rule::Id, message, OTHER_ID)
}
