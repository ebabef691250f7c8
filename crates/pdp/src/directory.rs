//! Entities, grants and scopes of one revision, in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use magistrate_model::{Dataset, EntityData, EntityUid, Grant, ScopeDeclaration};

/// What is stored about principals, resources and their grants. Immutable.
#[derive(Debug, Default)]
pub struct Directory {
    entities: HashMap<EntityUid, Arc<EntityData>>,
    /// By holder, then by the resource the grant is held on (`None` is everywhere).
    grants: HashMap<EntityUid, HashMap<Option<EntityUid>, Vec<Arc<Grant>>>>,
    scopes: Vec<ScopeDeclaration>,
}

impl Directory {
    /// The directory of a dataset.
    pub fn of(dataset: Dataset) -> Self {
        let mut grants: HashMap<_, HashMap<_, Vec<_>>> = HashMap::new();
        for grant in dataset.grants {
            let places = grants.entry(grant.holder().clone()).or_default();
            places.entry(grant.resource().cloned()).or_default().push(Arc::new(grant));
        }
        let entities = dataset.entities.into_iter().map(|entity| (entity.uid.clone(), Arc::new(entity)));
        Self { entities: entities.collect(), grants, scopes: dataset.scopes }
    }

    pub(crate) fn entity(&self, uid: &EntityUid) -> Option<&Arc<EntityData>> {
        self.entities.get(uid)
    }

    pub(crate) fn scopes(&self) -> &[ScopeDeclaration] {
        &self.scopes
    }

    /// Grants of these holders on these places, whatever their term.
    pub(crate) fn grants<'a>(
        &'a self,
        holders: &'a BTreeSet<EntityUid>,
        places: &'a [Option<EntityUid>],
    ) -> impl Iterator<Item = &'a Arc<Grant>> {
        let held = holders.iter().filter_map(|holder| self.grants.get(holder));
        held.flat_map(move |by_place| places.iter().filter_map(|place| by_place.get(place)).flatten())
    }

    /// An entity and its ancestors as far as they are stored; the first parent that is not, if any.
    pub(crate) fn ancestors(&self, of: &EntityData) -> (Vec<Arc<EntityData>>, Option<EntityUid>) {
        let mut found: Vec<Arc<EntityData>> = Vec::new();
        let mut seen: HashSet<&EntityUid> = HashSet::from([&of.uid]);
        let mut pending: Vec<&EntityUid> = of.parents.iter().collect();
        let mut missing = None;
        while let Some(uid) = pending.pop() {
            if !seen.insert(uid) {
                continue;
            }
            match self.entities.get(uid) {
                Some(entity) => {
                    pending.extend(&entity.parents);
                    found.push(Arc::clone(entity));
                }
                None => missing = missing.or_else(|| Some(uid.clone())),
            }
        }
        (found, missing)
    }
}
