//! Uids by number: each is kept once, in few bytes.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use magistrate_model::{EntityId, EntityUid, TypeName, UidRef};

/// The number of a uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UidNumber(u32);

impl UidNumber {
    /// As a place in a list.
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }

    pub(super) fn raw(self) -> u32 {
        self.0
    }

    pub(super) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

/// Uids in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Uids {
    types: Vec<TypeName>,
    type_numbers: HashMap<TypeName, u32, RandomState>,
    /// The ids one after the other.
    ids: Ids,
    /// The type of each.
    type_of: Vec<u32>,
    table: HashTable<Found>,
    hasher: RandomState,
}

/// A uid as it is looked for: with all that tells whether it is the one, since every place elsewhere in memory that is
/// looked at takes as long as everything else together.
#[derive(Debug, Clone, Copy)]
struct Found {
    number: u32,
    type_number: u32,
    /// Where its id lies among the texts.
    start: u32,
    end: u32,
}

/// Texts one after the other, by number.
#[derive(Debug, Default)]
pub(super) struct Ids {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Ids {
    /// The number of a text that is added; `None` where there are too many, or four gigabytes of them.
    pub(super) fn add(&mut self, text: &str) -> Option<u32> {
        let number = u32::try_from(self.ends.len()).ok()?;
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        self.text.push_str(text);
        self.ends.push(end);
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> &str {
        let at = number as usize;
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let end = self.ends.get(at).copied();
        start.zip(end).map_or("", |(start, end)| self.between(start, end))
    }

    fn between(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl Uids {
    /// The number of a uid, given to it if it has none; `None` where there are too many.
    pub(super) fn add(&mut self, uid: UidRef<'_>) -> Option<UidNumber> {
        let type_number = match self.type_numbers.get(uid.type_name()) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.types.len()).ok()?;
                self.types.push(uid.type_name().clone());
                self.type_numbers.insert(uid.type_name().clone(), number);
                number
            }
        };
        let hash = hash(&self.hasher, type_number, uid.id());
        if let Some(number) = self.numbered(hash, type_number, uid.id()) {
            return Some(number);
        }
        let start = u32::try_from(self.ids.text.len()).ok()?;
        let number = self.ids.add(uid.id())?;
        let end = u32::try_from(self.ids.text.len()).ok()?;
        self.type_of.push(type_number);
        let Self { ids, hasher, .. } = self;
        let rehash = |it: &Found| self::hash(hasher, it.type_number, ids.between(it.start, it.end));
        self.table.insert_unique(hash, Found { number, type_number, start, end }, rehash);
        Some(UidNumber(number))
    }

    /// The number of a uid, if it has one.
    pub(super) fn find(&self, uid: &EntityUid) -> Option<UidNumber> {
        let type_number = *self.type_numbers.get(uid.type_name())?;
        let id = uid.id().as_str();
        self.numbered(hash(&self.hasher, type_number, id), type_number, id)
    }

    fn numbered(&self, hash: u64, type_number: u32, id: &str) -> Option<UidNumber> {
        let is_it = |it: &Found| it.type_number == type_number && self.ids.between(it.start, it.end) == id;
        self.table.find(hash, is_it).map(|it| UidNumber(it.number))
    }

    /// The uid of a number.
    pub(super) fn get(&self, number: UidNumber) -> Option<EntityUid> {
        let type_name = self.types.get(*self.type_of.get(number.place())? as usize)?;
        // It was one when it was added.
        Some(EntityUid::new(type_name.clone(), EntityId::new(self.ids.get(number.0)).ok()?))
    }

    pub(super) fn len(&self) -> usize {
        self.type_of.len()
    }

    pub(super) fn shrink(&mut self) {
        self.ids.shrink();
        self.type_of.shrink_to_fit();
    }
}

fn hash(hasher: &RandomState, type_number: u32, id: &str) -> u64 {
    hasher.hash_one((type_number, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_found_by_number_and_by_name() {
        let mut uids = Uids::default();
        let uid = |n: u32| -> EntityUid {
            let name = ["User", "Doc", "A::Doc"][n as usize % 3];
            EntityUid::from_parts(name, &format!("id-{}", n / 3)).unwrap()
        };
        for n in 0..3_000 {
            assert_eq!(uids.add(uid(n).borrowed()), Some(UidNumber(n)));
        }
        for n in 0..3_000 {
            assert_eq!(uids.add(uid(n).borrowed()), Some(UidNumber(n)), "each once");
            assert_eq!(uids.get(UidNumber(n)), Some(uid(n)));
        }
        assert_eq!(uids.len(), 3_000);
        assert_eq!(uids.find(&uid(3_000)), None);
        assert_eq!(uids.find(&EntityUid::from_parts("Other", "id-0").unwrap()), None);
        assert_eq!(uids.get(UidNumber(3_000)), None);
    }
}
