//! Entities as stored and as sent.

use std::collections::BTreeSet;

use crate::uid::EntityUid;
use crate::value::Record;

/// An entity with its attributes and direct parents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityData {
    /// Who it is.
    pub uid: EntityUid,
    /// Attributes, as the schema of its type declares them.
    pub attributes: Record,
    /// Direct parents; ancestors follow from the parents' own parents.
    pub parents: BTreeSet<EntityUid>,
}

impl EntityData {
    /// An entity without attributes or parents.
    pub fn bare(uid: EntityUid) -> Self {
        Self { uid, attributes: Record::new(), parents: BTreeSet::new() }
    }

    /// Calls `visit` with every entity named in the attributes, at any depth.
    pub fn each_reference<'a>(&'a self, visit: &mut dyn FnMut(&'a EntityUid)) {
        self.attributes.values().for_each(|value| value.each_entity(visit));
    }
}

/// A principal or resource as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EntityInput {
    /// Only the uid: everything else is looked up.
    Reference(EntityUid),
    /// The caller vouches for attributes and parents, complete.
    Asserted(EntityData),
}

impl EntityInput {
    /// Who it is.
    pub fn uid(&self) -> &EntityUid {
        match self {
            Self::Reference(uid) => uid,
            Self::Asserted(data) => &data.uid,
        }
    }

    /// What the caller vouches for, if anything.
    pub fn asserted(&self) -> Option<&EntityData> {
        match self {
            Self::Reference(_) => None,
            Self::Asserted(data) => Some(data),
        }
    }
}
