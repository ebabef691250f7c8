//! Cedar's own authorizer: what the index and the prepared conditions are compared with, and the way back from them.
//!
//! It visits every policy of the set and builds entities and context anew for each request. Nothing of `rules` is used
//! here.

use std::collections::HashSet;

use cedar_policy::{AuthorizationError, Authorizer, Context, Entities, Entity, Request};
use magistrate_model::{EntityData, EntityUid, Question, Record, Value};

use crate::cedar;
use crate::evaluate::{Parts, Satisfied, Unanswerable};
use crate::policy::{Effect, PolicyInfo};
use crate::schema::FACTS;
use crate::typed;

/// Entities of one request, what is above them included, that Cedar's authorizer is given: it closes hierarchies by
/// recursion, and some thousand levels overflow the stack, which ends the process.
pub const MAX_AUTHORIZER_ENTITIES: usize = 1_000;

/// How many entities Cedar's authorizer would be given.
pub(crate) fn entity_count(question: &Question) -> usize {
    question.facts.entities.len() + question.facts.roles.len() + question.facts.scopes.len()
}

impl<'a> Parts<'a> {
    /// Cedar's response.
    pub(crate) fn ask_authorizer(&self) -> Result<Satisfied<'a>, Unanswerable> {
        if entity_count(self.question) > MAX_AUTHORIZER_ENTITIES {
            let why = format!("more than {MAX_AUTHORIZER_ENTITIES} entities are too many for Cedar's authorizer");
            return Err(Unanswerable::new(why));
        }
        let entities = self.cedar_entities()?;
        let request = self.cedar_request()?;
        let policies = self.snapshot.authorizer_policies();
        let policies = policies.ok_or_else(|| Unanswerable::new("Cedar does not take the policies".to_owned()))?;
        let response = Authorizer::new().is_authorized(&request, policies, &entities);
        let errors = response.diagnostics().errors();
        let errored = self.named(errors.map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id()))?;
        let reasons = self.named(response.diagnostics().reason())?;
        let next_change = self.next_change_of_action();
        let is_forbid = |policy: &&PolicyInfo| policy.effect == Effect::Forbid;
        let said = Satisfied { errored, next_change, reads_passing: true, ..Satisfied::default() };
        Ok(match response.decision() {
            cedar_policy::Decision::Deny if !reasons.is_empty() && !reasons.iter().all(is_forbid) => {
                return Err(Unanswerable::new("Cedar denies by what is no forbid".to_owned()));
            }
            cedar_policy::Decision::Deny => Satisfied { forbids: reasons, ..said },
            cedar_policy::Decision::Allow => Satisfied { permits: reasons, ..said },
        })
    }

    /// The policies of these ids, in the order of ids.
    fn named<'i>(
        &self,
        ids: impl Iterator<Item = &'i cedar_policy::PolicyId>,
    ) -> Result<Vec<&'a PolicyInfo>, Unanswerable> {
        let snapshot = self.snapshot;
        let policy = |id: &cedar_policy::PolicyId| {
            let known = AsRef::<str>::as_ref(id).parse().ok().and_then(|id| snapshot.policy(&id));
            known.ok_or_else(|| Unanswerable::new(format!("Cedar names `{id}`, which is no policy")))
        };
        let mut policies = ids.map(policy).collect::<Result<Vec<_>, _>>()?;
        policies.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(policies)
    }

    fn cedar_request(&self) -> Result<Request, Unanswerable> {
        let query = &self.question.query;
        let mut context = query.context.clone();
        if let (Some(name), Some(facts)) = (typed::name(FACTS), self.supplied()) {
            context.insert(name, Value::Record(facts.clone()));
        }
        let context = Context::from_pairs(pairs(&context)?).map_err(failed)?;
        let uid = |uid| cedar::uid(uid).map_err(failed);
        let (principal, action, resource) =
            (uid(query.principal.uid())?, uid(query.action.uid())?, uid(query.resource.uid())?);
        Request::new(principal, action, resource, context, Some(&self.snapshot.schema.cedar)).map_err(failed)
    }

    /// What was loaded for the request, with the principal a member of its roles and scopes in force.
    fn cedar_entities(&self) -> Result<Entities, Unanswerable> {
        let facts = &self.question.facts;
        let principal = self.question.query.principal.uid();
        let scopes: Vec<EntityUid> = facts.scopes.keys().filter_map(|name| self.scope_uid(name)).collect();
        let held: Vec<&EntityUid> = facts
            .direct_roles
            .iter()
            .chain(&scopes)
            .filter(|uid| self.principal_type.may_hold.contains(uid.type_name()))
            .collect();
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
        Entities::from_entities(entities, Some(&self.snapshot.schema.cedar)).map_err(failed)
    }
}

fn entity(data: &EntityData, overlay: &[&EntityUid]) -> Result<Entity, Unanswerable> {
    let parents = data.parents.iter().chain(overlay.iter().copied()).map(cedar::uid);
    let parents: HashSet<_> = parents.collect::<Result<_, _>>().map_err(failed)?;
    let attributes = pairs(&data.attributes)?.into_iter().collect();
    Entity::new(cedar::uid(&data.uid).map_err(failed)?, attributes, parents).map_err(failed)
}

fn pairs(record: &Record) -> Result<Vec<(String, cedar_policy::RestrictedExpression)>, Unanswerable> {
    let pairs = record.iter().map(|(name, value)| Ok((name.to_string(), cedar::expression(value).map_err(failed)?)));
    pairs.collect()
}

fn failed(error: impl std::fmt::Display) -> Unanswerable {
    Unanswerable::new(error.to_string())
}
