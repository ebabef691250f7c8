//! One request as conditions see it: its parties, what is known of entities, and its context.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy_core::ast::{EntityUID, Value, Var};
use magistrate_model as model;
use smol_str::SmolStr;

use super::entity::Entity;
use super::failure::Failure;
use super::names::NameId;
use super::node::Named;
use crate::cedar::Types;

/// Entities looked for one after the other; beyond that by hash.
const FEW: usize = 12;

/// A request, for the time it is evaluated. Without parties it is nothing that can be asked: what is constant is
/// evaluated there.
pub(crate) struct Asked<'a> {
    pub(super) principal: Option<&'a Entity>,
    pub(super) action: Option<&'a Entity>,
    pub(super) resource: Option<&'a Entity>,
    /// All that is known of entities, the parties included, but for the schema's actions.
    pub(super) known: &'a [Arc<Entity>],
    pub(super) by_uid: OnceCell<HashMap<&'a EntityUID, &'a Entity>>,
    /// What the principal is a member of for this request alone: roles and scopes, each with all above it.
    pub(super) held: &'a [Arc<Entity>],
    pub(super) actions: Option<&'a HashMap<EntityUID, Entity>>,
    pub(super) given: Given<'a>,
}

impl<'a> Asked<'a> {
    /// Nothing at all.
    pub(super) fn nothing() -> Self {
        Self {
            principal: None,
            action: None,
            resource: None,
            known: &[],
            by_uid: OnceCell::new(),
            held: &[],
            actions: None,
            given: Given::default(),
        }
    }

    /// A party; the context is none.
    pub(super) fn party(&self, var: Var) -> Result<&'a Entity, Failure> {
        let party = match var {
            Var::Principal => self.principal,
            Var::Action => self.action,
            Var::Resource => self.resource,
            Var::Context => None,
        };
        party.ok_or(Failure::NotEvaluable)
    }

    /// What is known of an entity.
    pub(super) fn entity(&self, uid: &EntityUID) -> Option<&'a Entity> {
        let parties = [self.principal, self.resource].into_iter().flatten();
        if let Some(party) = parties.into_iter().find(|party| *party.uid == *uid) {
            return Some(party);
        }
        let known = if self.known.len() <= FEW {
            self.known.iter().map(Arc::as_ref).find(|entity| *entity.uid == *uid)
        } else {
            let by_uid = self.by_uid.get_or_init(|| self.known.iter().map(|it| (&*it.uid, &**it)).collect());
            by_uid.get(uid).copied()
        };
        known.or_else(|| self.actions.filter(|_| uid.is_action()).and_then(|actions| actions.get(uid)))
    }

    /// Whether an entity has what the principal holds: it is the principal, or below it.
    pub(super) fn is_overlaid(&self, entity: &Entity) -> bool {
        let Some(principal) = self.principal.filter(|_| !self.held.is_empty()) else { return false };
        std::ptr::eq(principal, entity) || entity.is_in(&principal.uid)
    }

    /// Whether an entity is, or is a member of, another.
    pub(super) fn is_in(&self, entity: &Entity, target: &EntityUID) -> bool {
        entity.is_in(target) || (self.is_overlaid(entity) && self.held.iter().any(|held| held.is_in(target)))
    }

    /// The same, of an entity by its number.
    pub(super) fn is_in_named_by(&self, entity: &Entity, id: NameId) -> bool {
        entity.is_known_as(id) || (self.is_overlaid(entity) && self.held.iter().any(|held| held.is_known_as(id)))
    }

    /// The same, of any of the entities that a policy names.
    pub(super) fn is_in_named(&self, entity: &Entity, named: &[Named]) -> bool {
        named.iter().any(|it| self.is_in_named_by(entity, it.id))
    }
}

/// A context as it was sent, and the facts supplied with it; its values become Cedar's when a condition reads them.
#[derive(Default)]
pub(crate) struct Given<'a> {
    context: Option<&'a model::Record>,
    facts: Option<(&'static str, &'a model::Record)>,
    types: Option<&'a Types>,
    whole: OnceCell<Result<Value, Failure>>,
    /// Values read before that took some work, by where they lie.
    read: RefCell<Vec<(*const model::Value, Value)>>,
}

/// What lies at a path in the context.
pub(super) enum Looked<'a> {
    /// There is no such attribute: the place of the name that is missing.
    Missing(usize),
    /// A record that was sent, or the context itself.
    Record(&'a model::Record),
    /// A value that is no record, and how many names led to it.
    Value(&'a model::Value, usize),
}

impl<'a> Given<'a> {
    pub(crate) fn new(
        context: &'a model::Record,
        facts: Option<(&'static str, &'a model::Record)>,
        types: &'a Types,
    ) -> Self {
        Self { context: Some(context), facts, types: Some(types), ..Self::default() }
    }

    /// Follows names through records.
    pub(super) fn look<'n>(&self, names: impl Iterator<Item = &'n SmolStr>) -> Result<Looked<'a>, Failure> {
        let mut here = self.context.ok_or(Failure::NotEvaluable)?;
        for (at, name) in names.enumerate() {
            let facts = self.facts.filter(|(facts, _)| at == 0 && name == facts);
            here = match (facts, here.get(name.as_str())) {
                (Some((_, facts)), _) => facts,
                (None, Some(model::Value::Record(record))) => record,
                (None, Some(value)) => return Ok(Looked::Value(value, at + 1)),
                (None, None) => return Ok(Looked::Missing(at)),
            };
        }
        Ok(Looked::Record(here))
    }

    /// The context with everything in it.
    pub(super) fn whole(&self) -> Result<Value, Failure> {
        let read = || {
            let context = self.context.ok_or(Failure::NotEvaluable)?;
            let types = self.types.ok_or(Failure::NotEvaluable)?;
            let mut whole = types.attributes(context)?;
            if let Some((name, facts)) = self.facts {
                whole.insert(name.into(), types.record(facts)?);
            }
            Ok(Value::record_arc(Arc::new(whole), None))
        };
        self.whole.get_or_init(read).clone()
    }

    pub(super) fn record(&self, record: &model::Record) -> Result<Value, Failure> {
        self.types.ok_or(Failure::NotEvaluable)?.record(record)
    }

    /// A value that lies in the context.
    pub(super) fn value(&self, value: &'a model::Value) -> Result<Value, Failure> {
        let types = self.types.ok_or(Failure::NotEvaluable)?;
        match value {
            model::Value::Bool(_) | model::Value::Long(_) | model::Value::String(_) => types.value(value),
            model::Value::Entity(_) | model::Value::Extension(..) | model::Value::Set(_) | model::Value::Record(_) => {
                let place = std::ptr::from_ref(value);
                if let Some((_, read)) = self.read.borrow().iter().find(|(at, _)| *at == place) {
                    return Ok(read.clone());
                }
                let made = types.value(value)?;
                self.read.borrow_mut().push((place, made.clone()));
                Ok(made)
            }
        }
    }
}
