//! Entities prepared for the policies in force, kept while nothing they are made of has changed.

use std::sync::Arc;

use foldhash::fast::RandomState;
use magistrate_engine::{Entity, Snapshot, Unanswerable};
use magistrate_model::{EntityData, EntityUid};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::directory::{Above, Directory, Hierarchy};

/// Bytes that prepared entities may take, about.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Prepared entities by uid, for one snapshot. What is kept is used only for a directory of which it is true, so that
/// states of different revisions may share it.
#[derive(Debug)]
pub(crate) struct Prepared(Cache<EntityUid, Arc<Kept>, RandomState>);

/// An entity, what is above it, and what policies see of it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) data: Arc<EntityData>,
    /// Everything stored that it is a member of, directly or through others.
    pub(crate) above: Vec<Arc<EntityData>>,
    /// What it would be a member of, too, and is not stored.
    pub(crate) missing: Vec<EntityUid>,
    /// Whether it exists by a declaration, and has nothing of its own.
    pub(crate) declared: bool,
    /// What its attributes name.
    pub(crate) references: Vec<EntityUid>,
    /// As policies see it.
    pub(crate) entity: Result<Arc<Entity>, Unanswerable>,
    /// The hierarchy it was made of.
    hierarchy: Hierarchy,
}

impl Default for Prepared {
    fn default() -> Self {
        let cache = Cache::builder()
            .weigher(|_, kept: &Arc<Kept>| kept.weight())
            .max_capacity(MOST_BYTES)
            .eviction_policy(EvictionPolicy::tiny_lfu());
        Self(cache.build_with_hasher(RandomState::default()))
    }
}

impl Prepared {
    /// A stored entity; `None` if there is none.
    pub(crate) fn stored(&self, uid: &EntityUid, snapshot: &Snapshot, directory: &Directory) -> Option<Arc<Kept>> {
        let kept = self.0.get(uid);
        if let Some(kept) = kept.as_ref().filter(|kept| !kept.declared && kept.hierarchy == directory.hierarchy()) {
            return Some(Arc::clone(kept));
        }
        let data = directory.entity(uid)?;
        let kept = match kept.filter(|kept| kept.holds(data, directory)) {
            Some(kept) => kept.renewed(directory),
            None => Kept::of(Arc::clone(data), snapshot, directory),
        };
        let kept = Arc::new(kept);
        self.0.insert(uid.clone(), Arc::clone(&kept));
        Some(kept)
    }

    /// A scope, or an entity of an enumerated type: it exists by its declaration and has nothing of its own.
    pub(crate) fn declared(&self, uid: &EntityUid, snapshot: &Snapshot, directory: &Directory) -> Arc<Kept> {
        self.0.get(uid).filter(|kept| kept.declared).unwrap_or_else(|| {
            let bare = Kept::of(Arc::new(EntityData::bare(uid.clone())), snapshot, directory);
            let kept = Arc::new(Kept { declared: true, ..bare });
            self.0.insert(uid.clone(), Arc::clone(&kept));
            kept
        })
    }
}

impl Kept {
    /// An entity prepared anew.
    pub(crate) fn of(data: Arc<EntityData>, snapshot: &Snapshot, directory: &Directory) -> Self {
        let Above { entities: above, missing, cycle } = directory.above(&data);
        let entity = match cycle {
            Some(uid) => Err(Unanswerable::new(format!("`{uid}` is a member of itself; correct its parents"))),
            None => {
                let above = above.iter().map(|entity| &entity.uid).chain(&missing);
                snapshot.prepare(&data, above).map(Arc::new)
            }
        };
        let mut references = Vec::new();
        data.each_reference(&mut |uid| references.push(uid.clone()));
        references.sort_unstable();
        references.dedup();
        Self { data, above, missing, declared: false, references, entity, hierarchy: directory.hierarchy() }
    }

    /// Whether it would be made of the same things again.
    fn holds(&self, data: &Arc<EntityData>, directory: &Directory) -> bool {
        let is_there =
            |above: &Arc<EntityData>| directory.entity(&above.uid).is_some_and(|found| Arc::ptr_eq(found, above));
        Arc::ptr_eq(&self.data, data)
            && self.above.iter().all(is_there)
            && self.missing.iter().all(|uid| directory.entity(uid).is_none())
    }

    fn renewed(&self, directory: &Directory) -> Self {
        Self {
            data: Arc::clone(&self.data),
            above: self.above.clone(),
            missing: self.missing.clone(),
            declared: self.declared,
            references: self.references.clone(),
            entity: self.entity.clone(),
            hierarchy: directory.hierarchy(),
        }
    }

    /// Bytes, about: what it holds of its own.
    fn weight(&self) -> u32 {
        const BASE: usize = 600;
        const ATTRIBUTE: usize = 160;
        const LINK: usize = 96;
        let attributes: usize = self.data.attributes.len();
        let bytes = BASE + attributes * ATTRIBUTE + (self.above.len() + self.references.len()) * LINK;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
