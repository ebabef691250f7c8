//! The schema: the steps this program holds, and what a database has of them.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr};

use crate::open_error::OpenError;
use crate::settings::Database;
use crate::statements::statements;

statements! {
    /// Whether a database was ever migrated.
    HAS_MIGRATIONS = "SELECT count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'magistrate' AND c.relname = '_sqlx_migrations'";
    /// The steps that were applied, oldest first.
    APPLIED = "SELECT version, checksum FROM magistrate._sqlx_migrations ORDER BY version";
}

/// Where the migrator keeps which steps were applied.
const TABLE: &str = "magistrate._sqlx_migrations";

/// The name and the text of a step.
type Step = (&'static str, &'static str);

macro_rules! step {
    ($name:literal, $file:literal) => {
        ($name, include_str!(concat!("../../../migrations/postgres/", $file)))
    };
}

/// The steps, numbered from 1.
pub(crate) const STEPS: &[Step] = &[
    step!("create revision", "0001_create_revision.sql"),
    step!("create policy set", "0002_create_policy_set.sql"),
    step!("create entity", "0003_create_entity.sql"),
    step!("create assignment", "0004_create_assignment.sql"),
    step!("create caller", "0005_create_caller.sql"),
    step!("create node", "0006_create_node.sql"),
    step!("create decision", "0007_create_decision.sql"),
    step!("create partition functions", "0008_create_partition_functions.sql"),
    step!("create ship", "0009_create_ship.sql"),
    step!("create commit", "0010_create_commit.sql"),
    step!("issue api key", "0011_issue_api_key.sql"),
    step!("tell who issued keys", "0012_tell_who_issued_keys.sql"),
    step!("seal", "0013_seal.sql"),
    step!("log", "0014_log.sql"),
    step!("retention", "0015_retention.sql"),
    step!("slim indexes", "0016_slim_indexes.sql"),
    step!("erase", "0017_erase.sql"),
    step!("code bodies", "0018_code_bodies.sql"),
];

/// What each role may do.
pub(crate) const RIGHTS: &str = include_str!("../../../migrations/postgres/rights.sql");

/// The event triggers of strict hardening.
pub(crate) const STRICT: &str = include_str!("../../../migrations/postgres/strict.sql");

/// The newest version this program knows.
pub(crate) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Accepts a database that is exactly at this program's schema.
pub(crate) async fn check(connection: &mut PgConnection, database: &Database) -> Result<(), OpenError> {
    match version_of(connection, database).await? {
        0 => Err(OpenError::Missing { database: database.describe() }),
        found if found < newest() => Err(OpenError::Older { database: database.describe(), found, wanted: newest() }),
        _ => Ok(()),
    }
}

/// The version a database is at, 0 if it was never migrated; refused when its steps are not a beginning of this
/// program's steps.
pub(crate) async fn version_of(connection: &mut PgConnection, database: &Database) -> Result<i64, OpenError> {
    let applied = applied(connection).await.map_err(|error| OpenError::of(database, &error))?;
    compare(&applied, database)
}

/// Makes the steps that were not applied yet, within the caller's transaction.
pub(crate) fn migrator() -> Migrator {
    let migration = |(version, (name, sql)): (i64, &Step)| {
        Migration::new(version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(STEPS).map(migration).collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator.set_locking(false);
    migrator
}

fn compare(applied: &[(i64, Vec<u8>)], database: &Database) -> Result<i64, OpenError> {
    let found = applied.last().map_or(0, |(version, _)| *version);
    if found > newest() {
        return Err(OpenError::Newer { database: database.describe(), found, known: newest() });
    }
    for (migration, (version, checksum)) in migrator().iter().zip(applied) {
        if migration.version != *version || *migration.checksum != **checksum {
            return Err(OpenError::Altered { database: database.describe(), version: migration.version });
        }
    }
    Ok(found)
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(HAS_MIGRATIONS).persistent(false).fetch_one(&mut *connection).await?;
    match tables {
        0 => Ok(Vec::new()),
        _ => sqlx::query_as(APPLIED).persistent(false).fetch_all(connection).await,
    }
}
