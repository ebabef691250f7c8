//! One set of policies, asked both ways.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity as CedarEntity, EntityId, Policy, PolicySet, SlotId, Template,
};
#[cfg(test)]
use cedar_policy_core::ast::Expr;
use magistrate_model::{EntityUid, Record, TypeName, Value};

#[cfg(test)]
use super::coverage::Condition;
use super::generate::{ACTIONS, GROUPS, Request, SCOPE, TYPES, World};
use crate::cedar::{self, Types};
#[cfg(test)]
use crate::rules::Examination;
use crate::rules::{Ask, Entity, Given, Parts, RuleId, Rules};

/// What both ways come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) denied: bool,
    pub(super) reasons: BTreeSet<String>,
    pub(super) errored: BTreeSet<String>,
}

/// One set of policies, and how both ways are asked.
pub(super) struct Asking<'a> {
    world: &'a World,
    set: PolicySet,
    rules: Rules,
    ids: Vec<String>,
    types: Types,
    known: HashMap<EntityUid, Arc<Entity>>,
    /// What is stored, and the actions.
    stored: Entities,
}

impl<'a> Asking<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        Self::following(None, world)
    }

    /// With the rules taken over that another set has, too.
    pub(super) fn following(before: Option<&Asking<'_>>, world: &'a World) -> Self {
        let set = policies(world);
        let of_schema = Entities::from_entities(actions(), None).unwrap();
        let ids: Vec<String> = set.as_ref().policies().map(|policy| policy.id().to_string()).collect();
        let place = |id: &str| before.and_then(|before| before.place(&world.policies[number(id)]));
        let places: Vec<_> = ids.iter().map(|id| place(id).map(RuleId::at)).collect();
        let parts: Vec<_> = set.as_ref().policies().zip(places).collect();
        let before = before.map(|before| &before.rules);
        let rules = Rules::following(before, parts.into_iter(), of_schema.as_ref()).unwrap();
        let names: Vec<TypeName> = TYPES.iter().map(|name| TypeName::new(name).unwrap()).collect();
        let types = Types::of(names.iter());
        let stored_entities: Vec<_> = world.entities.keys().map(|uid| entity(world, uid, &[])).collect();
        let stored = Entities::from_entities(stored_entities.clone(), None).unwrap();
        let stored: &cedar_policy_core::entities::Entities = stored.as_ref();
        let known = stored.iter().map(|it| {
            let uid = EntityUid::from_parts(&it.uid().entity_type().to_string(), AsRef::<str>::as_ref(it.uid().eid()));
            (uid.unwrap(), Arc::new(rules.entity(Parts::of(it).unwrap())))
        });
        let known = known.collect();
        let stored = Entities::from_entities(stored_entities.into_iter().chain(actions()), None).unwrap();
        Self { world, set, rules, ids, types, known, stored }
    }

    /// Where a policy stands among the rules.
    fn place(&self, given: &super::generate::Given) -> Option<usize> {
        self.ids.iter().position(|id| self.world.policies[number(id)] == *given)
    }

    /// How many entities its rules know by number.
    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.rules.names.count()
    }

    /// How many keys of resources each column of its index has, and whether they are found by hash.
    #[cfg(test)]
    pub(super) fn columns(&self) -> impl Iterator<Item = (usize, bool)> {
        self.rules.index.columns()
    }

    #[cfg(test)]
    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        self.set.as_ref().policies().map(|policy| {
            let slots = policy.template().slots().map(|slot| match slot.id.to_string().as_str() {
                "?principal" => "slot: principal",
                _ => "slot: resource",
            });
            Condition { expr: policy.non_scope_constraints(), slots: slots.collect() }
        })
    }

    /// What is asked, as it is for rules: parties apart from what else is known, and what is held among that.
    fn with_asked<T>(&self, request: &Request, then: impl FnOnce(Ask<'_>, Given<'_>) -> T) -> T {
        let (principal, resource) = (self.entity(&request.principal), self.entity(&request.resource));
        let held: Vec<_> = held(self.world, request).iter().map(|uid| self.entity(uid)).collect();
        let is_party = |it: &Arc<Entity>| Arc::ptr_eq(it, &principal) || Arc::ptr_eq(it, &resource);
        let others = self.known.values().filter(|it| !is_party(it)).chain(&held).cloned().collect::<Vec<_>>();
        let action = action(request.action).as_ref().clone();
        let ask = Ask { principal: &principal, action: &action, resource: &resource, known: &others, held: &held };
        // As facts are: one record comes from elsewhere than the rest.
        let mut context = request.context.clone();
        let facts = match context.remove("rec") {
            Some(Value::Record(record)) => Some(record),
            Some(other) => {
                context.insert(magistrate_model::AttributeName::new("rec").unwrap(), other);
                None
            }
            None => None,
        };
        then(ask, Given::new(&context, facts.as_ref().map(|facts| ("rec", facts)), &self.types))
    }

    /// A request, to be looked at rule by rule.
    #[cfg(test)]
    pub(super) fn examined<T>(&self, request: &Request, look: impl FnOnce(&Examined<'_>) -> T) -> T {
        self.with_asked(request, |ask, given| {
            let examination = self.rules.examine(ask, given);
            look(&Examined { rules: &self.rules, set: &self.set, ids: &self.ids, ask, examination })
        })
    }

    /// By rules.
    pub(super) fn rules(&self, request: &Request) -> Answer {
        let response =
            self.with_asked(request, |ask, given| self.rules.respond(&ask, given, magistrate_model::Instant::EPOCH));
        let ids = |rules: &[RuleId]| rules.iter().map(|rule| self.ids[rule.place()].clone()).collect::<BTreeSet<_>>();
        let once = |rules: &[RuleId]| rules.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(once(&response.permits) && once(&response.forbids), "each once, and in order: {response:?}");
        let failed: Vec<RuleId> = response.failed.iter().map(|(rule, _)| *rule).collect();
        let denied = !response.forbids.is_empty() || response.permits.is_empty();
        let reasons = if response.forbids.is_empty() { ids(&response.permits) } else { ids(&response.forbids) };
        Answer { denied, reasons, errored: ids(&failed) }
    }

    /// By Cedar.
    pub(super) fn authorizer(&self, request: &Request) -> Answer {
        let held = held(self.world, request);
        let entities = if held.is_empty() {
            self.stored.clone()
        } else {
            let principal = entity(self.world, &request.principal, &held);
            let scopes = held.iter().filter(|uid| uid.type_name().as_str() == SCOPE);
            let scopes = scopes.map(|uid| CedarEntity::new_no_attrs(cedar::uid(uid).unwrap(), HashSet::new()));
            self.stored.clone().upsert_entities(scopes.chain([principal]), None).unwrap()
        };
        let uid = |uid| cedar::uid(uid).unwrap();
        let context = Context::from_pairs(pairs(&request.context)).unwrap();
        let asked = cedar_policy::Request::new(
            uid(&request.principal),
            action(request.action),
            uid(&request.resource),
            context,
            None,
        );
        let response = Authorizer::new().is_authorized(&asked.unwrap(), &self.set, &entities);
        let errors = response.diagnostics().errors();
        let errored =
            errors.map(|cedar_policy::AuthorizationError::PolicyEvaluationError(it)| it.policy_id().to_string());
        Answer {
            denied: response.decision() == Decision::Deny,
            errored: errored.collect(),
            reasons: response.diagnostics().reason().map(ToString::to_string).collect(),
        }
    }

    fn entity(&self, uid: &EntityUid) -> Arc<Entity> {
        self.known.get(uid).cloned().unwrap_or_else(|| {
            let bare = CedarEntity::new_no_attrs(cedar::uid(uid).unwrap(), HashSet::new());
            Arc::new(self.rules.entity(Parts::of(bare.as_ref()).unwrap()))
        })
    }
}

