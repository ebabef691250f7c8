//! Answering a question.

use magistrate_model::{
    Cause, DurabilityClass, EntityUid, GrantId, Instant, Missing, Question, Record, Revision, Span, Verdict,
};

use crate::entity_types::{ActionInfo, EntityTypeInfo};
use crate::known::Known;
use crate::policy::{Effect, PolicyInfo};
use crate::reference::{MAX_AUTHORIZER_ENTITIES, entity_count};
use crate::rules::{Ask, Examination, Given, RuleId};
use crate::schema::FACTS;
use crate::snapshot::Snapshot;

/// The question cannot be put to Cedar: what is stored no longer fits the schema. Never a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate the request: {0}")]
pub struct Unanswerable(String);

impl Unanswerable {
    /// For a reason.
    pub fn new(why: String) -> Self {
        Self(why)
    }
}

/// How a question is put to Cedar's semantics.
#[derive(Debug, Clone, Copy)]
pub enum Evaluator<'a> {
    /// Prepared rules on prepared entities.
    Rules(&'a Known),
    /// Cedar's own authorizer over all policies, on the facts of the question: the second opinion, at its price.
    Authorizer,
}

/// Whether Cedar's authorizer can be given a question: it bounds what it takes.
pub fn is_for_authorizer(question: &Question) -> bool {
    entity_count(question) <= MAX_AUTHORIZER_ENTITIES
}

/// A verdict, and whether it can be another for the same question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was answered.
    pub verdict: Verdict,
    /// Whether a policy that was evaluated reads facts that may be others when the same is asked again: the time, the age of
    /// the data, an address. Cedar's authorizer does not tell, and counts as reading them.
    pub reads_passing: bool,
}

/// Answers a question whose query was admitted by this snapshot.
///
/// Before policy: a missing entity and the scope ceiling deny; `known` is not asked for then. Otherwise Cedar's
/// response is found, and an errored `forbid` counts as matching. Allow is named by at least one permit.
pub fn respond<'a>(
    snapshot: &Snapshot,
    question: &Question,
    revision: Revision,
    evaluator: impl FnOnce() -> Result<Evaluator<'a>, Unanswerable>,
) -> Result<Answer, Unanswerable> {
    let parts = Parts::of(snapshot, question)?;
    let unasked = |cause| Answer { verdict: parts.verdict(revision, cause, &[], &[], None), reads_passing: false };
    if let Some(missing) = &question.facts.missing {
        return Ok(unasked(unknown(missing)));
    }
    if parts.above_ceiling() {
        return Ok(unasked(Cause::ScopeCeiling));
    }
    let Satisfied { permits, forbids, errored, next_change, reads_passing } = match evaluator()? {
        Evaluator::Rules(known) => parts.ask_rules(known)?,
        Evaluator::Authorizer => parts.ask_authorizer()?,
    };
    let errored_forbids =
        || errored.iter().copied().filter(|policy| policy.effect == Effect::Forbid).collect::<Vec<_>>();
    let (cause, determining) = match (forbids.is_empty(), permits.is_empty()) {
        (false, _) => (Cause::Forbidden, forbids),
        (true, no_permit) => match (errored_forbids(), no_permit) {
            (found, _) if !found.is_empty() => (Cause::ForbidErrored, found),
            (_, false) => (Cause::Permitted, permits),
            (_, true) => (Cause::NoPermit, Vec::new()),
        },
    };
    Ok(Answer { verdict: parts.verdict(revision, cause, &determining, &errored, next_change), reads_passing })
}

const fn unknown(missing: &Missing) -> Cause {
    match missing {
        Missing::Principal(_) => Cause::UnknownPrincipal,
        Missing::Resource(_) => Cause::UnknownResource,
        Missing::Other(_) => Cause::UnknownEntity,
    }
}

/// What Cedar says: the satisfied permits only where no forbid is satisfied; what failed. In the order of ids.
#[derive(Debug, Default)]
pub(crate) struct Satisfied<'a> {
    pub(crate) permits: Vec<&'a PolicyInfo>,
    pub(crate) forbids: Vec<&'a PolicyInfo>,
    pub(crate) errored: Vec<&'a PolicyInfo>,
    /// When time alone can first change this, with everything else as it is.
    pub(crate) next_change: Option<Instant>,
    /// Whether it may have been read from facts that pass.
    pub(crate) reads_passing: bool,
}

