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

/// Uids that are looked up together.
const STRETCH: usize = 32;

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
        let type_number = self.type_number(uid.type_name())?;
        let hash = hash(&self.hasher, type_number, uid.id());
        self.numbered(hash, type_number, uid.id()).or_else(|| self.append(hash, type_number, uid.id()))
    }

    /// The numbers of uids, given to those that have none: for each the place of its type among `types`, and its id.
    /// `None` where there are too many.
    ///
    /// Each is at two places elsewhere in memory, its entry and its text. All entries of a stretch are asked for before
    /// the first text is, and all texts before the first is needed, so that the processor waits for many at once.
    pub(super) fn add_all<'a>(
        &mut self,
        types: &[TypeName],
        uids: impl Iterator<Item = (usize, &'a str)>,
        numbers: &mut Vec<UidNumber>,
    ) -> Option<()> {
        let types = types.iter().map(|type_name| self.type_number(type_name)).collect::<Option<Vec<_>>>()?;
        let mut uids = uids.peekable();
        let mut wanted: Vec<(u64, u32, &str)> = Vec::with_capacity(STRETCH);
        let mut entries: Vec<Option<Found>> = Vec::with_capacity(STRETCH);
        while uids.peek().is_some() {
            wanted.clear();
            for (type_at, id) in uids.by_ref().take(STRETCH) {
                let type_number = *types.get(type_at)?;
                wanted.push((hash(&self.hasher, type_number, id), type_number, id));
            }
            entries.clear();
            entries.extend(wanted.iter().map(|(hash, ..)| self.table.iter_hash(*hash).next().copied()));
            for (&(hash, type_number, id), entry) in wanted.iter().zip(&entries) {
                let likely = entry.filter(|it| self.is(it, type_number, id)).map(|it| UidNumber(it.number));
                let found = likely.or_else(|| self.numbered(hash, type_number, id));
                numbers.push(found.or_else(|| self.append(hash, type_number, id))?);
            }
        }
        Some(())
    }

    fn type_number(&mut self, type_name: &TypeName) -> Option<u32> {
        if let Some(number) = self.type_numbers.get(type_name) {
            return Some(*number);
        }
        let number = u32::try_from(self.types.len()).ok()?;
        self.types.push(type_name.clone());
        self.type_numbers.insert(type_name.clone(), number);
        Some(number)
    }

    /// Numbers a uid that has no number.
    fn append(&mut self, hash: u64, type_number: u32, id: &str) -> Option<UidNumber> {
        let start = u32::try_from(self.ids.text.len()).ok()?;
        let number = self.ids.add(id)?;
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
        self.table.find(hash, |it| self.is(it, type_number, id)).map(|it| UidNumber(it.number))
    }

    fn is(&self, found: &Found, type_number: u32, id: &str) -> bool {
        found.type_number == type_number && self.ids.between(found.start, found.end) == id
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

    #[test]
    fn uids_looked_up_together_have_the_numbers_they_have_one_by_one() {
        let types: Vec<TypeName> = ["User", "Doc", "A::Doc"].map(|name| TypeName::new(name).unwrap()).into();
        // Known ones, new ones, and new ones twice within a stretch; ids that differ by their type only.
        let ids: Vec<String> = (0..1_000).map(|n| format!("id-{}", n * n % 389)).collect();
        let batch = || ids.iter().enumerate().map(|(n, id)| (n % 3, id.as_str()));
        for length in [0, 1, STRETCH - 1, STRETCH, STRETCH + 1, ids.len()] {
            let (mut together, mut single, mut numbers) = (Uids::default(), Uids::default(), Vec::new());
            for known in 0..20 {
                for uids in [&mut together, &mut single] {
                    uids.add(EntityUid::from_parts("Doc", &format!("id-{known}")).unwrap().borrowed()).unwrap();
                }
            }
            together.add_all(&types, batch().take(length), &mut numbers).unwrap();
            let expected =
                batch().take(length).map(|(at, id)| single.add(UidRef::new(&types[at], id).unwrap()).unwrap());
            assert_eq!(numbers, expected.collect::<Vec<_>>(), "{length}");
            assert_eq!(together.len(), single.len());
        }
    }
}
