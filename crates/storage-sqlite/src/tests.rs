//! Tests of what only SQLite does; what every store must do is in the conformance suite.

mod conformance;
mod decisions;
mod erasing;
mod faults;
mod opening;
mod policy;
mod statements;

use std::path::Path;

use magistrate_ledger::Sink;
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};
use magistrate_testkit::{instant, store_suite};
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use crate::files::Files;
use crate::{SqliteSink, SqliteStore};

/// A fresh store in a directory that goes with it.
#[derive(Debug)]
struct Fresh {
    dir: TempDir,
    store: SqliteStore,
}

impl Fresh {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        SqliteStore::create_or_migrate(dir.path()).await.unwrap();
        let store = SqliteStore::open(dir.path()).await.unwrap();
        Self { dir, store }
    }

    /// A store with three decisions in stream 1.
    async fn with_decisions() -> Self {
        let fresh = Self::new().await;
        let decided = Decided::at(instant("2026-06-01T12:00:00Z"));
        let records = sealed(stream(1), &[decided.clone(), decided.clone(), decided]);
        fresh.store.sink().await.unwrap().commit(&records).await.unwrap();
        fresh
    }

    fn files(&self) -> Files {
        Files::new(self.dir.path())
    }

    /// A connection as any program on this machine could make one.
    async fn connect(&self, file: &str) -> SqliteConnection {
        connect(self.dir.path(), file).await
    }
}

async fn connect(dir: &Path, file: &str) -> SqliteConnection {
    Files::new(dir).options(&dir.join(file)).connect().await.unwrap()
}

/// Runs a statement and returns what the driver says of it.
async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), String> {
    let result = sqlx::raw_sql(sql).execute(connection).await;
    result.map(drop).map_err(|error| error.to_string())
}