/// A request of rules, as they see it.
#[cfg(test)]
pub(super) struct Examined<'a> {
    rules: &'a Rules,
    set: &'a PolicySet,
    ids: &'a [String],
    pub(super) ask: Ask<'a>,
    examination: Examination<'a>,
}

#[cfg(test)]
impl Examined<'_> {
    /// The numbers of the sets of actions of the rules whose scope is true.
    pub(super) fn action_sets(&self) -> impl Iterator<Item = u32> {
        self.examination.candidates().into_iter().map(|id| self.rules.all[id.place()].actions)
    }

    /// The conditions of rules whose scope is true.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Expr> {
        self.examination.candidates().into_iter().filter_map(|id| self.condition(id))
    }

    /// Those of them that fail.
    pub(super) fn failing(&self) -> impl Iterator<Item = &Expr> {
        let failing = self.examination.candidates().into_iter().filter(|id| self.examination.condition(*id).is_err());
        failing.filter_map(|id| self.condition(id))
    }

    fn condition(&self, id: RuleId) -> Option<&Expr> {
        let id = cedar_policy_core::ast::PolicyID::from_string(&self.ids[id.place()]);
        self.set.as_ref().get(&id)?.non_scope_constraints()
    }

    /// The types of what the principal holds for the request.
    pub(super) fn held(&self) -> impl Iterator<Item = String> {
        self.ask.held.iter().map(|held| held.uid.entity_type().to_string())
    }

    /// Whether principal and resource are one entity.
    pub(super) fn resource_is_principal(&self) -> bool {
        std::ptr::eq(self.ask.principal, self.ask.resource)
    }

    /// What an expression comes to, if it comes to anything.
    pub(super) fn value(&self, expr: &Expr) -> Option<cedar_policy_core::ast::Value> {
        self.examination.value(&self.examination.prepare(expr)).ok()
    }

    /// Whether the principal's roles and scopes count for the resource.
    pub(super) fn resource_is_overlaid(&self) -> bool {
        !self.ask.held.is_empty() && self.ask.resource.is_in(&self.ask.principal.uid)
    }
}

