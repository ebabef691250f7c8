//! Names as numbers: the entity types there are, and the entities that policies name.

use std::collections::HashMap;

use cedar_policy_core::ast::{EntityType, EntityUID};
use foldhash::fast::RandomState;

/// The number of an entity type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TypeId(pub(super) u32);

/// The number of an entity that some policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(pub(super) u32);

/// Types and named entities by number. Equal names have equal numbers; grows only.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    types: HashMap<EntityType, TypeId, RandomState>,
    entities: HashMap<EntityUID, NameId, RandomState>,
}

impl Names {
    /// The number of a type, given to it if it has none.
    pub(super) fn add_type(&mut self, name: &EntityType) -> TypeId {
        if let Some(id) = self.types.get(name) {
            return *id;
        }
        let id = TypeId(number(self.types.len()));
        self.types.insert(name.clone(), id);
        id
    }

    /// The number of an entity, given to it if it has none.
    pub(super) fn add(&mut self, uid: &EntityUID) -> NameId {
        if let Some(id) = self.entities.get(uid) {
            return *id;
        }
        let id = NameId(number(self.entities.len()));
        self.entities.insert(uid.clone(), id);
        id
    }

    /// The number of a type; `None` for one that neither schema nor policies know.
    pub(super) fn type_id(&self, name: &EntityType) -> Option<TypeId> {
        self.types.get(name).copied()
    }

    /// The number of an entity; `None` where no policy names it.
    pub(super) fn id(&self, uid: &EntityUID) -> Option<NameId> {
        self.entities.get(uid).copied()
    }
}

#[cfg(test)]
impl Names {
    pub(super) fn count(&self) -> usize {
        self.entities.len()
    }
}

/// Who knows the numbers of entities that policies name.
pub(super) trait Naming {
    /// The number of an entity, if it has one or is given one.
    fn number(&mut self, uid: &EntityUID) -> Option<NameId>;
}

impl Naming for Names {
    fn number(&mut self, uid: &EntityUID) -> Option<NameId> {
        Some(self.add(uid))
    }
}

impl Naming for &Names {
    fn number(&mut self, uid: &EntityUID) -> Option<NameId> {
        self.id(uid)
    }
}

/// A set has no four billion names: its texts are bounded by less.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
