//! Why a database cannot be used.

use crate::fault::Fault;
use crate::settings::{Database, InvalidDatabase};

/// A database cannot be opened or migrated. Nothing was changed, except that migration steps before the failed
/// one stay applied. No text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The settings are not valid.
    #[error(transparent)]
    Settings(#[from] InvalidDatabase),
    /// The server does not answer, or refuses the connection for now.
    #[error("cannot connect to {database}: {why}")]
    Unreachable {
        /// Which database.
        database: String,
        /// Why, and what to do about it.
        why: String,
    },
    /// The user is not let in, or may not do this.
    #[error("cannot use {database}: {why}")]
    Denied {
        /// Which database.
        database: String,
        /// Why, and what to do about it.
        why: String,
    },
    /// The schema was never created.
    #[error("{database} was never migrated; run `magistrate migrate`")]
    Missing {
        /// Which database.
        database: String,
    },
    /// The schema was made for an older program.
    #[error("{database} is at schema version {found}, this program needs {wanted}; run `magistrate migrate`")]
    Older {
        /// Which database.
        database: String,
        /// Its schema version.
        found: i64,
        /// The version this program needs.
        wanted: i64,
    },
    /// The schema was made for a newer program.
    #[error("{database} is at schema version {found}, this program knows up to {known}; upgrade the program")]
    Newer {
        /// Which database.
        database: String,
        /// Its schema version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A migration differs from the one that was applied.
    #[error(
        "{database} was migrated with another version {version} of its schema than this program holds; \
         use the program that migrated it, or restore the database from a copy"
    )]
    Altered {
        /// Which database.
        database: String,
        /// Which migration.
        version: i64,
    },
    /// Anything else.
    #[error("cannot use {database}: {why}")]
    Unusable {
        /// Which database.
        database: String,
        /// Why, and what to do about it.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn of(database: &Database, error: &sqlx::Error) -> Self {
        Self::of_fault(database, Fault::of(error))
    }

    pub(crate) fn of_fault(database: &Database, fault: Fault) -> Self {
        let (database, why) = (database.describe(), fault.to_string());
        match fault {
            Fault::Unreachable
            | Fault::Untrusted
            | Fault::Files
            | Fault::Exhausted
            | Fault::Starting
            | Fault::ServerShutdown
            | Fault::MissingDatabase
            | Fault::Timeout => Self::Unreachable { database, why },
            Fault::Denied | Fault::Forbidden => Self::Denied { database, why },
            Fault::NotMigrated => Self::Missing { database },
            Fault::ReadOnly
            | Fault::DiskFull
            | Fault::OutOfMemory
            | Fault::LockTimeout
            | Fault::Conflict
            | Fault::NoPartition
            | Fault::Constraint
            | Fault::PoolerWithoutSetting
            | Fault::InputOutput
            | Fault::Damaged
            | Fault::Unexpected => Self::Unusable { database, why },
        }
    }

    /// The database cannot be used for a reason of ours.
    pub(crate) fn unusable(database: &Database, why: impl Into<String>) -> Self {
        Self::Unusable { database: database.describe(), why: why.into() }
    }
}
