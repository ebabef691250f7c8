//! What a revision changes, key by key.

use std::collections::BTreeMap;

/// The values of some keys before a revision and after it. Several changes of one key leave one difference,
/// so a row never begins and ends at the same revision.
#[derive(Debug)]
pub(super) struct Tracked<K, V> {
    before: BTreeMap<K, V>,
    after: BTreeMap<K, V>,
}

impl<K: Ord + Clone, V: PartialEq + Clone> Tracked<K, V> {
    pub(super) fn new(before: BTreeMap<K, V>) -> Self {
        Self { after: before.clone(), before }
    }

    /// The value as the changes so far have left it.
    pub(super) fn current(&self, key: &K) -> Option<&V> {
        self.after.get(key)
    }

    /// Sets a value and returns the one it replaces.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<V> {
        self.after.insert(key, value)
    }

    /// Removes a value and returns it.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.after.remove(key)
    }

    /// Values that hold no longer.
    pub(super) fn ended(&self) -> impl Iterator<Item = &V> {
        self.before.iter().filter(|(key, value)| self.after.get(key) != Some(value)).map(|(_, value)| value)
    }

    /// Values that hold from now on.
    pub(super) fn begun(&self) -> impl Iterator<Item = &V> {
        self.after.iter().filter(|(key, value)| self.before.get(key) != Some(value)).map(|(_, value)| value)
    }
}