/// Roles and scopes that count: those of a principal that is known. One that is a role itself might become a member of itself.
fn held(world: &World, request: &Request) -> Vec<EntityUid> {
    let is_role = ["Role", SCOPE].contains(&request.principal.type_name().as_str());
    let may = world.entities.contains_key(&request.principal) && !is_role;
    if may { request.held.clone() } else { Vec::new() }
}

/// Of a policy among those of its world.
fn number(id: &str) -> usize {
    id.trim_start_matches('p').parse().unwrap()
}

fn policies(world: &World) -> PolicySet {
    let mut set = PolicySet::new();
    for (at, given) in world.policies.iter().enumerate() {
        let id = cedar_policy::PolicyId::new(format!("p{at}"));
        if given.principal.is_none() && given.resource.is_none() {
            let policy = Policy::parse(Some(id), &given.text).unwrap_or_else(|e| panic!("{e}: {}", given.text));
            set.add(policy).unwrap();
            continue;
        }
        let template = cedar_policy::PolicyId::new(format!("t{at}"));
        let parsed =
            Template::parse(Some(template.clone()), &given.text).unwrap_or_else(|e| panic!("{e}: {}", given.text));
        set.add_template(parsed).unwrap();
        let slots = [(SlotId::principal(), &given.principal), (SlotId::resource(), &given.resource)];
        let filled = slots.into_iter().filter_map(|(slot, uid)| Some((slot, uid.as_ref()?.parse().unwrap())));
        set.link(template, id, filled.collect()).unwrap();
    }
    set
}

fn action(id: &str) -> cedar_policy::EntityUid {
    cedar_policy::EntityUid::from_type_name_and_id("Action".parse().unwrap(), EntityId::new(id))
}

/// `edit` is in both groups, `read` in one that is in the other, `deep` at the end of a chain, `drop` in none.
fn actions() -> impl Iterator<Item = CedarEntity> {
    let parents = |of: &str| match of {
        "edit" => vec!["writes".to_owned()],
        "writes" | "read" | "g6" => vec!["all".to_owned()],
        "deep" => vec!["g0".to_owned()],
        _ => {
            of.strip_prefix('g').map(|number| format!("g{}", number.parse::<u32>().unwrap() + 1)).into_iter().collect()
        }
    };
    let all = [&ACTIONS[..], &GROUPS[..]].concat();
    all.into_iter()
        .map(move |id| CedarEntity::new_no_attrs(action(id), parents(id).iter().map(|id| action(id)).collect()))
}

fn entity(world: &World, uid: &EntityUid, overlay: &[EntityUid]) -> CedarEntity {
    let stored = &world.entities[uid];
    let parents: HashSet<_> = stored.parents.iter().chain(overlay).map(|uid| cedar::uid(uid).unwrap()).collect();
    let attributes: HashMap<_, _> = pairs(&stored.attributes).into_iter().collect();
    CedarEntity::new_with_tags(cedar::uid(uid).unwrap(), attributes, parents, pairs(&stored.tags)).unwrap()
}

fn pairs(record: &Record) -> Vec<(String, cedar_policy::RestrictedExpression)> {
    record.iter().map(|(name, value)| (name.to_string(), cedar::expression(value).unwrap())).collect()
}
