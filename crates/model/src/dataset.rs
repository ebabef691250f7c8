//! Everything a decision depends on, at one revision.

use crate::bundle::PolicySet;
use crate::entity::EntityData;
use crate::grant::Grant;
use crate::revision::{Digest, Revision};
use crate::scope::ScopeDeclaration;

/// Where a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest committed revision.
    pub revision: Revision,
    /// Digest over all changes up to it: two stores with one revision and different lineages have forked.
    pub lineage: Digest,
}

/// The whole administrative state at one revision, read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Where the store stood.
    pub head: Head,
    /// The live policy set; `None` before the first apply.
    pub policy_set: Option<PolicySet>,
    /// The scope catalogue.
    pub scopes: Vec<ScopeDeclaration>,
    /// Stored entities, roles among them.
    pub entities: Vec<EntityData>,
    /// Role and scope assignments, whatever their term.
    pub grants: Vec<Grant>,
}
