//! The Merkle tree of RFC 6962, section 2.1, over leaves that are hashed already.

use magistrate_model::Digest;
use sha2::{Digest as _, Sha256};

mod check;
mod path;
mod subtree;
#[cfg(test)]
mod tests;

pub use check::{is_consistent, is_included};
pub use path::Path;
pub use subtree::{Run, Subtree};

/// A tree that grows leaf by leaf and knows its root. It keeps the roots of the perfect trees it is made of, the largest
/// first: their sizes are the binary digits of how many leaves there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<Digest>,
}

impl Tree {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree of so many leaves whose perfect trees have these roots, as [`Subtree::peaks`] names them; if there are as
    /// many of them.
    pub fn of_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        (peaks.len() as u64 == u64::from(size.count_ones())).then_some(Self { size, peaks })
    }

    /// Adds a leaf behind all others.
    pub fn push(&mut self, leaf: Digest) {
        self.grow(leaf, |_, _| {});
    }

    /// Adds a leaf behind all others, and tells the root of every group that it completes, as a store keeps them.
    pub fn grow(&mut self, leaf: Digest, mut completed: impl FnMut(Subtree, Digest)) {
        let mut peak = leaf;
        // Each trailing one is a perfect tree as large as what was just made: the two become one.
        for level in 1..=self.size.trailing_ones() {
            peak = self.peaks.pop().map_or(peak, |left| node(left, peak));
            let made = Subtree { level, index: self.size.checked_shr(level).unwrap_or(0) };
            if made.is_stored() {
                completed(made, peak);
            }
        }
        self.peaks.push(peak);
        self.size += 1;
    }

    /// The root; of no leaves, the hash of nothing.
    pub fn root(&self) -> Digest {
        joined(&self.peaks).unwrap_or_else(|| Digest::new(Sha256::digest([]).into()))
    }
}

impl FromIterator<Digest> for Tree {
    fn from_iter<I: IntoIterator<Item = Digest>>(leaves: I) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// The root over perfect trees in a row, the largest first; none of none.
fn joined(peaks: &[Digest]) -> Option<Digest> {
    peaks.iter().rev().copied().reduce(|right, left| node(left, right))
}

/// `SHA256(0x01 ‖ left ‖ right)`.
fn node(left: Digest, right: Digest) -> Digest {
    let hash = Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Digest::new(hash.finalize().into())
}
