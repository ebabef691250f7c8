//! Policies prepared for evaluation: found by scope, with conditions that are only run.

mod asked;
mod clock;
mod entity;
mod evaluation;
mod examine;
mod failure;
mod index;
mod names;
mod node;
mod passing;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy_core::ast::{self, ActionConstraint, Effect, EntityUID};
use cedar_policy_core::entities::Entities;
use foldhash::fast::FixedState;
use magistrate_model::Instant;

pub(crate) use asked::Given;
pub use entity::Entity;
pub(crate) use examine::{Examination, ScopeHolds};
pub(crate) use failure::Failure;

use asked::Asked;
use clock::Clock;
pub(crate) use entity::Parts;
use evaluation::Evaluation;
use index::{Constraint, Index, Key, Row, keys_of};
use names::{NameId, Names};
pub(crate) use node::Node;

/// A rule by its place among the policies, which are in order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RuleId(u32);

impl RuleId {
    /// Of a place. A set has no four billion policies: its texts are bounded by less.
    pub(crate) fn at(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The place.
    pub(crate) fn place(self) -> usize {
        self.0 as usize
    }
}

/// Policies of one snapshot, prepared.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    all: Vec<Arc<Rule>>,
    index: Index,
    names: Names,
    sets: ActionSets,
    /// Rules prepared since names and sets were numbered: some of what they number may be gone.
    added: usize,
    actions: HashMap<EntityUID, Entity>,
    /// Which rules' actions an action matches: a set of sets, each as bits by number.
    action_sets: HashMap<EntityUID, Box<[u64]>, FixedState>,
}

/// So many rules may be added before names and sets are numbered anew; more where there are more rules.
const MOST_ADDED: usize = 1_000;

/// One policy, prepared.
#[derive(Debug)]
struct Rule {
    effect: Effect,
    /// The number of the set of actions that its scope asks for.
    actions: u32,
    principal: Constraint,
    resource: Constraint,
    /// Its clauses; `None` is true.
    condition: Option<Node>,
    /// When time alone can change what they come to.
    clock: Clock,
    /// Whether they read what may be another for the next question of the same words.
    reads_passing: bool,
}

impl Rule {
    /// `None` where a slot is not filled.
    fn of(policy: &ast::Policy, names: &mut Names, sets: &mut ActionSets) -> Option<Self> {
        let condition = policy.non_scope_constraints().map(|expr| Node::prepare(expr, names));
        Some(Self {
            effect: policy.effect(),
            actions: sets.number(policy.action_constraint()),
            principal: Constraint::of(policy.principal_constraint().as_inner(), names)?,
            resource: Constraint::of(policy.resource_constraint().as_inner(), names)?,
            clock: Clock::of(condition.as_ref()),
            reads_passing: condition.as_ref().is_some_and(passing::reads_passing),
            condition,
        })
    }
}

/// What a principal, an action, a resource, a context and what is known of entities are asked of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) principal: &'a Entity,
    pub(crate) action: &'a EntityUID,
    pub(crate) resource: &'a Entity,
    /// Everything known of entities, the parties included.
    pub(crate) known: &'a [Arc<Entity>],
    /// Roles and scopes that the principal is made a member of for this request.
    pub(crate) held: &'a [Arc<Entity>],
}

/// Cedar's response: what is satisfied, and what fails; each in order.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) permits: Vec<RuleId>,
    pub(crate) forbids: Vec<RuleId>,
    pub(crate) failed: Vec<(RuleId, Failure)>,
    /// When time alone can first change this, with everything else as it is.
    pub(crate) next_change: Option<Instant>,
    /// Whether any rule whose scope is true of the request reads what may be another for the next one of the same words.
    pub(crate) reads_passing: bool,
}

impl Rules {
    /// Prepares policies, links included; `None` where a slot is not filled. Those that have a place among the rules
    /// before are taken over from there. `actions` are the schema's.
    pub(crate) fn following<'a>(
        before: Option<&Self>,
        policies: impl ExactSizeIterator<Item = (&'a ast::Policy, Option<RuleId>)>,
        actions: &Entities,
    ) -> Option<Self> {
        let before = before.filter(|before| before.added < MOST_ADDED.max(policies.len()));
        let mut next = before.map_or_else(Self::default, |before| Self {
            names: before.names.clone(),
            sets: before.sets.clone(),
            added: before.added,
            ..Self::default()
        });
        for (policy, place) in policies {
            let known = place.zip(before).and_then(|(place, before)| before.all.get(place.place()));
            let rule = match known {
                Some(rule) => Arc::clone(rule),
                None => {
                    next.added += usize::from(before.is_some());
                    Arc::new(Rule::of(policy, &mut next.names, &mut next.sets)?)
                }
            };
            next.all.push(rule);
        }
        let keys = next.all.iter().enumerate();
        next.index = Index::of(keys.map(|(at, it)| (it.principal.key, it.resource.key, RuleId::at(at))));
        for action in actions.iter() {
            next.action_sets.insert(action.uid().clone(), next.sets.matched(action));
            next.actions.insert(action.uid().clone(), next.entity(Parts::of(action)?));
        }
        Some(next)
    }

    /// An entity whose attributes were made Cedar's and whose ancestors are complete.
    pub(crate) fn entity(&self, parts: Parts) -> Entity {
        let names = &self.names;
        let type_id = names.type_id(parts.uid.entity_type());
        let mut known: Vec<NameId> =
            std::iter::once(&parts.uid).chain(&parts.ancestors).filter_map(|uid| names.id(uid)).collect();
        known.sort_unstable();
        known.dedup();
        let above = || known.iter().copied().map(Key::within);
        Entity {
            value: parts.value(),
            type_id,
            rows: self.index.rows(keys_of(names, &parts.uid, type_id, &known)),
            rows_above: self.index.rows(above()),
            keys: self.index.keys(keys_of(names, &parts.uid, type_id, &known)),
            keys_above: self.index.keys(above()),
            known: known.into(),
            uid: parts.uid,
            attributes: parts.attributes,
            tags: parts.tags,
            ancestors: parts.ancestors,
        }
    }

