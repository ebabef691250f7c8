//! The clocks of the tool: what is measured is real time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, to measure distances from.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, as the servers' own clocks have it.
#[expect(clippy::disallowed_methods, reason = "grants begin and end by the servers' clocks")]
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
