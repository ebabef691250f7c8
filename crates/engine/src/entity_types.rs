//! What a schema says in our terms: where entities come from, what actions belong to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use foldhash::fast::RandomState;
use magistrate_model::{ActionUid, DurabilityClass, EntityUid, TypeName};

/// Where the entities of a type come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntitySource {
    /// The entity table is the only truth.
    Stored,
    /// A caller that may assert it sends attributes and parents.
    Asserted,
    /// Built from verified token claims.
    Token,
    /// Exists only through role assignments.
    Role,
    /// Exists only through scope assignments.
    Scope,
}

impl EntitySource {
    /// The value of `@source`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Asserted => "asserted",
            Self::Token => "token",
            Self::Role => "role",
            Self::Scope => "scope",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Stored, Self::Asserted, Self::Token, Self::Role, Self::Scope];
        all.into_iter().find(|source| source.name() == name)
    }

    /// Whether entities of this source exist only through assignments.
    pub const fn is_assigned(self) -> bool {
        matches!(self, Self::Role | Self::Scope)
    }
}

/// An entity type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTypeInfo {
    /// Where its entities come from.
    pub source: EntitySource,
    /// Whether its principals need a scope that opens the action (`@scopes("required")`).
    pub scopes_required: bool,
    /// Types its entities may be members of, directly or through others.
    pub member_of: BTreeSet<TypeName>,
    /// Role and scope types among them.
    pub may_hold: BTreeSet<TypeName>,
    /// The ids of an enumerated type: they exist by declaration.
    pub enumerated: Option<BTreeSet<String>>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionInfo {
    /// The action itself and every group it belongs to.
    pub groups: BTreeSet<EntityUid>,
    /// Types it applies to as principals; empty for a group.
    pub principals: BTreeSet<TypeName>,
    /// Types it applies to as resources; empty for a group.
    pub resources: BTreeSet<TypeName>,
    /// Whether its context declares `facts: Magistrate::Facts`.
    pub declares_facts: bool,
    /// The durability class its `@audit` asks for.
    pub class: DurabilityClass,
}

/// The types and actions of a schema.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    types: Table<TypeName, EntityTypeInfo>,
    actions: Table<ActionUid, ActionInfo>,
    role_types: Vec<TypeName>,
    scope_type: Option<TypeName>,
}

/// Rows in the order of their keys, found by hash: every request looks for several.
#[derive(Debug, Clone)]
struct Table<K, V> {
    rows: Vec<(K, V)>,
    places: HashMap<K, usize, RandomState>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: HashMap::default() }
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    fn of(rows: BTreeMap<K, V>) -> Self {
        let places = rows.keys().cloned().zip(0..).collect();
        Self { rows: rows.into_iter().collect(), places }
    }

    fn get(&self, key: &K) -> Option<&V> {
        let place = self.places.get(key)?;
        self.rows.get(*place).map(|(_, value)| value)
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, value)| (key, value))
    }
}

impl Vocabulary {
    pub(crate) fn of(types: BTreeMap<TypeName, EntityTypeInfo>, actions: BTreeMap<ActionUid, ActionInfo>) -> Self {
        let of = |source| types.iter().filter(move |(_, info)| info.source == source).map(|(name, _)| name.clone());
        let (role_types, scope_type) = (of(EntitySource::Role).collect(), of(EntitySource::Scope).next());
        Self { types: Table::of(types), actions: Table::of(actions), role_types, scope_type }
    }

    /// The entity type of this name.
    pub fn entity_type(&self, name: &TypeName) -> Option<&EntityTypeInfo> {
        self.types.get(name)
    }

    /// The action, or action group.
    pub fn action(&self, action: &ActionUid) -> Option<&ActionInfo> {
        self.actions.get(action)
    }

    /// Every entity type.
    pub fn entity_types(&self) -> impl Iterator<Item = (&TypeName, &EntityTypeInfo)> {
        self.types.iter()
    }

    /// Every action and action group.
    pub fn actions(&self) -> impl Iterator<Item = (&ActionUid, &ActionInfo)> {
        self.actions.iter()
    }

    /// Role types.
    pub fn role_types(&self) -> impl Iterator<Item = &TypeName> {
        self.role_types.iter()
    }

    /// The scope type, if the schema has one; it has at most one.
    pub fn scope_type(&self) -> Option<&TypeName> {
        self.scope_type.as_ref()
    }

    /// Where entities of this type come from; `None` for a type the schema does not declare.
    pub fn source_of(&self, name: &TypeName) -> Option<EntitySource> {
        self.types.get(name).map(|info| info.source)
    }
}
