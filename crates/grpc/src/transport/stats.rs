//! What happens to connections, counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters of the transport, shared by everything that serves.
#[derive(Debug, Default)]
pub struct TransportStats {
    accepted: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
    open: AtomicUsize,
    withheld: AtomicU64,
}

/// Why a connection was refused, or ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There were too many.
    TooMany,
    /// There were too many from its address.
    TooManyFromAddress,
    /// It did not say hello in time.
    NoHello,
    /// TLS could not be agreed on.
    Handshake,
    /// It was idle for too long.
    Idle,
    /// It was old enough.
    Age,
    /// It took nothing of what was sent to it.
    Stalled,
    /// No worker had room for it.
    Busy,
    /// It broke the protocol, or a limit of it.
    Broken,
    /// A connection could not be accepted.
    AcceptFailed,
}

impl Ended {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::TooMany,
        Self::TooManyFromAddress,
        Self::NoHello,
        Self::Handshake,
        Self::Idle,
        Self::Age,
        Self::Stalled,
        Self::Busy,
        Self::Broken,
        Self::AcceptFailed,
    ];

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::NoHello => "no_hello",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Stalled => "stalled",
            Self::Busy => "busy",
            Self::Broken => "broken",
            Self::AcceptFailed => "accept_failed",
        }
    }
}

impl TransportStats {
    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many ended so.
    pub fn ended(&self, why: Ended) -> u64 {
        self.ended.get(why as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Answers that were withheld, since answers that nobody took left no room for them.
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    pub(super) fn withhold(&self) {
        self.withheld.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, why: Ended) {
        if let Some(count) = self.ended.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