pub(crate) struct Parts<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) question: &'a Question,
    action: &'a ActionInfo,
    pub(crate) principal_type: &'a EntityTypeInfo,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot, question: &'a Question) -> Result<Self, Unanswerable> {
        let query = &question.query;
        let action = snapshot.vocabulary().action(&query.action);
        let principal_type = snapshot.vocabulary().entity_type(query.principal.uid().type_name());
        match (action, principal_type) {
            (Some(action), Some(principal_type)) => Ok(Self { snapshot, question, action, principal_type }),
            _ => Err(Unanswerable::new(format!("`{}` was not admitted by this schema", query.action))),
        }
    }

    /// Where scopes are required, the action must belong to a group that a scope in force opens.
    fn above_ceiling(&self) -> bool {
        self.principal_type.scopes_required && self.opening_scopes().next().is_none()
    }

    fn opening_scopes(&self) -> impl Iterator<Item = &magistrate_model::ScopeName> {
        let scopes = self.question.facts.scopes.iter();
        scopes.filter(|(_, group)| self.action.groups.contains(group.uid())).map(|(name, _)| name)
    }

    pub(crate) fn scope_uid(&self, name: &magistrate_model::ScopeName) -> Option<EntityUid> {
        let scope_type = self.snapshot.vocabulary().scope_type()?;
        EntityUid::from_parts(scope_type.as_str(), name.as_str()).ok()
    }

    /// `context.facts`, where the action declares it.
    pub(crate) fn supplied(&self) -> Option<&'a Record> {
        self.question.facts.supplied.as_ref().filter(|_| self.action.declares_facts)
    }

    fn ask<'k>(&'k self, known: &'k Known) -> Result<(Ask<'k>, Given<'k>), Unanswerable> {
        let query = &self.question.query;
        let action = self.snapshot.schema.actions.get(&query.action);
        let action = action.ok_or_else(|| Unanswerable::new(format!("`{}` is no action", query.action)))?;
        let ask = Ask {
            principal: &known.principal,
            action,
            resource: &known.resource,
            known: &known.others,
            held: &known.held,
        };
        let given =
            Given::new(&query.context, self.supplied().map(|facts| (FACTS, facts)), &self.snapshot.schema.types);
        Ok((ask, given))
    }

    /// The request, to be looked at rule by rule.
    pub(crate) fn examine<'k>(&'k self, known: &'k Known) -> Result<Examination<'k>, Unanswerable> {
        let (ask, given) = self.ask(known)?;
        Ok(self.snapshot.rules.examine(ask, given))
    }

    fn ask_rules(&self, known: &Known) -> Result<Satisfied<'a>, Unanswerable> {
        let (ask, given) = self.ask(known)?;
        let response = self.snapshot.rules.respond(&ask, given, self.question.facts.instant);
        let snapshot = self.snapshot;
        let policies = |rules: &[RuleId]| rules.iter().filter_map(|rule| snapshot.policy_of(*rule)).collect::<Vec<_>>();
        let permits = if response.forbids.is_empty() { policies(&response.permits) } else { Vec::new() };
        let errored = response.failed.iter().filter_map(|(rule, _)| snapshot.policy_of(*rule)).collect();
        // Where an action declares no facts, none of its policies can read them, the time among them.
        let next_change = response.next_change.filter(|_| self.action.declares_facts);
        let reads_passing = response.reads_passing && self.action.declares_facts;
        Ok(Satisfied { permits, forbids: policies(&response.forbids), errored, next_change, reads_passing })
    }

    fn verdict(
        &self,
        revision: Revision,
        cause: Cause,
        determining: &[&PolicyInfo],
        errored: &[&PolicyInfo],
        next_change: Option<Instant>,
    ) -> Verdict {
        let ids = |policies: &[&PolicyInfo]| policies.iter().map(|policy| policy.id.clone()).collect();
        let asked = determining.iter().map(|policy| policy.class).chain([self.action.class]).max();
        Verdict {
            cause,
            grants: self.grants_used(cause, determining),
            advice: determining.iter().flat_map(|policy| policy.advice.iter().cloned()).collect(),
            obligations: determining.iter().flat_map(|policy| policy.obligations.iter().cloned()).collect(),
            determining: ids(determining),
            errored: ids(errored),
            revision,
            policy_set_digest: self.snapshot.digest(),
            valid_until: self.question.facts.next_change.into_iter().chain(next_change).min(),
            cache_for: Span::ZERO,
            class: asked.unwrap_or(DurabilityClass::Process),
            explanation: None,
        }
    }

    /// Grants whose roles or scopes the determining policies name, and those that opened the action.
    fn grants_used(&self, cause: Cause, determining: &[&PolicyInfo]) -> Vec<GrantId> {
        let opened = cause == Cause::Permitted && self.principal_type.scopes_required;
        let opening: Vec<EntityUid> = match opened {
            true => self.opening_scopes().filter_map(|name| self.scope_uid(name)).collect(),
            false => Vec::new(),
        };
        let named = |uid: &EntityUid| determining.iter().any(|policy| policy.names.contains(uid));
        let is_used = |uid: &EntityUid| opening.contains(uid) || named(uid);
        let grants = self.question.facts.grants.iter().filter(|grant| grant.confers.iter().any(is_used));
        grants.map(|grant| grant.id.clone()).collect()
    }

    /// When time alone can first change what the policies come to, where nothing but their actions is known: at once,
    /// if any of them reads it.
    pub(crate) fn next_change_of_action(&self) -> Option<Instant> {
        let action = self.snapshot.schema.actions.get(&self.question.query.action);
        let reads = |uid| self.snapshot.rules.read_the_clock(uid);
        let may_change = self.action.declares_facts && action.is_none_or(reads);
        may_change.then_some(self.question.facts.instant)
    }
}
