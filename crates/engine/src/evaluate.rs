//! Answering a question.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::{AuthorizationError, Authorizer, Context, Entities, Entity, Request, Response};
use magistrate_model::{
    Cause, DurabilityClass, EntityData, EntityUid, GrantId, Missing, PolicyId, Question, Record, Revision, Span, Value,
    Verdict,
};

use crate::cedar;
use crate::entity_types::{ActionInfo, EntityTypeInfo};
use crate::policy::Effect;
use crate::schema::FACTS;
use crate::snapshot::Snapshot;
use crate::typed;

/// The question cannot be put to Cedar: what is stored no longer fits the schema. Never a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate the request: {0}")]
pub struct Unanswerable(String);

/// Answers a question whose query was admitted by this snapshot.
///
/// Before policy: a missing entity and the scope ceiling deny. Then Cedar answers, and an errored
/// `forbid` counts as matching. Allow is named by at least one permit.
pub fn respond(snapshot: &Snapshot, question: &Question, revision: Revision) -> Result<Verdict, Unanswerable> {
    let parts = Parts::of(snapshot, question)?;
    if let Some(missing) = &question.facts.missing {
        return Ok(parts.verdict(revision, unknown(missing), Vec::new(), Vec::new()));
    }
    if parts.above_ceiling() {
        return Ok(parts.verdict(revision, Cause::ScopeCeiling, Vec::new(), Vec::new()));
    }
    let response = parts.ask_cedar()?;
    let errored =
        ids(response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(e)| e.policy_id()));
    let reasons = ids(response.diagnostics().reason());
    let errored_forbids: Vec<PolicyId> = errored.iter().filter(|id| parts.is_forbid(id)).cloned().collect();
    let (cause, determining) = match (response.decision(), reasons.is_empty(), errored_forbids.is_empty()) {
        (cedar_policy::Decision::Deny, false, _) => (Cause::Forbidden, reasons),
        (_, _, false) => (Cause::ForbidErrored, errored_forbids),
        (cedar_policy::Decision::Allow, false, true) => (Cause::Permitted, reasons),
        (cedar_policy::Decision::Allow | cedar_policy::Decision::Deny, true, true) => (Cause::NoPermit, Vec::new()),
    };
    Ok(parts.verdict(revision, cause, determining, errored))
}

const fn unknown(missing: &Missing) -> Cause {
    match missing {
        Missing::Principal(_) => Cause::UnknownPrincipal,
        Missing::Resource(_) => Cause::UnknownResource,
        Missing::Other(_) => Cause::UnknownEntity,
    }
}

fn ids<'a>(given: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> Vec<PolicyId> {
    let ids: BTreeSet<PolicyId> = given.filter_map(|id| AsRef::<str>::as_ref(id).parse().ok()).collect();
    ids.into_iter().collect()
}

struct Parts<'a> {
    snapshot: &'a Snapshot,
    question: &'a Question,
    action: &'a ActionInfo,
    principal_type: &'a EntityTypeInfo,
}

impl<'a> Parts<'a> {
    fn of(snapshot: &'a Snapshot, question: &'a Question) -> Result<Self, Unanswerable> {
        let query = &question.query;
        let action = snapshot.vocabulary().action(&query.action);
        let principal_type = snapshot.vocabulary().entity_type(query.principal.uid().type_name());
        match (action, principal_type) {
            (Some(action), Some(principal_type)) => Ok(Self { snapshot, question, action, principal_type }),
            _ => Err(Unanswerable(format!("`{}` was not admitted by this schema", query.action))),
        }
    }

    fn is_forbid(&self, id: &PolicyId) -> bool {
        self.snapshot.policy(id).is_none_or(|policy| policy.effect == Effect::Forbid)
    }

    /// Where scopes are required, the action must belong to a group that a scope in force opens.
    fn above_ceiling(&self) -> bool {
        self.principal_type.scopes_required && self.opening_scopes().next().is_none()
    }

    fn opening_scopes(&self) -> impl Iterator<Item = &magistrate_model::ScopeName> {
        let scopes = self.question.facts.scopes.iter();
        scopes.filter(|(_, group)| self.action.groups.contains(group.uid())).map(|(name, _)| name)
    }

    fn scope_uid(&self, name: &magistrate_model::ScopeName) -> Option<EntityUid> {
        let scope_type = self.snapshot.vocabulary().scope_type()?;
        EntityUid::from_parts(scope_type.as_str(), name.as_str()).ok()
    }

    fn ask_cedar(&self) -> Result<Response, Unanswerable> {
        let entities = self.entities()?;
        let request = self.request()?;
        Ok(Authorizer::new().is_authorized(&request, &self.snapshot.cedar_policies, &entities))
    }

