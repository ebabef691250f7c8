//! The Merkle tree of RFC 6962, section 2.1, over leaves that are hashed already.

use magistrate_model::Digest;
use sha2::{Digest as _, Sha256};

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

    /// Adds a leaf behind all others.
    pub fn push(&mut self, leaf: Digest) {
        let mut peak = leaf;
        // Each trailing one is a perfect tree as large as what was just made: the two become one.
        for _ in 0..self.size.trailing_ones() {
            peak = self.peaks.pop().map_or(peak, |left| node(left, peak));
        }
        self.peaks.push(peak);
        self.size += 1;
    }

    /// The root; of no leaves, the hash of nothing.
    pub fn root(&self) -> Digest {
        let whole = self.peaks.iter().rev().copied().reduce(|right, left| node(left, right));
        whole.unwrap_or_else(|| Digest::new(Sha256::digest([]).into()))
    }
}

impl FromIterator<Digest> for Tree {
    fn from_iter<I: IntoIterator<Item = Digest>>(leaves: I) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// `SHA256(0x01 ‖ left ‖ right)`.
fn node(left: Digest, right: Digest) -> Digest {
    let hash = Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(item: &[u8]) -> Digest {
        Digest::new(Sha256::new().chain_update([0]).chain_update(item).finalize().into())
    }

    /// An implementation that others wrote.
    #[test]
    fn roots_are_those_of_another_implementation() {
        let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut ours = Tree::default();
        assert_eq!(ours.root().as_bytes()[..], theirs.root().as_bytes()[..]);
        for n in 0..300_u32 {
            let item = n.to_be_bytes().to_vec();
            ours.push(hashed(&item));
            theirs.push(item);
            assert_eq!(ours.root().as_bytes()[..], theirs.root().as_bytes()[..], "{n}");
        }
    }

    /// The vectors of the Certificate Transparency reference implementation.
    #[test]
    fn roots_are_those_of_the_reference() {
        let inputs: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let root = |leaves: usize| inputs.iter().take(leaves).map(|it| hashed(it)).collect::<Tree>().root().to_string();
        assert_eq!(root(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(root(1), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(root(8), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }
}