    /// Rules whose scope names no principal, no resource and nothing above either, in order: they are candidates for
    /// every request of their actions and types.
    pub(crate) fn unnarrowed(&self) -> impl Iterator<Item = RuleId> {
        let named = |rule: &Arc<Rule>| rule.principal.key.names_an_entity() || rule.resource.key.names_an_entity();
        self.all.iter().zip(0..).filter(move |(rule, _)| !named(rule)).map(|(_, at)| RuleId(at))
    }

    fn asked<'a>(&'a self, ask: &Ask<'a>, given: Given<'a>) -> Asked<'a> {
        Asked {
            principal: Some(ask.principal),
            action: self.actions.get(ask.action),
            resource: Some(ask.resource),
            known: ask.known,
            by_uid: OnceCell::new(),
            held: ask.held,
            actions: Some(&self.actions),
            given,
        }
    }

    /// Cedar's response to a request that is made at `now`.
    pub(crate) fn respond<'a>(&'a self, ask: &Ask<'a>, given: Given<'a>, now: Instant) -> Response {
        let asked = self.asked(ask, given);
        let evaluation = Evaluation::of(&asked);
        let mut response = Response::default();
        for (id, rule) in self.candidates(ask, &asked) {
            let next_change = rule.clock.next_change(now);
            response.next_change = response.next_change.into_iter().chain(next_change).min();
            response.reads_passing |= rule.reads_passing;
            match rule.condition.as_ref().map_or(Ok(true), |condition| evaluation.truth(condition)) {
                Ok(true) if rule.effect == Effect::Permit => response.permits.push(id),
                Ok(true) => response.forbids.push(id),
                Ok(false) => {}
                Err(failure) => response.failed.push((id, failure)),
            }
        }
        response
    }

    /// Whether some rule of an action reads the time.
    pub(crate) fn read_the_clock(&self, action: &EntityUID) -> bool {
        let sets = self.action_sets.get(action);
        let is_asked = |rule: &Rule| sets.is_none_or(|sets| contains(sets, rule.actions));
        self.all.iter().any(|rule| !rule.clock.is_unread() && is_asked(rule))
    }

    /// The rules whose scope is true of a request, in order.
    fn candidates(&self, ask: &Ask<'_>, asked: &Asked<'_>) -> impl Iterator<Item = (RuleId, &Rule)> {
        let mut candidates = Vec::new();
        let (rows, keys): (Vec<Row>, Vec<Key>);
        let mut rows_asked: &[Row] = &ask.principal.rows;
        let mut keys_asked: &[Key] = &ask.resource.keys;
        if !ask.held.is_empty() {
            rows = merged(rows_asked, ask.held.iter().map(|held| &*held.rows_above));
            rows_asked = &rows;
            if asked.is_overlaid(ask.resource) {
                keys = merged(keys_asked, ask.held.iter().map(|held| &*held.keys_above));
                keys_asked = &keys;
            }
        }
        self.index.select(rows_asked, keys_asked, &mut candidates);
        candidates.sort_unstable();
        let sets = self.action_sets.get(ask.action);
        let types = (ask.principal.type_id, ask.resource.type_id);
        candidates.into_iter().filter_map(move |id| {
            let rule = &**self.all.get(id.place())?;
            let is_of = |constraint: &Constraint, found| constraint.type_id.is_none_or(|wanted| found == Some(wanted));
            let matches = sets.map_or(rule.actions == ActionSets::ANY, |sets| contains(sets, rule.actions))
                && is_of(&rule.principal, types.0)
                && is_of(&rule.resource, types.1);
            matches.then_some((id, rule))
        })
    }
}

/// Everything of some ordered lists, in order and once.
fn merged<'a, T: Copy + Ord + 'a>(first: &[T], others: impl Iterator<Item = &'a [T]>) -> Vec<T> {
    let mut all = first.to_vec();
    others.for_each(|other| all.extend_from_slice(other));
    all.sort_unstable();
    all.dedup();
    all
}

/// What scopes ask of the action, each once, by number.
#[derive(Debug, Clone)]
struct ActionSets(HashMap<ActionConstraint, u32>);

impl Default for ActionSets {
    fn default() -> Self {
        Self(HashMap::from([(ActionConstraint::Any, Self::ANY)]))
    }
}

impl ActionSets {
    /// The number of the set of all actions.
    const ANY: u32 = 0;

    fn number(&mut self, constraint: &ActionConstraint) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(constraint.clone()).or_insert(next)
    }

    /// The sets that an action belongs to, as bits.
    fn matched(&self, action: &ast::Entity) -> Box<[u64]> {
        let is_in = |uid: &Arc<EntityUID>| **uid == *action.uid() || action.is_descendant_of(uid);
        let mut bits = vec![0_u64; self.0.len().div_ceil(64)];
        for (constraint, number) in &self.0 {
            let matches = match constraint {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(uid) => **uid == *action.uid(),
                ActionConstraint::In(uids) => uids.iter().any(is_in),
            };
            if let Some(word) = bits.get_mut(*number as usize / 64).filter(|_| matches) {
                *word |= 1 << (number % 64);
            }
        }
        bits.into()
    }
}

fn contains(bits: &[u64], number: u32) -> bool {
    bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
}

#[cfg(any(test, fuzzing))]
pub(crate) use tests::fuzzed;

#[cfg(any(test, fuzzing))]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests: a broken premise ends them")]
mod tests;
