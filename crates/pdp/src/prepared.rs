//! Entities prepared for the policies in force, kept while nothing they are made of has changed.

use std::sync::Arc;

use foldhash::fast::RandomState;
use magistrate_engine::{Entity, Snapshot, Unanswerable};
use magistrate_model::{EntityData, EntityUid, KnownEntity, Record, Value};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::directory::{self, Above, Directory, Version, VersionCell};

/// Bytes that prepared entities may take, about.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that entities above prepared ones may take, about.
const MOST_BYTES_ABOVE: u64 = 16 * 1024 * 1024;

/// Prepared entities by uid, for one snapshot. What is kept is used only for a directory of which it is true, so that
/// states of different revisions may share it.
#[derive(Debug)]
pub(crate) struct Prepared {
    kept: Cache<EntityUid, Arc<Kept>, RandomState>,
    /// Entities that others are below, unpacked: many are below the same.
    above: Cache<EntityUid, (Arc<KnownEntity>, Version), RandomState>,
}

/// An entity, what is above it, and what policies see of it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) data: Arc<KnownEntity>,
    version: Version,
    /// Everything stored that it is a member of, directly or through others.
    above: Vec<(Arc<KnownEntity>, Version)>,
    /// What it would be a member of, too, and is not stored.
    pub(crate) missing: Vec<EntityUid>,
    /// Whether it exists by a declaration, and has nothing of its own.
    pub(crate) declared: bool,
    /// What its attributes name.
    pub(crate) references: Vec<EntityUid>,
    /// As policies see it.
    pub(crate) entity: Result<Arc<Entity>, Unanswerable>,
    /// A hierarchy of which all this is true.
    hierarchy: VersionCell,
}

impl Default for Prepared {
    fn default() -> Self {
        let kept = Cache::builder()
            .weigher(|_, kept: &Arc<Kept>| kept.weight())
            .max_capacity(MOST_BYTES)
            .eviction_policy(EvictionPolicy::tiny_lfu());
        let above = Cache::builder()
            .weigher(|_, (data, _): &(Arc<KnownEntity>, Version)| weight_of(data))
            .max_capacity(MOST_BYTES_ABOVE)
            .eviction_policy(EvictionPolicy::tiny_lfu());
        Self {
            kept: kept.build_with_hasher(RandomState::default()),
            above: above.build_with_hasher(RandomState::default()),
        }
    }
}

impl Prepared {
    /// A stored entity; `None` if there is none.
    pub(crate) fn stored(&self, uid: &EntityUid, snapshot: &Snapshot, directory: &Directory) -> Option<Arc<Kept>> {
        let hierarchy = directory.hierarchy();
        if let Some(kept) = self.kept.get(uid).filter(|kept| !kept.declared) {
            if kept.hierarchy.get() == hierarchy {
                return Some(kept);
            }
            if kept.holds(directory) {
                kept.hierarchy.set(hierarchy);
                return Some(kept);
            }
        }
        let (data, version) = directory.entity(uid)?;
        let kept = Arc::new(Kept::of(data, version, snapshot, hierarchy, |uid| self.find(uid, directory)));
        self.kept.insert(uid.clone(), Arc::clone(&kept));
        Some(kept)
    }

    /// A scope, or an entity of an enumerated type: it exists by its declaration and has nothing of its own.
    pub(crate) fn declared(&self, uid: &EntityUid, snapshot: &Snapshot) -> Arc<Kept> {
        self.kept.get(uid).filter(|kept| kept.declared).unwrap_or_else(|| {
            let bare = Arc::new(KnownEntity::new(EntityData::bare(uid.clone())));
            let bare = Kept::of(bare, Version::new(), snapshot, Version::new(), |_| None);
            let kept = Arc::new(Kept { declared: true, ..bare });
            self.kept.insert(uid.clone(), Arc::clone(&kept));
            kept
        })
    }

    /// An entity that is asserted, among those that are stored.
    pub(crate) fn asserted(&self, data: EntityData, snapshot: &Snapshot, directory: &Directory) -> Arc<Kept> {
        let find = |uid: &EntityUid| self.find(uid, directory);
        Arc::new(Kept::of(Arc::new(KnownEntity::new(data)), Version::new(), snapshot, directory.hierarchy(), find))
    }

