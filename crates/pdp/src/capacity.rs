//! So many of something at a time, and nobody waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many may be taken at a time.
///
/// A semaphore keeps a queue for those who wait; here nobody does, so one number is enough.
#[derive(Debug)]
pub struct Capacity {
    free: AtomicUsize,
}

/// Some that were taken, until dropped.
#[derive(Debug)]
pub struct Taken {
    of: Arc<Capacity>,
    count: usize,
}

impl Capacity {
    /// So many, all of them free.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(count) })
    }

    /// Takes so many, or none where fewer are free.
    pub fn take(self: &Arc<Self>, count: usize) -> Option<Taken> {
        let took = self.free.fetch_update(Ordering::Acquire, Ordering::Relaxed, |free| free.checked_sub(count));
        took.is_ok().then(|| Taken { of: Arc::clone(self), count })
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.free.fetch_add(self.count, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are_and_all_are_given_back() {
        let capacity = Capacity::new(3);
        let two = capacity.take(2);
        assert!(two.is_some() && capacity.take(2).is_none());
        let one = capacity.take(1);
        assert_eq!((one.is_some(), capacity.free()), (true, 0));
        assert!(capacity.take(1).is_none() && capacity.take(0).is_some());
        drop(two);
        assert_eq!(capacity.free(), 2);
        drop(one);
        assert_eq!(capacity.free(), 3);
    }
}
