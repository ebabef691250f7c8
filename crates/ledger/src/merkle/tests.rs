//! Our tree, and one that others wrote.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;

use super::*;

fn hashed(item: &[u8]) -> Digest {
    Digest::new(Sha256::new().chain_update([0]).chain_update(item).finalize().into())
}

/// An implementation that others wrote.
#[test]
fn roots_are_those_of_another_implementation() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
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

fn leaf(number: u64) -> Digest {
    hashed(&number.to_be_bytes())
}

/// A store of leaves and of the roots of complete groups.
#[derive(Default)]
struct Kept(BTreeMap<(u32, u64), Digest>, Tree);

impl Kept {
    fn of(size: u64) -> Self {
        let mut kept = Self::default();
        (0..size).for_each(|number| kept.push(leaf(number)));
        kept
    }

    fn push(&mut self, leaf: Digest) {
        self.0.insert((0, self.1.size()), leaf);
        let Self(kept, tree) = self;
        tree.grow(leaf, |group, root| {
            assert!(kept.insert((group.level, group.index), root).is_none());
        });
    }

    fn root(&self, subtree: Subtree) -> Option<Digest> {
        let run = subtree.run();
        assert!(run.count <= 128 && run.level.is_multiple_of(8), "{run:?}");
        let stored: Vec<Digest> =
            (run.first..run.first + run.count).filter_map(|at| self.0.get(&(run.level, at)).copied()).collect();
        run.root(&stored)
    }

    fn root_at(&self, size: u64) -> Digest {
        let peaks = Subtree::peaks(size).into_iter().map(|it| self.root(it).unwrap()).collect();
        Tree::of_peaks(size, peaks).unwrap().root()
    }
}

/// Of every leaf in every tree of up to 70, and every pair of trees, the proof is the other implementation's; it holds, and
/// it holds for nothing else.
#[test]
fn proofs_are_those_of_another_implementation() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut kept = Kept::default();
    for size in 1..=70_u64 {
        theirs.push((size - 1).to_be_bytes().to_vec());
        kept.push(leaf(size - 1));
        let root = kept.1.root();
        for index in 0..size {
            let path = Path::inclusion(index, size).unwrap().build(|it| kept.root(it)).unwrap();
            let proof = theirs.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(bytes(&path), proof.as_bytes(), "{index} of {size}");
            assert!(is_included(leaf(index), index, size, &path, root), "{index} of {size}");
            expect_no_other_inclusion(leaf(index), index, size, &path, root);
        }
        for old in 1..=size {
            let path = Path::consistency(old, size).unwrap().build(|it| kept.root(it)).unwrap();
            let proof = theirs.prove_consistency(usize::try_from(size - old).unwrap());
            assert_eq!(bytes(&path), proof.as_bytes(), "{old} of {size}");
            let before = (old, kept.root_at(old));
            assert!(is_consistent(before, (size, root), &path), "{old} of {size}");
            expect_no_other_consistency(before, (size, root), &path);
        }
    }
}

fn bytes(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|it| *it.as_bytes()).collect()
}

fn other(digest: Digest) -> Digest {
    let mut bytes = *digest.as_bytes();
    bytes[31] ^= 1;
    Digest::new(bytes)
}

/// One of its hashes changed, left out, or added; two swapped.
fn forged(path: &[Digest]) -> Vec<Vec<Digest>> {
    let mut forged = vec![[path, &[Digest::ZERO]].concat()];
    for at in 0..path.len() {
        let mut one = path.to_vec();
        one[at] = other(one[at]);
        let mut without = path.to_vec();
        without.remove(at);
        forged.extend([one, without]);
        if at > 0 {
            let mut swapped = path.to_vec();
            swapped.swap(at, at - 1);
            forged.push(swapped);
        }
    }
    forged
}

fn expect_no_other_inclusion(leaf: Digest, index: u64, size: u64, path: &[Digest], root: Digest) {
    assert!(!is_included(other(leaf), index, size, path, root));
    assert!(!is_included(leaf, index, size, path, other(root)));
    for place in (0..=size).filter(|place| *place != index) {
        assert!(!is_included(leaf, place, size, path, root), "{index} of {size} at {place}");
    }
    for forged in forged(path) {
        assert!(!is_included(leaf, index, size, &forged, root), "{index} of {size}");
    }
}

