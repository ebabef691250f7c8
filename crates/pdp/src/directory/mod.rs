//! Entities, grants and scopes of one revision, in memory.
//!
//! What was loaded lies packed in a [`Base`], which never changes; what changed since lies beside it in persistent maps
//! that the states of all revisions share. When there is much of that, everything is packed anew.

mod above;
mod base;
mod batch;
mod grants;
mod packed;
mod packer;
mod uids;
mod version;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use magistrate_model::{
    Dataset, Difference, Effect, EntityData, EntityUid, Grant, GrantId, GrantRef, KnownEntity, ScopeDeclaration, Term,
};
use rpds::HashTrieMapSync;

pub(crate) use above::{Above, above};
pub(crate) use base::Confers;
pub(crate) use grants::{GrantView, Held, Place};
pub(crate) use version::{Version, VersionCell};

use base::{Base, PackedGrant, Position};
use grants::Added;
use packer::Packer;

/// What is stored about principals, resources and their grants. Immutable; what is next shares with it
/// everything that did not change, so a small change to a large directory costs little.
#[derive(Debug, Clone)]
pub struct Directory {
    base: Arc<Base>,
    /// Entities that are others than in the base, or are gone.
    entities: Map<EntityUid, Changed>,
    /// Grants that are not in the base, by holder.
    grants: Map<EntityUid, Added>,
    /// Grants of the base that are gone.
    gone: Map<Position, ()>,
    scopes: Arc<Vec<ScopeDeclaration>>,
    /// How many entities and grants there are.
    counts: (usize, usize),
    /// How many changes lie beside the base.
    changes: usize,
    hierarchy: Version,
}

/// A map that shares what did not change with the one it was made of.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V, RandomState>;

/// An empty one.
pub(crate) fn map<K: Eq + std::hash::Hash, V>() -> Map<K, V> {
    HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default())
}

/// An entity that changed since the base.
#[derive(Debug, Clone)]
struct Changed {
    version: Version,
    data: Option<Arc<KnownEntity>>,
}

impl PartialEq for Directory {
    fn eq(&self, other: &Self) -> bool {
        self.counts == other.counts && self.scopes == other.scopes && self.contents() == other.contents()
    }
}

/// What holder holds on which resource by which grant, and what that confers when.
type GrantContent = (Option<EntityUid>, Option<EntityUid>, Option<Confers>, Option<Term>);

/// Packs what a store holds, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    packer: Packer,
    scopes: Vec<ScopeDeclaration>,
}

impl Builder {
    pub(crate) fn scope(&mut self, scope: ScopeDeclaration) {
        self.scopes.push(scope);
    }

    pub(crate) fn entity(&mut self, entity: EntityData) {
        self.packer.entity(entity);
    }

    pub(crate) fn grant(&mut self, grant: &GrantRef<'_>) {
        self.packer.grant(grant);
    }

    /// The directory of what was taken; `None` where that was more than can be numbered.
    pub(crate) fn finish(self) -> Option<Directory> {
        Some(Directory::on(self.packer.finish()?, self.scopes))
    }
}

/// Packed anew when more than so many changes lie beside the base, and a quarter of what it holds.
const MOST_CHANGES: usize = 20_000;

impl Directory {
    /// The directory of a dataset; of nothing where it holds more than can be numbered.
    pub fn of(dataset: Dataset) -> Self {
        let mut packer = Packer::default();
        dataset.entities.into_iter().for_each(|entity| packer.entity(entity));
        dataset.grants.iter().for_each(|grant| packer.grant(&grant.borrowed()));
        Self::on(packer.finish().unwrap_or_default(), dataset.scopes)
    }

