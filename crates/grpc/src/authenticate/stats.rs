//! How often somebody was not let in, and why: told to whoever operates the server, never to who was refused.

use std::sync::atomic::{AtomicU64, Ordering};

use magistrate_identity::Unauthenticated;

/// Why a caller is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is not known who calls.
    Unauthenticated(Unauthenticated),
    /// The key is not for this.
    NotPermittedToAsk,
}

impl Denied {
    /// Every cause.
    pub const ALL: [Self; 5] = [
        Self::Unauthenticated(Unauthenticated::Missing),
        Self::Unauthenticated(Unauthenticated::Unreadable),
        Self::Unauthenticated(Unauthenticated::Unknown),
        Self::Unauthenticated(Unauthenticated::Ended),
        Self::NotPermittedToAsk,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated(Unauthenticated::Missing) => "missing",
            Self::Unauthenticated(Unauthenticated::Unreadable) => "unreadable",
            Self::Unauthenticated(Unauthenticated::Unknown) => "unknown",
            Self::Unauthenticated(Unauthenticated::Ended) => "ended",
            Self::NotPermittedToAsk => "other_kind",
        }
    }
}

/// Counts since the process started, of every listener that asks for keys.
#[derive(Debug, Default)]
pub struct CallerStats {
    missing: AtomicU64,
    unreadable: AtomicU64,
    unknown: AtomicU64,
    ended: AtomicU64,
    other_kind: AtomicU64,
}

impl CallerStats {
    /// How often it was for this.
    pub fn refused(&self, why: Denied) -> u64 {
        self.counter(why).load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, why: Denied) {
        self.counter(why).fetch_add(1, Ordering::Relaxed);
    }

    fn counter(&self, why: Denied) -> &AtomicU64 {
        match why {
            Denied::Unauthenticated(Unauthenticated::Missing) => &self.missing,
            Denied::Unauthenticated(Unauthenticated::Unreadable) => &self.unreadable,
            Denied::Unauthenticated(Unauthenticated::Unknown) => &self.unknown,
            Denied::Unauthenticated(Unauthenticated::Ended) => &self.ended,
            Denied::NotPermittedToAsk => &self.other_kind,
        }
    }
}
