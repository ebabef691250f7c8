//! Why a migration did not run.

use crate::open_error::OpenError;
use crate::settings::Database;

/// Why a migration did not run; nothing was changed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The driver or the server said so.
    Driver(sqlx::Error),
    /// The schema is not one to go on from.
    Schema(OpenError),
    /// A reason of ours, with what to do about it.
    Ours(String),
}

impl Refusal {
    pub(crate) fn of(why: impl Into<String>) -> Self {
        Self::Ours(why.into())
    }

    pub(crate) fn tell(self, database: &Database) -> OpenError {
        match self {
            Self::Driver(error) => OpenError::of(database, &error),
            Self::Schema(refused) => refused,
            Self::Ours(why) => OpenError::unusable(database, why),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<OpenError> for Refusal {
    fn from(refused: OpenError) -> Self {
        Self::Schema(refused)
    }
}

/// Whether two migrations met: both created the same thing, or changed the same row of the catalogue. Roles belong
/// to all databases of a server, so that a lock in one of them is not enough.
pub(crate) fn is_race(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.code().as_deref() {
        // Unique violation; deadlock; duplicate object, schema, table or function.
        Some("23505" | "40P01" | "42710" | "42P06" | "42P07" | "42723") => true,
        Some("XX000") => error.message().contains("tuple concurrently"),
        _ => false,
    }
}
