//! Why a data directory cannot be used.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// A data directory cannot be opened or migrated. Nothing was changed, except that migration steps before
/// the failed one stay applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A file is not there.
    #[error("there is no `{}`; run `magistrate migrate` to create it", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written for an older program.
    #[error(
        "`{}` is at schema version {found}, this program needs {wanted}; run `magistrate migrate`",
        path.display()
    )]
    Older {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The version this program needs.
        wanted: i64,
    },
    /// The file was written for a newer program.
    #[error(
        "`{}` is at schema version {found}, this program knows up to {known}; upgrade the program",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A migration differs from the one that was applied.
    #[error(
        "`{}` was migrated with another version {version} of its schema than this program holds; \
         use the program that migrated it, or restore the file from a copy",
        path.display()
    )]
    Altered {
        /// Which file.
        path: PathBuf,
        /// Which migration.
        version: i64,
    },
    /// The file is damaged, or is no database.
    #[error("`{}` is damaged or not a database; restore it from a copy", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
    },
    /// Another process holds the file's lock.
    #[error("`{}` is locked by another process; find out which one holds it, or try again", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// The file or its directory cannot be written.
    #[error("`{}` is read-only; give this user write access to it and to its directory", path.display())]
    ReadOnly {
        /// Which file or directory.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot open `{}`: {why}", path.display())]
    Unusable {
        /// Which file or directory.
        path: PathBuf,
        /// Why, and what to do about it.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn of(path: &Path, error: &sqlx::Error) -> Self {
        let path = path.to_owned();
        match Fault::of(error) {
            Fault::Corrupt => Self::Corrupt { path },
            Fault::Locked => Self::Locked { path },
            Fault::ReadOnly => Self::ReadOnly { path },
            fault @ (Fault::DiskFull
            | Fault::InputOutput
            | Fault::CannotOpen
            | Fault::Constraint
            | Fault::Exhausted
            | Fault::Unexpected) => Self::Unusable { path, why: fault.to_string() },
        }
    }

    pub(crate) fn of_io(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
            return Self::ReadOnly { path };
        }
        Self::Unusable { path, why: error.kind().to_string() }
    }
}
