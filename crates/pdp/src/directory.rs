//! Entities, grants and scopes of one revision, in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use magistrate_model::{Dataset, Difference, Effect, EntityData, EntityUid, Grant, ScopeDeclaration};
use rpds::HashTrieMapSync;

/// What is stored about principals, resources and their grants. Immutable; what is next shares with it
/// everything that did not change, so a small change to a large directory costs little.
#[derive(Debug, Clone)]
pub struct Directory {
    entities: Map<EntityUid, Arc<EntityData>>,
    /// By holder.
    grants: Map<EntityUid, Held>,
    scopes: Arc<Vec<ScopeDeclaration>>,
    size: usize,
    hierarchy: Hierarchy,
}

type Map<K, V> = HashTrieMapSync<K, V, RandomState>;

fn map<K: Eq + std::hash::Hash, V>() -> Map<K, V> {
    HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default())
}

/// The grants of one holder by the resource they are held on, each resource's by id.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    everywhere: Grants,
    on: Map<EntityUid, Grants>,
}

type Grants = Arc<Vec<Arc<Grant>>>;

impl Held {
    fn none() -> Self {
        Self { everywhere: Arc::default(), on: map() }
    }

    /// Those that count everywhere.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.everywhere.iter()
    }

    /// Those on one resource.
    pub(crate) fn on(&self, resource: &EntityUid) -> impl Iterator<Item = &Arc<Grant>> {
        self.on.get(resource).into_iter().flat_map(|here| here.iter())
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.everywhere().chain(self.on.values().flat_map(|here| here.iter()))
    }

    fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.on.is_empty()
    }

    fn add(&mut self, grant: Grant) {
        let add = |here: &mut Grants| {
            let at = here.partition_point(|it| it.id() < grant.id());
            Arc::make_mut(here).insert(at, Arc::new(grant.clone()));
        };
        match grant.resource() {
            None => add(&mut self.everywhere),
            Some(resource) => match self.on.get_mut(resource) {
                Some(here) => add(here),
                None => self.on.insert_mut(resource.clone(), Arc::new(vec![Arc::new(grant)])),
            },
        }
    }

    /// How many were removed.
    fn remove(&mut self, grant: &Grant) -> usize {
        let remove = |here: &mut Grants| {
            let before = here.len();
            Arc::make_mut(here).retain(|it| it.id() != grant.id());
            before - here.len()
        };
        let Some(resource) = grant.resource() else { return remove(&mut self.everywhere) };
        let Some(here) = self.on.get_mut(resource) else { return 0 };
        let removed = remove(here);
        if here.is_empty() {
            self.on.remove_mut(resource);
        }
        removed
    }
}

/// A state of all entities: two directories of the same hierarchy hold the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hierarchy(u64);

impl Hierarchy {
    /// One that no directory has yet.
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is above an entity.
#[derive(Debug, Default)]
pub(crate) struct Above {
    /// Everything stored that it is a member of, directly or through others.
    pub(crate) entities: Vec<Arc<EntityData>>,
    /// What it would be a member of, too, and is not stored.
    pub(crate) missing: Vec<EntityUid>,
    /// An entity on the way that is a member of itself.
    pub(crate) cycle: Option<EntityUid>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { entities: map(), grants: map(), scopes: Arc::default(), size: 0, hierarchy: Hierarchy::new() }
    }
}

impl PartialEq for Directory {
    fn eq(&self, other: &Self) -> bool {
        fn grants(of: &Map<EntityUid, Held>) -> Vec<(&EntityUid, &Arc<Grant>)> {
            let all = of.iter().flat_map(|(holder, held)| held.all().map(move |grant| (holder, grant)));
            let mut all: Vec<_> = all.collect();
            all.sort_by_key(|(_, grant)| grant.id());
            all
        }
        let entities = |of: &Self| of.entities.size();
        entities(self) == entities(other)
            && self.entities.iter().all(|(uid, entity)| other.entities.get(uid) == Some(entity))
            && self.scopes == other.scopes
            && self.size == other.size
            && grants(&self.grants) == grants(&other.grants)
    }
}

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

    /// Which state of all entities this is.
    pub(crate) fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    /// This directory with another word on one entity.
    pub(crate) fn with(&self, entity: EntityData) -> Self {
        let mut with = self.clone();
        with.put_entity(entity);
        with
    }

    fn put_entity(&mut self, entity: EntityData) {
        let before = self.entities.size();
        self.entities.insert_mut(entity.uid.clone(), Arc::new(entity));
        self.size += self.entities.size() - before;
        self.hierarchy = Hierarchy::new();
    }

    fn remove_entity(&mut self, uid: &EntityUid) {
        self.size -= usize::from(self.entities.remove_mut(uid));
        self.hierarchy = Hierarchy::new();
    }

    fn add_grant(&mut self, grant: Grant) {
        self.size += 1;
        match self.grants.get_mut(grant.holder()) {
            Some(held) => held.add(grant),
            None => {
                let holder = grant.holder().clone();
                let mut held = Held::none();
                held.add(grant);
                self.grants.insert_mut(holder, held);
            }
        }
    }

    fn remove_grant(&mut self, grant: &Grant) {
        let Some(held) = self.grants.get_mut(grant.holder()) else { return };
        self.size -= held.remove(grant);
        if held.is_empty() {
            self.grants.remove_mut(grant.holder());
        }
    }

    pub(crate) fn entity(&self, uid: &EntityUid) -> Option<&Arc<EntityData>> {
        self.entities.get(uid)
    }

    pub(crate) fn scopes(&self) -> &[ScopeDeclaration] {
        &self.scopes
    }

    /// The grants of one holder, whatever their term.
    pub(crate) fn held_by(&self, holder: &EntityUid) -> Option<&Held> {
        self.grants.get(holder)
    }

    /// What is above an entity.
    pub(crate) fn above(&self, of: &EntityData) -> Above {
        let mut above = Above::default();
        let mut seen: HashMap<&EntityUid, bool> = HashMap::from([(&of.uid, true)]);
        // Who is being looked at, and what of its parents is left; entered are open until all above them is done.
        let mut open: Vec<(&EntityUid, std::collections::btree_set::Iter<'_, EntityUid>)> =
            vec![(&of.uid, of.parents.iter())];
        while let Some((uid, parents)) = open.last_mut() {
            let Some(parent) = parents.next() else {
                seen.insert(uid, false);
                open.pop();
                continue;
            };
            match (seen.get(parent), self.entities.get(parent)) {
                (Some(true), _) => above.cycle = Some(parent.clone()),
                (Some(false), _) => {}
                (None, Some(entity)) => {
                    seen.insert(parent, true);
                    above.entities.push(Arc::clone(entity));
                    open.push((&entity.uid, entity.parents.iter()));
                }
                (None, None) => {
                    seen.insert(parent, false);
                    above.missing.push(parent.clone());
                }
            }
        }
        above
    }
}
