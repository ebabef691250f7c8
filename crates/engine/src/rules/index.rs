//! Which rules a request can concern, found without looking at the others.
//!
//! Every rule lies under one pair of keys: what its scope asks of the principal, and what it asks of the resource. A
//! request has a few keys of either kind, from its uids, their types and what is above them; the rules under any pair
//! of its keys are its candidates, and no others are evaluated.
//!
//! **Why that changes no answer.** `isAuthorized_eq_for_sound_policy_slice` of Cedar's formal model (cedar-spec,
//! `Cedar/Thm/PolicySlice.lean`) says that leaving out policies that are neither satisfied nor failing leaves decision,
//! determining and erroring policies as they are. A policy's condition is its scope `&&` its clauses, and the
//! operators of a scope cannot fail on uids: where the scope is false, so is the policy, and no clause is evaluated.
//! What is left out here has a false scope. For that to hold,
//!
//! - keys come from the same entities that conditions are evaluated on, with everything above them and with what the
//!   request alone adds (roles and scopes): [`Entity`](super::Entity) carries both, and `select` asks it for both;
//! - a name of an entity counts for it whether or not the entity is known, and what is above it only if it is;
//! - `==` and `in` are keys of different kinds, so that an ancestor never answers for `==`;
//! - `is T in x` lies under `in x` and has its type tested afterwards;
//! - actions are matched against the schema's own groups, which Cedar is given as entities, too;
//! - slots of links are filled before.
//!
//! Each of these has a test in `rules/tests` that fails when it is broken.

use std::collections::{HashMap, HashSet};

use cedar_policy_core::ast::{EntityReference, EntityUID, PrincipalOrResourceConstraint};
use foldhash::fast::FixedState;

use super::RuleId;
use super::asked::Asked;
use super::entity::Entity;
use super::names::{NameId, Names, TypeId};

/// What a scope asks of a party, but for a type beside a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u64);

/// Keys in order, each once.
pub(super) type Keys = Box<[Key]>;

/// The rules under one key of the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row(u32);

impl Key {
    /// Anybody.
    pub(super) const ANY: Self = Self(0);

    /// Whoever is of a type.
    pub(super) fn of_type(id: TypeId) -> Self {
        Self(1 << 32 | u64::from(id.0))
    }

    /// One entity.
    pub(super) fn is(id: NameId) -> Self {
        Self(2 << 32 | u64::from(id.0))
    }

    /// What it asks for, and of which name or type.
    fn parts(self) -> (u64, u32) {
        (self.0 >> 32, u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX))
    }

    /// Whether it names an entity, rather than a type or nobody.
    pub(super) fn names_an_entity(self) -> bool {
        self.parts().0 >= 2
    }

    /// An entity and its members.
    pub(super) fn within(id: NameId) -> Self {
        Self(3 << 32 | u64::from(id.0))
    }
}

/// What a scope asks of a party: a key, and beside it a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Constraint {
    pub(super) key: Key,
    pub(super) type_id: Option<TypeId>,
}

impl Constraint {
    /// `None` where a slot is not filled.
    pub(super) fn of(constraint: &PrincipalOrResourceConstraint, names: &mut Names) -> Option<Self> {
        let uid = |reference: &EntityReference| match reference {
            EntityReference::EUID(uid) => Some(std::sync::Arc::clone(uid)),
            EntityReference::Slot(_) => None,
        };
        let (key, type_id) = match constraint {
            PrincipalOrResourceConstraint::Any => (Key::ANY, None),
            PrincipalOrResourceConstraint::Is(name) => (Key::of_type(names.add_type(name)), None),
            PrincipalOrResourceConstraint::Eq(to) => (Key::is(names.add(&*uid(to)?)), None),
            PrincipalOrResourceConstraint::In(of) => (Key::within(names.add(&*uid(of)?)), None),
            PrincipalOrResourceConstraint::IsIn(name, of) => {
                (Key::within(names.add(&*uid(of)?)), Some(names.add_type(name)))
            }
        };
        Some(Self { key, type_id })
    }
}

impl Constraint {
    /// Whether it is so of an entity of a request. `select` finds the same without looking at each rule.
    pub(super) fn holds(&self, entity: &Entity, names: &Names, asked: &Asked<'_>) -> bool {
        let has_key = match self.key.parts() {
            (0, _) => true,
            (1, number) => entity.type_id == Some(TypeId(number)),
            (2, number) => names.id(&entity.uid) == Some(NameId(number)),
            (_, number) => asked.is_in_named_by(entity, NameId(number)),
        };
        has_key && self.type_id.is_none_or(|wanted| entity.type_id == Some(wanted))
    }
}

