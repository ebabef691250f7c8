//! Everything a decision depends on, at one revision.

use std::collections::BTreeMap;

use crate::bundle::PolicySet;
use crate::change::Change;
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

impl Dataset {
    /// Nothing at all, at revision 1.
    pub const fn empty() -> Self {
        let head = Head { revision: Revision::new(1), lineage: Digest::ZERO };
        Self { head, policy_set: None, scopes: Vec::new(), entities: Vec::new(), grants: Vec::new() }
    }

    /// Makes changes in memory, as a store would in its tables; the head stays. Afterwards everything is
    /// in the order of its key.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let keyed = std::mem::take(&mut self.entities).into_iter().map(|entity| (entity.uid.clone(), entity));
        let mut entities: BTreeMap<_, _> = keyed.collect();
        let keyed = std::mem::take(&mut self.scopes).into_iter().map(|scope| (scope.name.clone(), scope));
        let mut scopes: BTreeMap<_, _> = keyed.collect();
        let keyed = std::mem::take(&mut self.grants).into_iter().map(|grant| (grant.id().clone(), grant));
        let mut grants: BTreeMap<_, _> = keyed.collect();
        for change in changes {
            match change {
                Change::PutEntity(entity) => drop(entities.insert(entity.uid.clone(), entity)),
                Change::DeleteEntity(uid) => drop(entities.remove(&uid)),
                Change::PutScope(scope) => drop(scopes.insert(scope.name.clone(), scope)),
                Change::DeleteScope(name) => drop(scopes.remove(&name)),
                Change::AddGrant(grant) => drop(grants.insert(grant.id().clone(), grant)),
                Change::RevokeGrant(id) => drop(grants.remove(&id)),
                Change::ApplyPolicySet { set, .. } => self.policy_set = Some(set),
            }
        }
        self.entities = entities.into_values().collect();
        self.scopes = scopes.into_values().collect();
        self.grants = grants.into_values().collect();
    }
}
