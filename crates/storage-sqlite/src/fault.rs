//! What can go wrong inside SQLite, in our words.

use std::fmt;

/// Why the driver could not do what it was asked: the kind decides what a person must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space is left.
    DiskFull,
    /// The file or its directory cannot be written.
    ReadOnly,
    /// Another process or connection held the lock for the whole waiting time.
    Locked,
    /// Reading or writing failed below SQLite.
    InputOutput,
    /// The file is damaged, or not a database.
    Corrupt,
    /// The file cannot be opened.
    CannotOpen,
    /// A rule of the schema was broken.
    Constraint,
    /// Every connection of the pool is in use.
    Exhausted,
    /// Anything else.
    Unexpected,
}

impl Fault {
    /// Classifies what the driver said and logs its words, which go no further than this border.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let fault = Self::classify(error);
        tracing::debug!(%error, ?fault, "sqlite refused");
        fault
    }

    fn classify(error: &sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Exhausted;
        }
        if matches!(error, sqlx::Error::Io(_)) {
            return Self::InputOutput;
        }
        error.as_database_error().and_then(|error| error.code()?.parse().ok()).map_or(Self::Unexpected, Self::of_code)
    }

    /// The low byte of an extended result code is the primary one: <https://sqlite.org/rescode.html>.
    fn of_code(code: u32) -> Self {
        match code & 0xff {
            5 | 6 => Self::Locked,
            3 | 8 => Self::ReadOnly,
            10 => Self::InputOutput,
            11 | 26 => Self::Corrupt,
            13 => Self::DiskFull,
            14 => Self::CannotOpen,
            19 => Self::Constraint,
            _ => Self::Unexpected,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full; free space where the data directory is",
            Self::ReadOnly => "the file is read-only; give this user write access to the data directory and its files",
            Self::Locked => "the file is locked by another process; find out which one holds it, or try again",
            Self::InputOutput => "reading or writing failed; check the disk and the kernel log",
            Self::Corrupt => "the file is damaged or not a database; restore it from a copy",
            Self::CannotOpen => {
                "the file cannot be opened; check that it exists, and that this user may write it and its directory"
            }
            Self::Constraint => "a rule of the schema refused a row; the debug log says which",
            Self::Exhausted => "all connections are in use; try again",
            Self::Unexpected => "SQLite failed unexpectedly; the debug log has what the driver said",
        })
    }
}
