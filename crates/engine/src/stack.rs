//! Recursion with room.

/// Cedar's parser, validator and serialiser recurse along the text; within the guard's limits this is
/// far more than they need.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs `work` on a thread of its own with a large stack and waits for it; `None` if the thread cannot
/// be started or panics.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("cedar-parse".into()).stack_size(STACK_BYTES);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