    fn request(&self) -> Result<Request, Unanswerable> {
        let query = &self.question.query;
        let mut context = query.context.clone();
        if let (true, Some(name), Some(facts)) =
            (self.action.declares_facts, typed::name(FACTS), &self.question.facts.supplied)
        {
            context.insert(name, Value::Record(facts.clone()));
        }
        let context = Context::from_pairs(pairs(&context)?).map_err(failed)?;
        let uid = |uid| cedar::uid(uid).map_err(failed);
        let (principal, action, resource) =
            (uid(query.principal.uid())?, uid(query.action.uid())?, uid(query.resource.uid())?);
        Request::new(principal, action, resource, context, Some(&self.snapshot.cedar_schema)).map_err(failed)
    }

    /// What was loaded for the request, with the principal a member of its roles and scopes in force.
    fn entities(&self) -> Result<Entities, Unanswerable> {
        let facts = &self.question.facts;
        let principal = self.question.query.principal.uid();
        let scopes: Vec<EntityUid> = facts.scopes.keys().filter_map(|name| self.scope_uid(name)).collect();
        let held = facts
            .direct_roles
            .iter()
            .chain(&scopes)
            .filter(|uid| self.principal_type.may_hold.contains(uid.type_name()));
        let held: Vec<&EntityUid> = held.collect();
        let mut entities = Vec::with_capacity(facts.entities.len() + facts.roles.len() + scopes.len());
        for data in &facts.entities {
            let overlay: &[&EntityUid] = if data.uid == *principal { &held } else { &[] };
            entities.push(entity(data, overlay)?);
        }
        for role in &facts.roles {
            entities.push(entity(role, &[])?);
        }
        for scope in scopes {
            entities.push(Entity::new_no_attrs(cedar::uid(&scope).map_err(failed)?, HashSet::new()));
        }
        Entities::from_entities(entities, Some(&self.snapshot.cedar_schema)).map_err(failed)
    }

    fn verdict(&self, revision: Revision, cause: Cause, determining: Vec<PolicyId>, errored: Vec<PolicyId>) -> Verdict {
        let policies: Vec<_> = determining.iter().filter_map(|id| self.snapshot.policy(id)).collect();
        let asked = policies.iter().map(|policy| policy.class).chain([self.action.class]).max();
        Verdict {
            cause,
            grants: self.grants_used(cause, &determining),
            advice: policies.iter().flat_map(|policy| policy.advice.iter().cloned()).collect(),
            obligations: policies.iter().flat_map(|policy| policy.obligations.iter().cloned()).collect(),
            determining,
            errored,
            revision,
            policy_set_digest: self.snapshot.digest(),
            valid_until: self.valid_until(cause),
            cache_for: Span::ZERO,
            class: asked.unwrap_or(DurabilityClass::Process),
        }
    }

    /// Grants whose roles or scopes the determining policies name, and those that opened the action.
    fn grants_used(&self, cause: Cause, determining: &[PolicyId]) -> Vec<GrantId> {
        let policies = determining.iter().filter_map(|id| self.snapshot.policy(id));
        let mut relevant: BTreeSet<EntityUid> = policies.flat_map(|policy| policy.names.iter().cloned()).collect();
        if cause == Cause::Permitted && self.principal_type.scopes_required {
            relevant.extend(self.opening_scopes().filter_map(|name| self.scope_uid(name)));
        }
        let grants = self.question.facts.grants.iter().filter(|grant| !grant.confers.is_disjoint(&relevant));
        grants.map(|grant| grant.id.clone()).collect()
    }

    /// When time alone can change the inputs: at once where a policy reads the clock, else when the
    /// next grant begins or ends.
    fn valid_until(&self, cause: Cause) -> Option<magistrate_model::Instant> {
        let facts = &self.question.facts;
        let evaluated = facts.missing.is_none() && cause != Cause::ScopeCeiling;
        match evaluated && self.snapshot.time_dependent.contains(&self.question.query.action) {
            true => Some(facts.instant),
            false => facts.next_change,
        }
    }
}

fn entity(data: &EntityData, overlay: &[&EntityUid]) -> Result<Entity, Unanswerable> {
    let parents = data.parents.iter().chain(overlay.iter().copied()).map(cedar::uid);
    let parents: HashSet<_> = parents.collect::<Result<_, _>>().map_err(failed)?;
    let attributes = pairs(&data.attributes)?.into_iter().collect();
    Entity::new(cedar::uid(&data.uid).map_err(failed)?, attributes, parents).map_err(failed)
}

fn pairs(record: &Record) -> Result<Vec<(String, cedar_policy::RestrictedExpression)>, Unanswerable> {
    let pairs =
        record.iter().map(|(name, value)| Ok((name.to_string(), cedar::expression(value).map_err(Unanswerable)?)));
    pairs.collect()
}

fn failed(error: impl std::fmt::Display) -> Unanswerable {
    Unanswerable(error.to_string())
}
