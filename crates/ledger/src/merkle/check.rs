//! Verifying proofs, by the algorithms of RFC 9162.

use magistrate_model::Digest;

use super::node;

/// Whether a leaf is in the tree of this size and root, at this place (RFC 9162, section 2.1.3.2).
pub fn is_included(leaf: Digest, index: u64, size: u64, path: &[Digest], root: Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return false;
        }
        if is_right(place, last) {
            hash = node(*beside, hash);
            climb(&mut place, &mut last);
        } else {
            hash = node(hash, *beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Whether the tree of the new size and root begins with the leaves of the old one (RFC 9162, section 2.1.4.2).
pub fn is_consistent(old: (u64, Digest), new: (u64, Digest), path: &[Digest]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size >= new_size {
        return old_size > 0 && old_size == new_size && old_root == new_root && path.is_empty();
    }
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    let (start, rest) = match (old_size.is_power_of_two(), path.split_first()) {
        (true, _) => (old_root, path),
        (false, Some((first, rest))) => (*first, rest),
        (false, None) => return false,
    };
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    let (mut before, mut after) = (start, start);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if is_right(place, last) {
            (before, after) = (node(*beside, before), node(*beside, after));
            climb(&mut place, &mut last);
        } else {
            after = node(after, *beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && before == old_root && after == new_root
}

/// Whether what is beside lies left: always of a right child, and of the last one, which has nothing right of it.
fn is_right(place: u64, last: u64) -> bool {
    place & 1 == 1 || place == last
}

/// The last one of a level that is not full rises until it is a right child.
fn climb(place: &mut u64, last: &mut u64) {
    while *place & 1 == 0 && *place != 0 {
        (*place, *last) = (*place >> 1, *last >> 1);
    }
}
