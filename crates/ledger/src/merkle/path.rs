//! Proofs, made of the roots of perfect subtrees: so one over millions of leaves needs few reads.

use magistrate_model::Digest;

use super::joined;
use super::subtree::Subtree;

/// What a proof is made of: for each of its hashes the perfect subtrees that it is over, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Vec<Subtree>>);

impl Path {
    /// That a leaf is in a tree of so many (RFC 6962, section 2.1.1); none if it cannot be.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut first, mut end, mut beside) = (0, size, Vec::new());
        while end - first > 1 {
            let middle = middle(first, end);
            if index < middle {
                beside.push(Subtree::within(middle, end));
                end = middle;
            } else {
                beside.push(Subtree::within(first, middle));
                first = middle;
            }
        }
        beside.reverse();
        Some(Self(beside))
    }

    /// That a tree of so many leaves begins with the leaves of a smaller one (RFC 6962, section 2.1.2); none if it cannot.
    /// The tree without leaves proves nothing.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old == 0 || old > new {
            return None;
        }
        let (mut first, mut end, mut beside) = (0, new, Vec::new());
        while old < end {
            let middle = middle(first, end);
            if old <= middle {
                beside.push(Subtree::within(middle, end));
                end = middle;
            } else {
                beside.push(Subtree::within(first, middle));
                first = middle;
            }
        }
        // Whoever has the old root knows what lies left of everything.
        if first > 0 {
            beside.push(Subtree::within(first, end));
        }
        beside.reverse();
        Some(Self(beside))
    }

    /// The perfect subtrees whose roots are needed.
    pub fn needed(&self) -> impl Iterator<Item = Subtree> {
        self.0.iter().flatten().copied()
    }

    /// The proof; none if a root is not known.
    pub fn build(&self, root: impl Fn(Subtree) -> Option<Digest>) -> Option<Vec<Digest>> {
        let hash = |subtrees: &Vec<Subtree>| {
            let roots: Option<Vec<Digest>> = subtrees.iter().map(|subtree| root(*subtree)).collect();
            joined(&roots?)
        };
        self.0.iter().map(hash).collect()
    }
}

/// Where a tree of two leaves or more is divided: left lies the largest perfect tree that is not the whole.
fn middle(first: u64, end: u64) -> u64 {
    first + (1 << (end - first - 1).ilog2())
}
