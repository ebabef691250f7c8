//! What can go wrong with PostgreSQL, in our words.

use std::fmt;
use std::io::ErrorKind;

/// Why the driver could not do what it was asked: the kind decides what a person must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody answers at the address, or the connection broke.
    Unreachable,
    /// The server did not prove over TLS who it is, or does not speak it.
    Untrusted,
    /// The socket, or a certificate's file, is missing or may not be read.
    Files,
    /// The server lets no more connections in.
    Exhausted,
    /// The server is starting, stopping or recovering.
    Starting,
    /// The server was shut down, or the session was ended.
    ServerShutdown,
    /// The server takes no writes: a standby.
    ReadOnly,
    /// No space is left.
    DiskFull,
    /// The server has no memory or another resource left.
    OutOfMemory,
    /// The server does not let this user in.
    Denied,
    /// The role lacks a right, or what was asked is forbidden to everybody.
    Forbidden,
    /// The database does not exist.
    MissingDatabase,
    /// The schema is not there, or not the one this program needs.
    NotMigrated,
    /// No answer came in time.
    Timeout,
    /// Another session held a lock for the whole waiting time, or stood in the way.
    LockTimeout,
    /// Another record is stored where this one should be.
    Conflict,
    /// There is no partition for the day of a record.
    NoPartition,
    /// A rule of the schema was broken.
    Constraint,
    /// A pooler in between gives each transaction another connection.
    PoolerWithoutSetting,
    /// Reading or writing failed below PostgreSQL.
    InputOutput,
    /// Stored data is damaged.
    Damaged,
    /// Anything else.
    Unexpected,
}

impl Fault {
    /// Classifies what the driver said and logs its words, which go no further than this border.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let fault = Self::classify(error);
        tracing::debug!(%error, ?fault, "postgres refused");
        fault
    }

    /// Whether the same call on a new connection may fare better: the connection was the trouble.
    pub(crate) fn is_of_connection(self) -> bool {
        matches!(self, Self::Unreachable | Self::ServerShutdown)
    }

    fn classify(error: &sqlx::Error) -> Self {
        if let sqlx::Error::Io(error) = error {
            return Self::of_io(error.kind());
        }
        if matches!(error, sqlx::Error::Tls(_)) {
            return Self::Untrusted;
        }
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.map_or(Self::Unexpected, |code| Self::of_code(&code))
    }

    /// TLS reports what it will not trust as invalid data.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else befalls a connection, it is lost")]
    fn of_io(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidData => Self::Untrusted,
            ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Self::Files,
            _ => Self::Unreachable,
        }
    }

    /// Codes and their classes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_code(code: &str) -> Self {
        match code {
            "MG002" => Self::Conflict,
            "MG003" => Self::NoPartition,
            "MG004" => Self::Constraint,
            "53100" => Self::DiskFull,
            "53300" => Self::Exhausted,
            "57P03" => Self::Starting,
            "57P01" | "57P02" | "57P05" => Self::ServerShutdown,
            "57014" | "25P03" | "25P04" => Self::Timeout,
            "25006" => Self::ReadOnly,
            "42501" => Self::Forbidden,
            "3D000" => Self::MissingDatabase,
            "3F000" | "42P01" | "42703" | "42883" => Self::NotMigrated,
            "55P03" => Self::LockTimeout,
            "26000" | "42P05" => Self::PoolerWithoutSetting,
            "XX001" | "XX002" => Self::Damaged,
            _ => Self::of_class(code.get(..2).unwrap_or_default()),
        }
    }

    fn of_class(class: &str) -> Self {
        match class {
            "08" => Self::Unreachable,
            "23" => Self::Constraint,
            "28" => Self::Denied,
            "40" => Self::LockTimeout,
            "53" => Self::OutOfMemory,
            "58" => Self::InputOutput,
            _ => Self::Unexpected,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the server cannot be reached; check that it runs, its address and the network",
            Self::Untrusted => {
                "the server did not prove over TLS who it is; check `sslrootcert`, the host name in the URL and the \
                 server's certificate"
            }
            Self::Files => {
                "the socket, or a certificate's file that the URL names, is missing or may not be read by this user"
            }
            Self::Exhausted => {
                "the server lets no more connections in; raise `max_connections`, or find out who holds them"
            }
            Self::Starting => "the server is starting, stopping or recovering; try again",
            Self::ServerShutdown => "the server was shut down or ended the session; try again",
            Self::ReadOnly => "the server takes no writes; connect to the primary, this one is a standby",
            Self::DiskFull => "the server's disk is full; free space there",
            Self::OutOfMemory => "the server is out of memory or another resource; look at its log",
            Self::Denied => "the server does not let this user in; check user, password and `pg_hba.conf`",
            Self::Forbidden => {
                "the role may not do this; use the role meant for it, and run `magistrate migrate` if it lacks rights"
            }
            Self::MissingDatabase => "the database does not exist; create it, then run `magistrate migrate`",
            Self::NotMigrated => "the schema is not the one this program needs; run `magistrate migrate`",
            Self::Timeout => "the server did not answer in time; look at its load and its log",
            Self::LockTimeout => "another session was in the way; try again, or find out which one holds the lock",
            Self::Conflict => "another record is stored in its place; find out who else writes to this stream",
            Self::NoPartition => "there is no partition for the day of the record; check the clocks",
            Self::Constraint => "a rule of the schema refused a row; the debug log says which",
            Self::PoolerWithoutSetting => {
                "a prepared statement was lost, as happens behind a pooler; set `pooler = \"transaction\"`"
            }
            Self::InputOutput => "the server could not read or write its files; check its disk and its log",
            Self::Damaged => "the server says that stored data is damaged; restore it from a copy",
            Self::Unexpected => "PostgreSQL failed unexpectedly; the debug log has what the driver said",
        })
    }
}
