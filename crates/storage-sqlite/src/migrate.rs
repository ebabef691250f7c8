//! The schema of both files: what this program holds, what a file has, and the way from one to the other.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

use crate::files::Files;
use crate::open_error::OpenError;
use crate::statements::statements;

statements! {
    /// Whether a file was ever migrated.
    HAS_MIGRATIONS = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
}

/// What is asked of a file that was migrated before; it cannot be prepared against one that was not.
const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The steps that ran, in order; none when everything was up to date.
    pub steps: Vec<MigrationStep>,
}

/// One step of a schema that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStep {
    /// The file, such as `policy.db`.
    pub file: &'static str,
    /// The schema version it led to.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
}

/// The steps of one file, numbered from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    file: &'static str,
    steps: &'static [(&'static str, &'static str)],
}

pub(crate) const POLICY: Schema = Schema {
    file: "policy.db",
    steps: &[
        ("create revision", include_str!("../../../migrations/sqlite/policy/0001_create_revision.sql")),
        ("create policy set", include_str!("../../../migrations/sqlite/policy/0002_create_policy_set.sql")),
        ("create entity", include_str!("../../../migrations/sqlite/policy/0003_create_entity.sql")),
        ("create assignment", include_str!("../../../migrations/sqlite/policy/0004_create_assignment.sql")),
        ("create api key", include_str!("../../../migrations/sqlite/policy/0005_create_api_key.sql")),
    ],
};

pub(crate) const DECISIONS: Schema = Schema {
    file: "decisions.db",
    steps: &[
        ("create decision", include_str!("../../../migrations/sqlite/decisions/0001_create_decision.sql")),
        ("create header", include_str!("../../../migrations/sqlite/decisions/0002_create_header.sql")),
        ("create log", include_str!("../../../migrations/sqlite/decisions/0003_create_log.sql")),
        ("retention", include_str!("../../../migrations/sqlite/decisions/0004_retention.sql")),
        ("erase", include_str!("../../../migrations/sqlite/decisions/0005_erase.sql")),
    ],
};

/// Creates what is missing and applies every step not yet applied, one process at a time.
pub(crate) async fn run(files: &Files) -> Result<Migrated, OpenError> {
    files.create()?;
    let _lock = files.lock_for_migration().await?;
    let mut steps = POLICY.migrate(files, &files.policy()).await?;
    steps.extend(DECISIONS.migrate(files, &files.decisions()).await?);
    Ok(Migrated { steps })
}

impl Schema {
    /// Accepts a file that is exactly at this schema.
    pub(crate) async fn check(self, connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
        let (found, wanted) = (self.version_of(connection, path).await?, self.newest());
        if found != wanted {
            return Err(OpenError::Older { path: path.to_owned(), found, wanted });
        }
        Ok(())
    }

    async fn migrate(self, files: &Files, path: &Path) -> Result<Vec<MigrationStep>, OpenError> {
        let connected = files.options(path).connect().await;
        let mut connection = connected.map_err(|error| OpenError::of(path, &error))?;
        let before = self.version_of(&mut connection, path).await?;
        self.migrator().run(&mut connection).await.map_err(|error| refused(path, &error))?;
        connection.close().await.map_err(|error| OpenError::of(path, &error))?;
        Ok(self.steps_after(before))
    }

    pub(crate) fn migrator(self) -> Migrator {
        let migration = |(version, (name, sql)): (i64, &(&'static str, &'static str))| {
            Migration::new(version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
        };
        Migrator::with_migrations((1..).zip(self.steps).map(migration).collect())
    }

    /// The version a file is at, 0 if it was never migrated; refused when its steps are not a beginning of
    /// this schema's steps.
    async fn version_of(self, connection: &mut SqliteConnection, path: &Path) -> Result<i64, OpenError> {
        let applied = applied(connection).await.map_err(|error| OpenError::of(path, &error))?;
        let found = applied.last().map_or(0, |(version, _)| *version);
        if found > self.newest() {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: self.newest() });
        }
        let migrator = self.migrator();
        for (migration, (version, checksum)) in migrator.iter().zip(&applied) {
            if migration.version != *version || *migration.checksum != **checksum {
                return Err(OpenError::Altered { path: path.to_owned(), version: migration.version });
            }
        }
        Ok(found)
    }

    fn newest(self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }

    fn steps_after(self, before: i64) -> Vec<MigrationStep> {
        (1..)
            .zip(self.steps)
            .filter(|(version, _)| *version > before)
            .map(|(version, (name, _))| MigrationStep { file: self.file, version, name })
            .collect()
    }
}

async fn applied(connection: &mut SqliteConnection) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(HAS_MIGRATIONS).fetch_one(&mut *connection).await?;
    match tables {
        0 => Ok(Vec::new()),
        _ => sqlx::query_as(APPLIED).fetch_all(connection).await,
    }
}

fn refused(path: &Path, error: &MigrateError) -> OpenError {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return OpenError::of(path, error);
    }
    tracing::debug!(%error, "the migrator refused");
    OpenError::Unusable { path: path.to_owned(), why: "the migration did not run; the debug log says why".to_owned() }
}
