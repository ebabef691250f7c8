//! Migrations: roles, schemas, steps, rights, partitions and guards, all in one transaction.
//!
//! INVARIANT: whatever fails, nothing was changed; and what strict hardening has to lift meanwhile, no other
//! session ever sees lifted. One transaction also means that a migration works by way of any pooler, and that its
//! locks end with it: an advisory lock before there is a table to lock, and the row of `migration_lock` for where
//! advisory locks are not heeded.

mod refusal;
pub(crate) mod session;

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use self::refusal::Refusal;
use self::session::Migrating;
use crate::hardening::HardeningLevel;
use crate::open_error::OpenError;
use crate::roles::{Role, RolePrefix};
use crate::schema::{self, RIGHTS, STEPS};
use crate::scram::Verifier;
use crate::settings::Database;

/// What a migration is to bring about.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// What the names of the roles begin with; the same for every migration of a database.
    pub role_prefix: RolePrefix,
    /// What protects recorded decisions. Rights and triggers always do; strict hardening is never taken away.
    pub hardening: HardeningLevel,
    /// Roles that log in by themselves from now on, each with a password.
    pub passwords: Vec<(Role, Verifier)>,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The steps that ran, in order; none when everything was up to date.
    pub steps: Vec<MigrationStep>,
    /// The roles that were created.
    pub created_roles: Vec<String>,
    /// How many partitions for decisions were made.
    pub created_partitions: u32,
    /// Whether strict hardening is in place.
    pub is_strict: bool,
}

/// One step of the schema that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStep {
    /// The schema version it led to.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
}

/// How often a migration begins again because another one, of this database or of one beside it, was in the way.
const ATTEMPTS: u32 = 8;
const CONNECT: Duration = Duration::from_secs(10);

impl Default for MigrateOptions {
    fn default() -> Self {
        Self { role_prefix: RolePrefix::default(), hardening: HardeningLevel::Standard, passwords: Vec::new() }
    }
}

/// Brings a database to this program's schema and rights. Safe to run again, and from several places at once: one
/// waits for the other. The login is a superuser, or a member of the owner role; where roles are missing, one that
/// may create them.
pub async fn migrate(database: &Database, options: &MigrateOptions) -> Result<Migrated, OpenError> {
    for _ in 1..ATTEMPTS {
        match attempt(database, options).await {
            Err(Refusal::Driver(error)) if refusal::is_race(&error) => {
                tracing::debug!(%error, "another migration was in the way");
            }
            Err(refusal) => return Err(refusal.tell(database)),
            Ok(migrated) => return Ok(migrated),
        }
    }
    attempt(database, options).await.map_err(|refusal| refusal.tell(database))
}

async fn attempt(database: &Database, options: &MigrateOptions) -> Result<Migrated, Refusal> {
    let Some(way) = database.session_options() else {
        return Err(Refusal::of("migrations are not made by way of a pooler; give `database.direct_url`"));
    };
    // Statements are not logged: one holds a verifier.
    let way = way.disable_statement_logging();
    let connecting = tokio::time::timeout(CONNECT, way.connect());
    let mut connection = connecting.await.map_err(|_| Refusal::of("the server did not answer within 10 s"))??;
    let mut transaction = connection.begin().await?;
    let migrated = within(&mut transaction, database, options).await?;
    transaction.commit().await?;
    // What was committed is committed, however the connection ends.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the connection did not close");
    }
    Ok(migrated)
}

/// All of it, within the caller's transaction.
async fn within(
    connection: &mut PgConnection,
    database: &Database,
    options: &MigrateOptions,
) -> Result<Migrated, Refusal> {
    let prefix = &options.role_prefix;
    let migrating = Migrating::begin(connection, prefix, options.hardening).await?;
    let created_roles = migrating.create_roles(connection).await?;
    migrating.create_schemas(connection).await?;
    migrating.refuse_planted(connection).await?;
    migrating.be_owner(connection).await?;
    session::lock_row(connection).await?;
    let before = schema::version_of(connection, database).await?;
    migrating.be_oneself(connection).await?;
    migrating.lift_guards(connection, before < schema::newest()).await?;
    migrating.be_owner(connection).await?;
    schema::migrator().run(&mut *connection).await.map_err(refused)?;
    session::install(connection, prefix).await?;
    migrating.refuse_foreign_code(connection).await?;
    let created_partitions = session::prepare_days(connection).await?;
    run(connection, prefix, RIGHTS).await?;
    migrating.be_oneself(connection).await?;
    for (role, verifier) in &options.passwords {
        let statement = format!("ALTER ROLE {{{}}} LOGIN PASSWORD '{}'", role.name(), verifier.as_str());
        run(connection, prefix, &statement).await?;
    }
    migrating.raise_guards(connection).await?;
    let is_strict = migrating.wants_guards();
    Ok(Migrated { steps: steps_after(before), created_roles, created_partitions, is_strict })
}

/// Runs statements, with role names filled in. INVARIANT: the text is ours but for a prefix that is a plain name
/// and verifiers, which hold no quote.
async fn run(connection: &mut PgConnection, prefix: &RolePrefix, template: &str) -> Result<(), Refusal> {
    sqlx::raw_sql(AssertSqlSafe(prefix.fill(template))).execute(connection).await?;
    Ok(())
}

fn steps_after(before: i64) -> Vec<MigrationStep> {
    let all = (1..).zip(STEPS).filter(|(version, _)| *version > before);
    all.map(|(version, (name, _))| MigrationStep { version, name }).collect()
}

fn refused(error: MigrateError) -> Refusal {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return Refusal::Driver(error);
    }
    tracing::debug!(%error, "the migrator refused");
    Refusal::of("the migration did not run; the debug log says why")
}
