//! How much memory peers may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that large requests and answers may occupy, of the whole process.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }
}

/// What one message occupies; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    taken: AtomicUsize,
}

impl Share {
    pub(super) fn new(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), taken: AtomicUsize::new(0) }
    }

    /// Takes more, or nothing where there is not enough left.
    #[must_use]
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let left = &self.room.0;
        let took = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok();
        if took {
            self.taken.fetch_add(bytes, Ordering::Relaxed);
        }
        took
    }

    /// Gives back what is occupied no longer.
    pub(super) fn shrink(&self, bytes: usize) {
        let before =
            self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(taken.saturating_sub(bytes)));
        self.room.0.fetch_add(before.unwrap_or_else(|taken| taken).min(bytes), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_and_never_twice() {
        let room = Room::new(100);
        let (one, other) = (Share::new(&room), Share::new(&room));
        assert!(one.grow(60) && !other.grow(41) && other.grow(40) && !one.grow(1));
        one.shrink(10);
        assert!(other.grow(10));
        one.shrink(1_000);
        drop((one, other));
        assert_eq!(room.0.load(Ordering::Relaxed), 100);
    }
}
