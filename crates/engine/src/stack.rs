//! Recursion with room, and the same work on every core.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// More threads than this are not worth their stacks.
const MOST: usize = 8;
/// Pieces for each thread: whoever is done first takes the next one, since cores are not always free.
const PIECES: usize = 8;

/// Does work on consecutive pieces of the items, of at least so many, on threads with large stacks, and returns what
/// came of every piece in order; `None` if a thread cannot be started or panics. Each thread has a worker of its own,
/// which may keep what it learnt from one piece for the next.
pub(crate) fn in_pieces<I: Sync, T: Send, W: FnMut(&[I]) -> T>(
    items: &[I],
    least: usize,
    worker: impl Fn() -> W + Sync,
) -> Option<Vec<T>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    let pieces: Vec<&[I]> = items.chunks((items.len() / (cores * PIECES)).max(least).max(1)).collect();
    let (next, pieces, worker) = (AtomicUsize::new(0), &pieces, &worker);
    let work = || {
        let mut work = worker();
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { return done };
            done.push((at, work(piece)));
        }
    };
    let mut done = thread::scope(|scope| {
        let start = |_| {
            let builder = thread::Builder::new().name("cedar-parse".into()).stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, work).ok()
        };
        let started = (0..cores.min(pieces.len())).map(start).collect::<Option<Vec<_>>>()?;
        // Every thread is waited for, whatever comes of the others.
        let joined: Vec<_> = started.into_iter().map(|thread| thread.join().ok()).collect();
        let joined = joined.into_iter().collect::<Option<Vec<_>>>()?;
        Some(joined.into_iter().flatten().collect::<Vec<_>>())
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Some(done.into_iter().map(|(_, done)| done).collect())
}

/// Does the one on another thread while doing the other here; `None` if the thread cannot be started or panics.
pub(crate) fn beside<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> Option<(A, B)> {
    thread::scope(|scope| {
        let one = thread::Builder::new().name("cedar-beside".into()).spawn_scoped(scope, one).ok()?;
        let other = other();
        Some((one.join().ok()?, other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order() {
        for count in [0, 1, 15, 16, 17, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            for least in [0, 1, 7, 2_000] {
                let pieces = in_pieces(&items, least, || <[usize]>::to_vec).unwrap();
                assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() >= least), "{count} by {least}");
                assert_eq!(pieces.concat(), items);
            }
        }
    }

    #[test]
    fn workers_keep_what_they_learnt() {
        let items = [1; 1_000];
        let worker = || {
            let mut pieces = 0;
            move |_: &[i32]| {
                pieces += 1;
                pieces
            }
        };
        let counted = in_pieces(&items, 1, worker).unwrap();
        assert!(counted.iter().any(|count| *count > 1), "{counted:?}");
    }

    #[test]
    fn both_come_back() {
        assert_eq!(beside(|| 1, || "two"), Some((1, "two")));
        assert_eq!(beside(|| panic!("as it is tested"), || 2), None::<((), i32)>);
    }

    #[test]
    fn panic_in_a_piece_is_no_result() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(in_pieces(&items, 1, || |piece: &[usize]| assert!(!piece.contains(&99))), None);
    }
}
