//! Recursion with room, and the same work on every core.

use std::num::NonZero;
use std::thread;

/// Cedar's parser, validator and serialiser recurse along the text; within the guard's limits this is
/// far more than they need.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs `work` on a thread of its own with a large stack and waits for it; `None` if the thread cannot
/// be started or panics.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("cedar-parse".into()).stack_size(STACK_BYTES);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Fewer items than this are not worth a thread.
const SHARE: usize = 16;
/// More threads than this are not worth their stacks.
const MOST: usize = 8;

/// Does `work` on consecutive shares of the items, each on a thread with a large stack, and returns what came of
/// every share in order; `None` if a thread cannot be started or panics.
pub(crate) fn in_shares<I: Sync, T: Send>(items: &[I], work: impl Fn(&[I]) -> T + Sync) -> Option<Vec<T>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    let share = items.len().div_ceil(cores).max(SHARE);
    let work = &work;
    thread::scope(|scope| {
        let start = |share| {
            let builder = thread::Builder::new().name("cedar-parse".into()).stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || work(share)).ok()
        };
        let started = items.chunks(share).map(start).collect::<Option<Vec<_>>>()?;
        started.into_iter().map(|share| share.join().ok()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_in_order() {
        for count in [0, 1, 15, 16, 17, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            let shares = in_shares(&items, <[usize]>::to_vec).unwrap();
            assert_eq!(shares.concat(), items);
        }
    }

    #[test]
    fn panic_in_a_share_is_no_result() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(in_shares(&items, |share| assert!(!share.contains(&99))), None);
    }
}