    /// An entity that others are below.
    fn find(&self, uid: &EntityUid, directory: &Directory) -> Option<(Arc<KnownEntity>, Version)> {
        let version = directory.version(uid)?;
        if let Some(kept) = self.kept.get(uid).filter(|kept| kept.version == version && !kept.declared) {
            return Some((Arc::clone(&kept.data), version));
        }
        if let Some(found) = self.above.get(uid).filter(|(_, known)| *known == version) {
            return Some(found);
        }
        let found = directory.entity(uid)?;
        self.above.insert(uid.clone(), found.clone());
        Some(found)
    }
}

#[cfg(test)]
impl Prepared {
    /// Has policies see an entity as if it were another one, and facts as it is.
    pub(crate) fn mislead(&self, wrong: &EntityData, snapshot: &Snapshot, directory: &Directory) {
        let (data, version) = directory.entity(&wrong.uid).unwrap();
        let mut kept = Kept::of(data, version, snapshot, directory.hierarchy(), |uid| self.find(uid, directory));
        kept.entity = snapshot.prepare(wrong, std::iter::empty()).map(Arc::new);
        self.kept.insert(wrong.uid.clone(), Arc::new(kept));
    }
}

impl Kept {
    /// An entity prepared anew, for a hierarchy in which entities are found by `find`.
    fn of(
        data: Arc<KnownEntity>,
        version: Version,
        snapshot: &Snapshot,
        hierarchy: Version,
        find: impl Fn(&EntityUid) -> Option<(Arc<KnownEntity>, Version)>,
    ) -> Self {
        let Above { entities: above, missing, cycle } = directory::above(&data, find);
        let entity = match cycle {
            Some(uid) => Err(Unanswerable::new(format!("`{uid}` is a member of itself; correct its parents"))),
            None => {
                let above = above.iter().map(|(entity, _)| &entity.uid).chain(&missing);
                snapshot.prepare(&data, above).map(Arc::new)
            }
        };
        let mut references = Vec::new();
        data.each_reference(&mut |uid| references.push(uid.clone()));
        references.sort_unstable();
        references.dedup();
        let hierarchy = VersionCell::new(hierarchy);
        Self { data, version, above, missing, declared: false, references, entity, hierarchy }
    }

    /// Whether it is a member of an entity, stored or not.
    pub(crate) fn is_below(&self, uid: &EntityUid) -> bool {
        self.missing.contains(uid) || self.above().any(|above| above.uid == *uid)
    }

    /// The same entity in a directory where others are something else.
    pub(crate) fn within(&self, snapshot: &Snapshot, directory: &Directory) -> Self {
        let find = |uid: &EntityUid| directory.entity(uid);
        Self::of(Arc::clone(&self.data), self.version, snapshot, directory.hierarchy(), find)
    }

    /// Everything stored that it is a member of, directly or through others.
    pub(crate) fn above(&self) -> impl Iterator<Item = &Arc<KnownEntity>> {
        self.above.iter().map(|(entity, _)| entity)
    }

    /// Whether it would be made of the same things again.
    fn holds(&self, directory: &Directory) -> bool {
        directory.version(&self.data.uid) == Some(self.version)
            && self.above.iter().all(|(above, version)| directory.version(&above.uid) == Some(*version))
            && self.missing.iter().all(|uid| directory.version(uid).is_none())
    }

    /// Bytes, about: what it holds of its own.
    fn weight(&self) -> u32 {
        const BASE: u32 = 600;
        // Ancestors are kept as ours, and as Cedar's.
        let links = 2 * (self.above.len() + self.missing.len()) + self.references.len();
        let links = u32::try_from(links * LINK).unwrap_or(u32::MAX);
        BASE.saturating_add(weight_of(&self.data)).saturating_add(links)
    }
}

/// Bytes, about, that an unpacked entity takes, encoded once more.
pub(crate) fn weight_of(data: &EntityData) -> u32 {
    const BASE: usize = 400;
    u32::try_from(BASE + of_record(&data.attributes) + data.parents.len() * 2 * LINK).unwrap_or(u32::MAX)
}

/// Bytes, about, of an entry of a map or a link, with what belongs to it.
pub(crate) const LINK: usize = 104;

/// Values are kept as ours and as Cedar's, and encoded in the digest of every record that they are seen for.
pub(crate) fn of_record(record: &Record) -> usize {
    record.values().map(|value| LINK + of_value(value)).sum()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::Long(_) => 64,
        Value::String(text) | Value::Extension(_, text) => 128 + 3 * text.len(),
        Value::Entity(_) => 3 * LINK,
        Value::Set(items) => 128 + items.iter().map(|item| 64 + of_value(item)).sum::<usize>(),
        Value::Record(record) => 128 + of_record(record),
    }
}
