//! Why calls are refused, by the stable names that callers are told.

use std::fmt;

/// Why a call gets no answer. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is no question.
    Malformed,
    /// It brings an identity that this server cannot verify.
    IdentityUnsupported,
    /// It is not known who calls.
    Unauthenticated,
    /// The key is not for this.
    NotPermittedToAsk,
    /// It is longer than its method allows.
    TooLarge,
    /// More is under way than can be.
    Overloaded,
    /// No answer can be given now.
    NotReady,
    /// What was decided could not be recorded.
    NotRecorded,
    /// The caller's deadline passed first.
    DeadlineExceeded,
    /// It asks for a revision that nobody has committed.
    RevisionAhead,
    /// Its connection is being closed.
    Leaving,
    /// History cannot be read.
    HistoryUnreachable,
    /// A record in history is damaged.
    Damaged,
    /// History contradicts itself.
    Contradicted,
    /// There is no such decision.
    NoSuchDecision,
    /// There is no such method, or it is called in a way that is not supported.
    Unimplemented,
    /// The call broke, its message that is no message of its method among it.
    Internal,
    /// Anything else that ends a call with an error.
    Other,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::IdentityUnsupported,
        Self::Unauthenticated,
        Self::NotPermittedToAsk,
        Self::TooLarge,
        Self::Overloaded,
        Self::NotReady,
        Self::NotRecorded,
        Self::DeadlineExceeded,
        Self::RevisionAhead,
        Self::Leaving,
        Self::HistoryUnreachable,
        Self::Damaged,
        Self::Contradicted,
        Self::NoSuchDecision,
        Self::Unimplemented,
        Self::Internal,
        Self::Other,
    ];

    /// Its name in statuses and acts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::IdentityUnsupported => "IDENTITY_UNSUPPORTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::NotPermittedToAsk => "NOT_PERMITTED_TO_ASK",
            Self::TooLarge => "TOO_LARGE",
            Self::Overloaded => "OVERLOADED",
            Self::NotReady => "NOT_READY",
            Self::NotRecorded => "NOT_RECORDED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::RevisionAhead => "REVISION_AHEAD",
            Self::Leaving => "LEAVING",
            Self::HistoryUnreachable => "HISTORY_UNREACHABLE",
            Self::Damaged => "DAMAGED",
            Self::Contradicted => "CONTRADICTED",
            Self::NoSuchDecision => "NO_SUCH_DECISION",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Other => "OTHER",
        }
    }

    /// The reason called so.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Other)
    }

    /// Whether a refusal of a known caller may be an act of its own. What is malformed is only ever summed up: it is
    /// no question, and costs whoever sends it nothing.
    pub(super) fn may_stand_alone(self) -> bool {
        self != Self::Malformed
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