    fn on(base: Base, scopes: Vec<ScopeDeclaration>) -> Self {
        Self {
            counts: (base.entity_count(), base.grant_count()),
            base: Arc::new(base),
            entities: map(),
            grants: map(),
            gone: map(),
            scopes: Arc::new(scopes),
            changes: 0,
            hierarchy: Version::new(),
        }
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

    /// The same packed anew, where much lies beside the base.
    pub(crate) fn tidied(self) -> Self {
        match self.changes > MOST_CHANGES.max(self.size() / 4) {
            true => self.packed_anew().unwrap_or(self),
            false => self,
        }
    }

    /// `None` where that is more than can be numbered.
    fn packed_anew(&self) -> Option<Self> {
        let mut packer = Packer::default();
        let kept = |entity: &EntityData| !self.entities.contains_key(&entity.uid);
        self.base.entities().filter(kept).for_each(|entity| packer.entity(entity));
        let changed = self.entities.values().filter_map(|it| it.data.as_ref());
        changed.for_each(|entity| packer.entity(EntityData::clone(entity)));
        self.all_grants().filter_map(GrantView::owned).for_each(|grant| packer.grant(&grant.borrowed()));
        Some(Self::on(packer.finish()?, self.scopes.to_vec()))
    }

    /// How many entities and grants it holds.
    pub fn size(&self) -> usize {
        self.counts.0 + self.counts.1
    }

    /// Which state of all entities this is.
    pub(crate) fn hierarchy(&self) -> Version {
        self.hierarchy
    }

    /// This directory with another word on one entity.
    pub(crate) fn with(&self, entity: EntityData) -> Self {
        let mut with = self.clone();
        with.put_entity(entity);
        with
    }

    fn put_entity(&mut self, entity: EntityData) {
        self.counts.0 += usize::from(self.version(&entity.uid).is_none());
        let changed = Changed { version: Version::new(), data: None };
        self.entities
            .insert_mut(entity.uid.clone(), Changed { data: Some(Arc::new(KnownEntity::new(entity))), ..changed });
        self.changes += 1;
        self.hierarchy = Version::new();
    }

    fn remove_entity(&mut self, uid: &EntityUid) {
        self.counts.0 -= usize::from(self.version(uid).is_some());
        match self.base.version(uid) {
            Some(_) => self.entities.insert_mut(uid.clone(), Changed { version: Version::new(), data: None }),
            None => drop(self.entities.remove_mut(uid)),
        }
        self.changes += 1;
        self.hierarchy = Version::new();
    }

    fn add_grant(&mut self, grant: Grant) {
        self.counts.1 += 1;
        self.changes += 1;
        match self.grants.get_mut(grant.holder()) {
            Some(held) => held.add(grant),
            None => {
                let holder = grant.holder().clone();
                let mut held = Added::none();
                held.add(grant);
                self.grants.insert_mut(holder, held);
            }
        }
    }

    fn remove_grant(&mut self, grant: &Grant) {
        let added = self.grants.get_mut(grant.holder());
        let was_added = added.is_some_and(|added| added.remove(grant));
        if self.grants.get(grant.holder()).is_some_and(Added::is_empty) {
            self.grants.remove_mut(grant.holder());
        }
        let packed = self.base.position(grant).filter(|position| !was_added && !self.gone.contains_key(position));
        if let Some(position) = packed {
            self.gone.insert_mut(position, ());
        }
        self.counts.1 -= usize::from(was_added || packed.is_some());
        self.changes += 1;
    }

    /// An entity, and which version of it.
    pub(crate) fn entity(&self, uid: &EntityUid) -> Option<(Arc<KnownEntity>, Version)> {
        match self.entities.get(uid) {
            Some(changed) => Some((Arc::clone(changed.data.as_ref()?), changed.version)),
            None => Some((Arc::new(KnownEntity::new(self.base.entity(uid)?)), self.base.version(uid)?)),
        }
    }

    /// Which version of an entity there is, if any.
    pub(crate) fn version(&self, uid: &EntityUid) -> Option<Version> {
        match self.entities.get(uid) {
            Some(changed) => changed.data.as_ref().map(|_| changed.version),
            None => self.base.version(uid),
        }
    }

    pub(crate) fn scopes(&self) -> &[ScopeDeclaration] {
        &self.scopes
    }

    /// A resource to look for grants on.
    pub(crate) fn place<'a>(&self, uid: &'a EntityUid) -> Place<'a> {
        Place { uid, number: self.base.number(uid) }
    }

    /// The grants of one holder, whatever their term.
    pub(crate) fn held_by(&self, holder: &EntityUid) -> Held<'_> {
        Held { directory: self, number: self.base.number(holder), added: self.grants.get(holder) }
    }

    /// All grants of one holder.
    pub(crate) fn all_held_by(&self, holder: &EntityUid) -> impl Iterator<Item = GrantView<'_>> {
        let added = self.grants.get(holder).into_iter().flat_map(Added::all);
        self.remaining(self.base.held_by(holder)).chain(added.map(|grant| GrantView::Added(grant)))
    }

    fn all_grants(&self) -> impl Iterator<Item = GrantView<'_>> {
        let added = self.grants.values().flat_map(Added::all);
        self.remaining(self.base.grants()).chain(added.map(|grant| GrantView::Added(grant)))
    }

    /// Grants of the base that are not gone.
    fn remaining<'a>(
        &'a self,
        packed: impl Iterator<Item = (Position, PackedGrant<'a>)>,
    ) -> impl Iterator<Item = GrantView<'a>> {
        let remains = |position: &Position| self.gone.is_empty() || !self.gone.contains_key(position);
        packed.filter(move |(position, _)| remains(position)).map(|(_, grant)| GrantView::Packed(grant))
    }

    /// Everything, to be compared: slow.
    fn contents(&self) -> (BTreeMap<EntityUid, EntityData>, BTreeMap<Option<GrantId>, GrantContent>) {
        let packed = self.base.entities().filter(|entity| !self.entities.contains_key(&entity.uid));
        let changed = self.entities.values().filter_map(|it| it.data.as_deref().map(|data| EntityData::clone(data)));
        let grant =
            |it: GrantView<'_>| (it.id(), (it.holder(), it.resource(), it.confers().map(Cow::into_owned), it.term()));
        (
            packed.chain(changed).map(|entity| (entity.uid.clone(), entity)).collect(),
            self.all_grants().map(grant).collect(),
        )
    }
}

#[cfg(test)]
mod tests;
