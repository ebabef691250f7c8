//! Opening a data directory, and the store behind it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use crate::decisions::{self, SqliteSink};
use crate::files::Files;
use crate::migrate::{self, DECISIONS, Migrated, POLICY, Schema};
use crate::open_error::OpenError;
use crate::opened_file::OpenedFile;
use crate::policy;

/// Connections to one file: readers never block each other, writers wait for one another.
const CONNECTIONS: u32 = 4;

/// Both files of a data directory. Clones share their connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pub(crate) files: Files,
    pub(crate) policy: SqlitePool,
    pub(crate) decisions: SqlitePool,
    /// The policy file as it was opened.
    pub(crate) policy_file: Arc<OpenedFile>,
}

impl SqliteStore {
    /// Creates the directory and its files where they are missing and brings both schemas up to date.
    /// Safe to run from several processes at once, and again.
    pub async fn create_or_migrate(dir: &Path) -> Result<Migrated, OpenError> {
        migrate::run(&Files::new(dir)).await
    }

    /// Opens a data directory that was migrated by exactly this version of the schema. Any number of
    /// processes may have it open.
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_files(Files::new(dir)).await
    }

    pub(crate) async fn open_files(files: Files) -> Result<Self, OpenError> {
        let policy = pool(&files, &files.policy(), POLICY, policy::statements::PROBE).await?;
        let decisions = pool(&files, &files.decisions(), DECISIONS, decisions::statements::PROBE).await?;
        let path = files.policy();
        let opened = OpenedFile::open(&files.options(&path)).await.map_err(|error| OpenError::of(&path, &error))?;
        Ok(Self { files, policy, decisions, policy_file: Arc::new(opened) })
    }

    /// A sink with a connection of its own. What it committed is durable once `commit` returned.
    pub async fn sink(&self) -> Result<SqliteSink, OpenError> {
        let path = self.files.decisions();
        SqliteSink::connect(self.files.options(&path)).await.map_err(|error| OpenError::of(&path, &error))
    }

    /// Closes every connection; what was committed is durable already.
    pub async fn close(&self) {
        self.policy_file.close().await;
        self.policy.close().await;
        self.decisions.close().await;
    }
}

async fn pool(files: &Files, path: &Path, schema: Schema, probe: &'static str) -> Result<SqlitePool, OpenError> {
    if !path.try_exists().map_err(|error| OpenError::of_io(path, &error))? {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let options = files.options(path);
    let refused = |error: &sqlx::Error| OpenError::of(path, error);
    let mut connection = options.connect().await.map_err(|error| refused(&error))?;
    schema.check(&mut connection, path).await?;
    connection.close().await.map_err(|error| refused(&error))?;
    check_writable(&options, path, probe).await?;
    Ok(pooled(options))
}

/// Somebody else writing at this moment proves that it can be written.
async fn check_writable(options: &SqliteConnectOptions, path: &Path, probe: &'static str) -> Result<(), OpenError> {
    let impatient = options.clone().busy_timeout(Duration::ZERO);
    let probed = async {
        let mut connection = impatient.connect().await?;
        sqlx::query(probe).execute(&mut connection).await?;
        connection.close().await
    };
    match probed.await.map_err(|error| OpenError::of(path, &error)) {
        Ok(()) | Err(OpenError::Locked { .. }) => Ok(()),
        Err(refused) => Err(refused),
    }
}

pub(crate) fn pooled(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(5))
        .after_release(|connection, _| Box::pin(is_clean(connection)))
        .connect_lazy_with(options)
}

/// INVARIANT: a connection still in a transaction never returns to the pool. SQLite ends a transaction by
/// itself after some failures; the driver then believes it open, and would read an old snapshot for ever.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
