//! The files of a data directory and how they are opened.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::open_error::OpenError;

/// Where the files are and how long to wait for a lock.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    busy_timeout: Duration,
    read_only: bool,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), busy_timeout: Duration::from_secs(5), read_only: false }
    }

    #[cfg(test)]
    pub(crate) fn waiting(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    #[cfg(test)]
    pub(crate) fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.dir.join("policy.db")
    }

    pub(crate) fn decisions(&self) -> PathBuf {
        self.dir.join("decisions.db")
    }

    /// How a file is opened; it must exist.
    pub(crate) fn options(&self, path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .read_only(self.read_only)
            .busy_timeout(self.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("recursive_triggers", "ON")
            .pragma("trusted_schema", "OFF")
            // Erased values are overwritten, not only let go.
            .pragma("secure_delete", "ON")
            .disable_statement_logging()
    }

    /// Creates the directory and empty files, for this user alone; what exists is left as it is.
    pub(crate) fn create(&self) -> Result<(), OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|error| OpenError::of_io(&self.dir, &error))?;
        [self.policy(), self.decisions()].iter().try_for_each(|path| create_file(path).map(drop))
    }

    /// Takes the lock that migrating processes contend for; dropping the file releases it.
    pub(crate) async fn lock_for_migration(&self) -> Result<File, OpenError> {
        let path = self.dir.join("migrate.lock");
        let file = create_file(&path)?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        match locked.await {
            Ok(locked) => locked.map_err(|error| OpenError::of_io(&path, &error)),
            Err(_) => Err(OpenError::Locked { path }),
        }
    }
}

fn create_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| OpenError::of_io(path, &error))
}
