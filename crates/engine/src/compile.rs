//! From texts to a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use magistrate_model::TypeName;

use crate::finding::{Finding, Rule};
use crate::guard;
use crate::meaning;
use crate::policy::{self, CheckedPolicy, ParsedPolicy};
use crate::rules::{RuleId, Rules};
use crate::schema::{self, CompiledSchema};
use crate::snapshot::{OTHER_ID, Snapshot, Source, unprocessable};
use crate::stack;
use crate::validate::{self, Hops};

/// A snapshot of the same schema, and where those of its policies stand that stay.
pub(crate) struct Before<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) kept: &'a [RuleId],
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
    let mut parsed = parse_all(sources, &schema.assigned_types())?;
    let misused: Vec<Finding> = parsed.iter_mut().flat_map(|policy| std::mem::take(&mut policy.misused)).collect();
    if !misused.is_empty() {
        return Err(misused);
    }
    let hops_before = before.as_ref().map_or(0, |before| before.snapshot.dereferences());
    let hops = validate::validate(&schema.validator, hops_before, &parsed)?;
    let mut parts = Parts::default();
    let mut new = parsed.into_iter().zip(hops).peekable();
    let kept = before.as_ref().map_or(Ok(Vec::new()), in_order)?;
    for (place, policy, hops) in kept {
        while let Some((new, hops)) = new.next_if(|(new, _)| new.info.id < policy.info.id) {
            parts.add(CheckedPolicy::of(new).into(), hops, None);
        }
        if let Some((new, _)) = new.next_if(|(new, _)| new.info.id == policy.info.id) {
            parts.findings.push(taken(&new, &format!("policy {}", policy.info.id)));
        }
        parts.add(Arc::clone(policy), hops, Some(place));
    }
    new.for_each(|(new, hops)| parts.add(CheckedPolicy::of(new).into(), hops, None));
    match parts.findings.is_empty() {
        true => parts.assemble(schema, before.map(|before| before.snapshot)).ok_or_else(unprocessable),
        false => Err(parts.findings),
    }
}

/// A policy that stays.
type Kept<'a> = (RuleId, &'a Arc<CheckedPolicy>, Hops);

/// The policies that stay, in order; findings where one stays twice.
fn in_order<'a>(before: &Before<'a>) -> Result<Vec<Kept<'a>>, Vec<Finding>> {
    let mut places = before.kept.to_vec();
    places.sort_unstable();
    let find = |place: &RuleId| {
        let (policies, hops) = (&before.snapshot.policies, &before.snapshot.hops);
        Some((*place, policies.get(place.place())?, *hops.get(place.place())?))
    };
    let kept = places.iter().map(find).collect::<Option<Vec<_>>>().ok_or_else(unprocessable)?;
    let twice = kept.windows(2).filter(|pair| matches!(pair, [(one, ..), (other, ..)] if one == other));
    let finding = |pair: &[Kept<'a>]| {
        let id = &pair.first()?.1.info.id;
        let message = format!("the id `{id}` is taken by a policy before it");
        Some(Finding::whole((&format!("policy {id}"), ""), Rule::Id, message, Some(OTHER_ID.to_owned())))
    };
    let findings: Vec<Finding> = twice.filter_map(finding).collect();
    if findings.is_empty() { Ok(kept) } else { Err(findings) }
}

/// The policies of the new snapshot, in order of their ids.
#[derive(Default)]
struct Parts {
    policies: Vec<Arc<CheckedPolicy>>,
    hops: Vec<Hops>,
    /// Where each stood before.
    places: Vec<Option<RuleId>>,
    findings: Vec<Finding>,
}

impl Parts {
    fn add(&mut self, policy: Arc<CheckedPolicy>, hops: Hops, place: Option<RuleId>) {
        self.policies.push(policy);
        self.hops.push(hops);
        self.places.push(place);
    }

    /// `None` where a policy has a slot that is not filled, or a thread cannot be had.
    fn assemble(self, schema: Arc<CompiledSchema>, before: Option<&Snapshot>) -> Option<Snapshot> {
        let Self { policies, hops, places, .. } = self;
        let meanings = || policies.iter().map(|policy| (&policy.info.id, &*policy.canonical));
        let parts = policies.iter().map(|policy| policy.cedar.as_ref()).zip(places);
        let prepare = || Rules::following(before.map(|before| &before.rules), parts, &schema.action_entities);
        let (digest, rules) = stack::beside(|| meaning::digest(&schema.canonical, meanings()), prepare)?;
        Some(Snapshot::assemble(schema, policies, rules?, hops, digest))
    }
}

/// In order of their ids.
fn parse_all(sources: &[Source], assigned: &BTreeSet<&TypeName>) -> Result<Vec<ParsedPolicy>, Vec<Finding>> {
    let parse = |source: &Source| guard::check(source.as_pair()).and_then(|()| policy::parse(source, assigned));
    let pieces = stack::in_pieces(sources, 1, || |piece: &[Source]| piece.iter().map(parse).collect::<Vec<_>>());
    let mut findings = Vec::new();
    let mut parsed: Vec<ParsedPolicy> = Vec::new();
    for source in pieces.ok_or_else(unprocessable)?.into_iter().flatten() {
        match source {
            Ok(policies) => parsed.extend(policies),
            Err(found) => findings.extend(found),
        }
    }
    // Of one id, the first stays the first.
    parsed.sort_by(|one, other| one.info.id.cmp(&other.info.id));
    for same in parsed.chunk_by(|one, other| one.info.id == other.info.id) {
        let Some((first, others)) = same.split_first() else { continue };
        findings.extend(others.iter().map(|other| taken(other, &first.source.name)));
    }
    match findings.is_empty() {
        true => Ok(parsed),
        false => Err(findings),
    }
}

fn taken(policy: &ParsedPolicy, by: &str) -> Finding {
    let message = format!("the id `{}` is taken by a policy in {by}", policy.info.id);
    policy.finding(Rule::Id, message, OTHER_ID)
}
