//! How the global log is, for whoever does not sequence it.

use std::sync::{Arc, Mutex, PoisonError};

use magistrate_model::Instant;

/// The global log as this node knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogVitals {
    /// Whether this node sequences it.
    pub(crate) holds: bool,
    /// How many entries it has, and how many the newest checkpoint covers.
    pub(crate) entries: u64,
    pub(crate) covered: u64,
    /// When everything that was there was in it.
    pub(crate) caught_up_at: Option<Instant>,
    /// When this node signed it last.
    pub(crate) checkpoint_at: Option<Instant>,
    /// Why the last round came to nothing.
    pub(crate) trouble: Option<String>,
    /// What does not go into it.
    pub(crate) held_up: Option<String>,
    /// Why it is not gone on with.
    pub(crate) alarm: Option<String>,
}

/// Watches the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogWatch(Arc<Mutex<LogVitals>>);

impl LogWatch {
    /// How it is.
    pub(crate) fn vitals(&self) -> LogVitals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut LogVitals)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
