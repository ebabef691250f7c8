//! What was asked before: most questions are asked once, and are not worth keeping.

use std::sync::atomic::{AtomicU32, Ordering};

/// Questions that are remembered, about: each displaces another one of the same place.
const PLACES: usize = 65_536;

/// Hashes of questions that were asked lately. Two that share place and mark are taken for one another: what follows is that
/// one is kept when it is first asked.
#[derive(Debug)]
pub(super) struct Seen(Box<[AtomicU32]>);

impl Default for Seen {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Seen {
    /// Whether it was asked before, lately; it was from now on.
    pub(super) fn again(&self, hash: u64) -> bool {
        let [high, low] = [hash >> 32, hash].map(|part| u32::try_from(part & u64::from(u32::MAX)).unwrap_or(0));
        let Some(place) = self.0.get(low as usize % PLACES) else { return false };
        // Nothing has the mark 0.
        let mark = high | 1;
        if place.load(Ordering::Relaxed) == mark {
            return true;
        }
        place.store(mark, Ordering::Relaxed);
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
        assert!(!seen.again(5 << 32 | 7) && seen.again(5 << 32 | 7));
        assert!(!seen.again(9 << 32 | 7) && !seen.again(5 << 32 | 7), "another of the same place displaced it");
    }
}
