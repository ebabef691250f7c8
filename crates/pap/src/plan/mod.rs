//! From input to changes: everything is checked together before anything is written.

mod entities;
mod grants;
mod names;

pub(crate) use grants::check_may_hold;
pub(crate) use names::Derivation;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;

use magistrate_engine::{EntitySource, Snapshot, Vocabulary};
use magistrate_model::{Change, EntityData, EntityUid, Grant, GrantId, Instant, ScopeDeclaration, ScopeName, TypeName};

use crate::data::Data;
use crate::problem::Problem;

/// What exists already, as far as the input touches it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Entities and roles, with all their ancestors.
    pub entities: HashMap<EntityUid, EntityData>,
    /// The scope catalogue.
    pub scopes: BTreeMap<ScopeName, ScopeDeclaration>,
    /// Grants by id.
    pub grants: HashMap<GrantId, Grant>,
}

/// The changes that bring about what the input says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, in an order that can be applied.
    pub changes: Vec<Change>,
    /// Items that did not exist.
    pub added: usize,
    /// Items that exist and differ.
    pub updated: usize,
    /// Items that exist as given.
    pub unchanged: usize,
}

/// What was found out about an input as a whole before a part of it is planned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    /// Entities that are named and that other parts bring.
    pub(crate) promised: HashSet<EntityUid>,
    /// Whether nobody in it is above itself; ancestors need not be known then.
    pub(crate) hierarchy: bool,
}

/// Plans a put of `data`: idempotent, an item that is there as given needs no change.
pub fn plan(snapshot: &Snapshot, known: &Known, data: Data, now: Instant) -> Result<Plan, Vec<Problem>> {
    plan_with(snapshot, known.clone(), data, now, Settled::default())
}

/// The same for a part of a larger input.
pub(crate) fn plan_with(
    snapshot: &Snapshot,
    known: Known,
    data: Data,
    now: Instant,
    settled: Settled,
) -> Result<Plan, Vec<Problem>> {
    let mut planning = Planning {
        snapshot,
        vocabulary: snapshot.vocabulary(),
        known,
        settled,
        now,
        plan: Plan::default(),
        problems: Vec::new(),
    };
    let entities = planning.entities(data.entities, data.roles);
    planning.check_hierarchy(&entities);
    planning.scopes(data.scopes);
    planning.grants(data.grants);
    match planning.problems {
        problems if problems.is_empty() => Ok(planning.plan),
        problems => Err(problems),
    }
}

/// The uid of a role given as a bare id or in full.
pub fn role_uid(vocabulary: &Vocabulary, text: &str) -> Result<EntityUid, String> {
    let types: Vec<&TypeName> = vocabulary.role_types().collect();
    if text.contains("::") {
        let uid = EntityUid::parse_shorthand(text).map_err(|e| e.to_string())?;
        return match types.contains(&uid.type_name()) {
            true => Ok(uid),
            false => {
                Err(format!("`{uid}` is not a role: its type must be annotated `@source(\"role\")` in the schema"))
            }
        };
    }
    match types.as_slice() {
        [only] => EntityUid::from_parts(only.as_str(), text).map_err(|e| e.to_string()),
        [] => Err("the schema has no role type; annotate one with `@source(\"role\")`".to_owned()),
        _ => Err(format!(
            "the schema has several role types; write the role in full, such as `{}::\"{text}\"`",
            types.first().map_or("", |t| t.as_str())
        )),
    }
}

struct Planning<'a> {
    snapshot: &'a Snapshot,
    vocabulary: &'a Vocabulary,
    known: Known,
    settled: Settled,
    now: Instant,
    plan: Plan,
    problems: Vec<Problem>,
}

impl Planning<'_> {
    fn refuse(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), what: what.into() });
    }

    /// Refuses an item whose name stands in the input already; `seen` holds the names with their places.
    fn check_once(&mut self, seen: &mut HashMap<String, String>, place: &str, name: &impl Display) {
        if let Some(first) = seen.insert(name.to_string(), place.to_owned()) {
            self.refuse(place, format!("`{name}` stands twice, first at {first}"));
        }
    }

    fn change(&mut self, change: Change, exists: bool) {
        if exists {
            self.plan.updated += 1;
        } else {
            self.plan.added += 1;
        }
        self.plan.changes.push(change);
    }

    fn is_assigned(&self, uid: &EntityUid) -> bool {
        self.vocabulary.source_of(uid.type_name()).is_some_and(EntitySource::is_assigned)
    }

    /// Whether an entity is there, or is of a kind that is not kept here.
    fn exists(&self, uid: &EntityUid) -> bool {
        let Some(info) = self.vocabulary.entity_type(uid.type_name()) else {
            return false;
        };
        match (info.source, &info.enumerated) {
            (_, Some(ids)) => ids.contains(uid.id().as_str()),
            (EntitySource::Stored | EntitySource::Role, None) => {
                self.known.entities.contains_key(uid) || self.settled.promised.contains(uid)
            }
            (EntitySource::Asserted | EntitySource::Token | EntitySource::Scope, None) => true,
        }
    }
}