fn expect_no_other_consistency(old: (u64, Digest), new: (u64, Digest), path: &[Digest]) {
    assert!(!is_consistent((old.0, other(old.1)), new, path), "{old:?} {new:?}");
    assert!(!is_consistent(old, (new.0, other(new.1)), path), "{old:?} {new:?}");
    assert!(!is_consistent((0, old.1), new, path) && !is_consistent((new.0 + 1, old.1), new, path));
    for forged in forged(path) {
        assert!(!is_consistent(old, new, &forged), "{old:?} {new:?}");
    }
}

#[test]
fn what_cannot_be_proven_has_no_proof() {
    assert_eq!(Path::inclusion(0, 0), None);
    assert_eq!(Path::inclusion(7, 7), None);
    assert_eq!(Path::consistency(0, 7), None);
    assert_eq!(Path::consistency(8, 7), None);
    assert_eq!(Path::inclusion(0, 2).unwrap().build(|_| None), None);
    assert_eq!(Tree::of_peaks(3, vec![leaf(0)]), None);
    assert_eq!(Subtree { level: 1, index: 0 }.run().root(&[leaf(0)]), None);
}

/// Whoever signs a root may sign one that is over no tree of that size: then no path of another length fits either.
#[test]
fn path_of_another_length_proves_nothing_under_a_root_made_for_it() {
    let (one, two, three) = (leaf(1), leaf(2), leaf(3));
    assert!(!is_included(one, 0, 1, &[two], node(two, one)));
    assert!(!is_included(one, 0, 3, &[two], node(one, two)));
    assert!(is_consistent((1, one), (2, node(one, two)), &[two]));
    assert!(!is_consistent((1, one), (4, node(one, two)), &[two]));
    assert!(!is_consistent((1, one), (2, node(three, node(one, two))), &[two, three]));
    let kept = Kept::of(4);
    let path = Path::consistency(3, 4).unwrap().build(|it| kept.root(it)).unwrap();
    assert!(is_consistent((3, kept.root_at(3)), (4, kept.root_at(4)), &path));
    let (before, after) = (node(one, kept.root_at(3)), node(one, kept.root_at(4)));
    assert!(!is_consistent((3, before), (4, after), &[&path[..], &[one]].concat()));
}

/// Few reads each: a proof over a hundred million leaves reads at most 128 roots for each of its hashes, and one of the
/// largest tree there is can be planned.
#[test]
fn proofs_over_large_trees_need_few_reads() {
    for size in [100_000_000, (1 << 40) - 1, u64::MAX] {
        for index in [0, size / 3, size - 1] {
            let path = Path::inclusion(index, size).unwrap();
            let runs: std::collections::BTreeSet<_> = path.needed().map(Subtree::run).collect();
            assert!(runs.len() <= 2 * 64 && runs.iter().all(|run| run.count <= 128), "{index} of {size}");
        }
        assert!(Path::consistency(size / 3, size).unwrap().needed().count() <= 2 * 64);
    }
}

#[test]
fn tree_is_continued_from_its_perfect_subtrees() {
    let (kept, mut tree) = (Kept::of(70_000), Tree::default());
    assert_eq!(kept.0.keys().filter(|(level, _)| *level == 8).count(), 273);
    assert_eq!(kept.0.keys().filter(|(level, _)| *level == 16).count(), 1);
    for size in 0..=70_000 {
        if [0, 1, 255, 256, 257, 511, 4_096, 65_535, 65_536, 65_537, 69_999, 70_000].contains(&size) {
            assert_eq!(kept.root_at(size), tree.root(), "{size}");
        }
        tree.push(leaf(size));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_leaf_and_any_earlier_tree_is_proven(size in 1..3_000_u64, one in 0..3_000_u64, two in 1..=3_000_u64) {
        let kept = Kept::of(size);
        let (index, old) = (one % size, two % size + 1);
        let path = Path::inclusion(index, size).unwrap().build(|it| kept.root(it)).unwrap();
        prop_assert!(is_included(leaf(index), index, size, &path, kept.1.root()));
        prop_assert!(!is_included(leaf(index + 1), index, size, &path, kept.1.root()));
        let path = Path::consistency(old, size).unwrap().build(|it| kept.root(it)).unwrap();
        prop_assert!(is_consistent((old, kept.root_at(old)), (size, kept.1.root()), &path));
    }
}
