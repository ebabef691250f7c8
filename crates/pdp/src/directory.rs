//! Entities, grants and scopes of one revision, in memory.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use magistrate_model::{Dataset, Difference, Effect, EntityData, EntityUid, Grant, ScopeDeclaration};
use rpds::HashTrieMapSync;

/// What is stored about principals, resources and their grants. Immutable; what is next shares with it
/// everything that did not change, so a small change to a large directory costs little.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Directory {
    entities: HashTrieMapSync<EntityUid, Arc<EntityData>>,
    /// By holder, then by the resource the grant is held on (`None` is everywhere).
    grants: HashTrieMapSync<EntityUid, Held>,
    scopes: Arc<Vec<ScopeDeclaration>>,
    size: usize,
}

/// The grants of one holder by place, each place's by id.
type Held = HashTrieMapSync<Option<EntityUid>, Arc<Vec<Arc<Grant>>>>;

impl Directory {
    /// The directory of a dataset.
    pub fn of(dataset: Dataset) -> Self {
        let mut directory = Self { scopes: Arc::new(dataset.scopes), ..Self::default() };
        for entity in dataset.entities {
            directory.put_entity(entity);
        }
        for grant in dataset.grants {
            directory.add_grant(grant);
        }
        directory
    }

    /// This directory after a change.
    pub(crate) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Entity(Difference { after: Some(entity), .. }) => self.put_entity(entity),
            Effect::Entity(Difference { before, after: None }) => {
                before.iter().for_each(|entity| self.remove_entity(&entity.uid));
            }
            Effect::Scope(Difference { before, after }) => {
                let scopes = Arc::make_mut(&mut self.scopes);
                scopes.retain(|scope| before.as_ref().is_none_or(|before| before.name != scope.name));
                scopes.extend(after);
                scopes.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Effect::Grant(Difference { before, after }) => {
                before.iter().for_each(|grant| self.remove_grant(grant));
                after.into_iter().for_each(|grant| self.add_grant(grant));
            }
            Effect::PolicySet(_) => {}
        }
    }

    /// How many entities and grants it holds.
    pub fn size(&self) -> usize {
        self.size
    }

    fn put_entity(&mut self, entity: EntityData) {
        let before = self.entities.size();
        self.entities.insert_mut(entity.uid.clone(), Arc::new(entity));
        self.size += self.entities.size() - before;
    }

    fn remove_entity(&mut self, uid: &EntityUid) {
        self.size -= usize::from(self.entities.remove_mut(uid));
    }

    fn add_grant(&mut self, grant: Grant) {
        let (holder, place) = (grant.holder().clone(), grant.resource().cloned());
        if self.grants.get(&holder).is_none() {
            self.grants.insert_mut(holder.clone(), Held::default());
        }
        if let Some(held) = self.grants.get_mut(&holder) {
            match held.get_mut(&place) {
                Some(here) => {
                    let at = here.partition_point(|it| it.id() < grant.id());
                    Arc::make_mut(here).insert(at, Arc::new(grant));
                }
                None => held.insert_mut(place, Arc::new(vec![Arc::new(grant)])),
            }
            self.size += 1;
        }
    }

    fn remove_grant(&mut self, grant: &Grant) {
        let (holder, place) = (grant.holder(), grant.resource().cloned());
        let Some(held) = self.grants.get_mut(holder) else { return };
        let Some(here) = held.get_mut(&place) else { return };
        let here = Arc::make_mut(here);
        let before = here.len();
        here.retain(|it| it.id() != grant.id());
        self.size -= before - here.len();
        if here.is_empty() {
            held.remove_mut(&place);
        }
        if held.is_empty() {
            self.grants.remove_mut(holder);
        }
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
        held.flat_map(move |by_place| {
            places.iter().filter_map(|place| by_place.get(place)).flat_map(|here| here.iter())
        })
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
