//! Why a journal cannot be opened.

use std::io;
use std::path::PathBuf;

/// A journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// Another process has it.
    #[error("another process uses the journal in `{0}`; give each its own with `ledger.journal`")]
    InUse(PathBuf),
    /// The disk refuses.
    #[error(
        "cannot use the journal in `{path}`: {error}; check that it exists, that this user may write there, and that there is space"
    )]
    Io {
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}
