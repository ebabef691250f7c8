//! Which state of something this is.

use std::sync::atomic::{AtomicU64, Ordering};

/// A state of an entity, or of all of them: no two states of a process have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Version {
    /// One that nothing has yet.
    pub(crate) fn new() -> Self {
        Self::block(1)
    }

    /// The first of so many that nothing has yet.
    pub(super) fn block(count: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(count as u64, Ordering::Relaxed))
    }

    /// One of a block.
    pub(super) fn after(self, number: u32) -> Self {
        Self(self.0 + u64::from(number))
    }
}

/// A version that can be replaced while others read it.
#[derive(Debug)]
pub(crate) struct VersionCell(AtomicU64);

impl VersionCell {
    pub(crate) fn new(version: Version) -> Self {
        Self(AtomicU64::new(version.0))
    }

    pub(crate) fn get(&self) -> Version {
        Version(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn set(&self, version: Version) {
        self.0.store(version.0, Ordering::Release);
    }
}
