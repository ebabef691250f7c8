//! What was asked before: most questions are asked once, and are not worth keeping.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places of two questions each; a third one displaces the older of them.
const PLACES: u64 = 65_536;
const MARK: u64 = u32::MAX as u64;

/// Hashes of questions that were asked lately. Two that share place and mark are taken for one another: what follows is that
/// one is kept when it is first asked.
#[derive(Debug)]
pub(super) struct Seen(Box<[AtomicU64]>);

impl Default for Seen {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Seen {
    /// Whether it was asked before, lately; it was from now on.
    pub(super) fn again(&self, hash: u64) -> bool {
        let place = usize::try_from(hash % PLACES).unwrap_or(0);
        let Some(place) = self.0.get(place) else { return false };
        // Nothing has the mark 0.
        let mark = hash >> 32 | 1;
        let marks = place.load(Ordering::Relaxed);
        let (older, newer) = (marks >> 32, marks & MARK);
        if mark == older || mark == newer {
            return true;
        }
        place.store(newer << 32 | mark, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_twice_is_known() {
        let seen = Seen::default();
        assert!(!seen.again(0) && seen.again(0));
        let [first, second, third] = [5, 9, 11].map(|mark: u64| mark << 32 | 7);
        assert!(!seen.again(first) && !seen.again(second));
        assert!(seen.again(first) && seen.again(second), "two of one place");
        assert!(!seen.again(third) && seen.again(second) && !seen.again(first), "a third one displaced the older");
    }
}
