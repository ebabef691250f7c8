//! Perfect subtrees, and which of their roots a store keeps.

use super::Tree;
use magistrate_model::Digest;

/// A store keeps the root of every complete group of 256 leaves, of 256 such groups, and so on.
const STEP: u32 = 8;

/// A perfect subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// How high it is: 0 for a leaf.
    pub level: u32,
    /// How many of this height lie before it.
    pub index: u64,
}

/// Roots in a row that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The level: 0 for leaves, 8, 16 and so on for groups.
    pub level: u32,
    /// The index of the first.
    pub first: u64,
    /// How many: at most 128.
    pub count: u64,
}

impl Subtree {
    /// The perfect subtrees that a tree of so many leaves is made of, the largest first.
    pub fn peaks(size: u64) -> Vec<Self> {
        Self::within(0, size)
    }

    /// The perfect subtrees of a range that begins where as large a one may begin.
    pub(super) fn within(mut first: u64, end: u64) -> Vec<Self> {
        let mut subtrees = Vec::new();
        while let Some(level) = end.saturating_sub(first).checked_ilog2() {
            subtrees.push(Self { level, index: first >> level });
            first += 1 << level;
        }
        subtrees
    }

    /// Whether a store keeps its root, beside the leaves.
    pub fn is_stored(self) -> bool {
        self.level > 0 && self.level.is_multiple_of(STEP)
    }

    /// The stored roots that its own is made of.
    pub fn run(self) -> Run {
        let up = self.level % STEP;
        Run { level: self.level - up, first: self.index << up, count: 1 << up }
    }
}

impl Run {
    /// The root over what a store keeps of this run; none if it keeps another number.
    pub fn root(self, stored: &[Digest]) -> Option<Digest> {
        let tree: Tree = stored.iter().copied().collect();
        (tree.size() == self.count).then(|| tree.root())
    }
}