/// Rules by what their scopes ask.
#[derive(Debug, Default)]
pub(super) struct Index {
    rows: HashMap<Key, Row, FixedState>,
    columns: Vec<Column>,
    /// Keys of resources under any row.
    places: HashSet<Key, FixedState>,
}

/// The rules under one key of the principal, by key of the resource.
#[derive(Debug)]
struct Column {
    rules: Box<[RuleId]>,
    /// In order of the keys; which of the rules lie there.
    places: Box<[(Key, u32, u32)]>,
    /// The same by hash, where there are many.
    by_key: Option<HashMap<Key, (u32, u32), FixedState>>,
}

/// Places of a column searched one after the other; beyond that by hash.
const FEW: usize = 32;

impl Index {
    pub(super) fn of(rules: impl Iterator<Item = (Key, Key, RuleId)>) -> Self {
        let mut rules: Vec<_> = rules.collect();
        rules.sort_unstable();
        let mut index = Self::default();
        for column in rules.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((principal, ..)) = column.first() else { continue };
            let row = Row(u32::try_from(index.columns.len()).unwrap_or(u32::MAX));
            let column = Column::of(column);
            index.places.extend(column.places.iter().map(|(key, ..)| *key));
            index.rows.insert(*principal, row);
            index.columns.push(column);
        }
        index
    }

    /// The rows that keys of a principal select, in order.
    pub(super) fn rows(&self, keys: impl Iterator<Item = Key>) -> Box<[Row]> {
        sorted(keys.filter_map(|key| self.rows.get(&key).copied()))
    }

    /// The keys of a resource under which there is anything, in order.
    pub(super) fn keys(&self, keys: impl Iterator<Item = Key>) -> Keys {
        sorted(keys.filter(|key| self.places.contains(key)))
    }

    /// Adds the rules under any of the rows and any of the keys, each once if rows and keys hold nothing twice.
    pub(super) fn select(&self, rows: &[Row], keys: &[Key], candidates: &mut Vec<RuleId>) {
        for column in rows.iter().filter_map(|row| self.columns.get(row.0 as usize)) {
            column.select(keys, candidates);
        }
    }
}

#[cfg(test)]
impl Index {
    /// How many keys of resources each column has, and whether they are found by hash.
    pub(super) fn columns(&self) -> impl Iterator<Item = (usize, bool)> {
        self.columns.iter().map(|column| (column.places.len(), column.by_key.is_some()))
    }
}

impl Column {
    /// Of the rules of one row, in order.
    fn of(rules: &[(Key, Key, RuleId)]) -> Self {
        let mut places = Vec::new();
        let mut from = 0;
        for place in rules.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let Some((_, key, _)) = place.first() else { continue };
            let to = from + u32::try_from(place.len()).unwrap_or(u32::MAX);
            places.push((*key, from, to));
            from = to;
        }
        let many = places.len() > FEW;
        let by_key = many.then(|| places.iter().map(|(key, from, to)| (*key, (*from, *to))).collect());
        Self { rules: rules.iter().map(|(.., rule)| *rule).collect(), places: places.into(), by_key }
    }

    fn select(&self, keys: &[Key], candidates: &mut Vec<RuleId>) {
        let mut add = |from: u32, to: u32| {
            candidates.extend_from_slice(self.rules.get(from as usize..to as usize).unwrap_or_default());
        };
        match &self.by_key {
            Some(by_key) => keys.iter().filter_map(|key| by_key.get(key)).for_each(|(from, to)| add(*from, *to)),
            None => {
                let here = self.places.iter().filter(|(key, ..)| keys.binary_search(key).is_ok());
                here.for_each(|(_, from, to)| add(*from, *to));
            }
        }
    }
}

/// The keys of a party of itself: anybody's, its type's, and those of its name and of everything above it.
pub(super) fn keys_of<'a>(
    names: &'a Names,
    uid: &'a EntityUID,
    type_id: Option<TypeId>,
    known: &'a [NameId],
) -> impl Iterator<Item = Key> + 'a {
    let own = [Some(Key::ANY), type_id.map(Key::of_type), names.id(uid).map(Key::is)];
    own.into_iter().flatten().chain(known.iter().copied().map(Key::within))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Box<[T]> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items.into()
}
