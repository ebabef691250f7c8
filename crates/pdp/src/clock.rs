//! Where instants come from.

use magistrate_model::Instant;

/// A clock. Read once at the door of a request and passed on; nothing behind a door reads one.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;
}

/// A clock that stands still.
impl Clock for Instant {
    fn now(&self) -> Instant {
        *self
    }
}
