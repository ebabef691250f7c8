//! Verifying a history: whether what is stored is what was sealed, and whether what is sealed is what checkpoints said.
//!
//! Nothing that is stored is believed. What is trusted are verifier keys that were pinned elsewhere, and checkpoints that
//! were kept elsewhere. Whoever can write to the store can still take away, unseen, what was recorded after the newest
//! checkpoint that left it.

use std::fmt;

mod chain;
mod enrolled;
mod erased;
mod expired;
mod log;
mod stream;
#[cfg(test)]
mod tests;
mod trusted;

pub use chain::{Asked, HeaderChain};
pub use enrolled::{Enrolled, Enrolment};
pub use erased::{Erasures, GoneValues};
pub use expired::{Expired, ExpiredPlaces};
pub use log::{LogVerifier, VerifiedLog};
pub use stream::{StreamVerifier, Verified};
pub use trusted::Trusted;

/// What is wrong, or is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record or header that was sealed is not there.
    Missing,
    /// Its bytes, or its columns, are not those that were sealed.
    Altered,
    /// A record lies at another one's place, or twice.
    Reordered,
    /// There is another history than the one a checkpoint is over, or two checkpoints contradict each other.
    Forked,
    /// A checkpoint covers more than there is: an older state was put back.
    RolledBack,
    /// A checkpoint that no pinned key signed, or whose signature does not fit.
    Untrusted,
    /// Records that were taken out because they were old enough, as a signed act says.
    Expired,
    /// Records that a later run says were gone when it began: acknowledged at class `process`, and lost in a crash.
    LostInCrash,
    /// Private values that a record commits to are not there.
    Erased,
    /// Records and headers that no checkpoint covers yet.
    NotCovered,
    /// A stream that neither goes on nor ended, and that no later one tells of.
    Silent,
    /// A key that was enrolled in the store, and that nobody pinned.
    NotPinned,
    /// A stream that was opened by a key that was never enrolled, or was revoked before.
    NotEnrolled,
}

impl Kind {
    /// Every kind, the worst first.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Altered,
        Self::Reordered,
        Self::Forked,
        Self::RolledBack,
        Self::Untrusted,
        Self::Expired,
        Self::LostInCrash,
        Self::Erased,
        Self::NotCovered,
        Self::Silent,
        Self::NotPinned,
        Self::NotEnrolled,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Reordered => "reordered",
            Self::Forked => "forked",
            Self::RolledBack => "rolled_back",
            Self::Untrusted => "untrusted",
            Self::Expired => "expired",
            Self::LostInCrash => "lost_in_crash",
            Self::Erased => "erased",
            Self::NotCovered => "not_covered",
            Self::Silent => "silent",
            Self::NotPinned => "not_pinned",
            Self::NotEnrolled => "not_enrolled",
        }
    }

    /// Whether it shows that history was touched, or is not whole.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Missing | Self::Altered | Self::Reordered | Self::Forked | Self::RolledBack | Self::Untrusted => true,
            Self::Expired
            | Self::LostInCrash
            | Self::Erased
            | Self::NotCovered
            | Self::Silent
            | Self::NotPinned
            | Self::NotEnrolled => false,
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Where: a decision, a header, a log.
    pub at: String,
    /// How many records it concerns.
    pub records: u64,
    /// Why it is said, in words.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.name(), self.at, self.why)
    }
}
