//! Why there is no decision.

use std::time::Duration;

use magistrate_model::{Malformed, Revision};

/// A Check without a decision. Never an allow; what a caller makes of it must be a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The query is no question.
    #[error("the request is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// More is under way than can be recorded.
    #[error("too many decisions are under way; try again in {retry_after:?}")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// No answer can be given now.
    #[error("not ready to decide: {0}")]
    NotReady(String),
    /// The decision was made and could not be recorded, so it is not answered.
    #[error("{0}")]
    NotRecorded(String),
    /// The caller's deadline passed first. A decision may be in the history all the same.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// The caller asks for a revision that nobody has committed.
    #[error("revision {wanted} was asked for and the newest is {newest}; take the number from the answer to a change")]
    RevisionAhead {
        /// What was asked for.
        wanted: Revision,
        /// The newest committed.
        newest: Revision,
    },
}
