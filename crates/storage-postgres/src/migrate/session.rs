//! Who migrates and what there is already: asked first, so that a refusal says what to do about it.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::refusal::Refusal;
use super::run;
use crate::hardening::{self, HardeningLevel, Kept};
use crate::roles::{Role, RolePrefix};
use crate::schema::STRICT;
use crate::statements::statements;

statements! {
    /// Waits its turn before anything is there to lock.
    LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(5577006791947779410)";
    /// How long it waits for its turn, and for every lock.
    PATIENCE = "SET LOCAL lock_timeout = '120s'";
    /// Who migrates, what, and what is there. `has_*` functions answer for superusers, too.
    SITUATION = "SELECT pg_catalog.current_setting('server_version_num')::integer AS server_version,
            pg_catalog.current_setting('server_encoding') AS encoding,
            pg_catalog.pg_is_in_recovery() AS is_standby,
            r.rolname::text AS login, r.rolsuper AS is_superuser, r.rolcreaterole AS creates_roles,
            pg_catalog.has_database_privilege(r.oid, d.oid, 'CREATE') AS creates_schemas,
            (SELECT coalesce(pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER'), false)
                FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_roles o ON o.rolname = $1) AS is_owner,
            ARRAY(SELECT n.nspname || ' ' || pg_catalog.pg_get_userbyid(n.nspowner)
                FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('magistrate', 'audit')) AS schemas,
            ARRAY(SELECT o.rolname::text FROM pg_catalog.pg_roles o WHERE o.rolname = ANY ($2)) AS roles,
            EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = 'magistrate_guard') AS is_strict
        FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
        WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()";
    /// What on the tables that a migration itself reads and writes may run code of the owner's, or of anybody's.
    PLANTED = "WITH touched AS (
            SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relhasrules
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'magistrate' AND c.relname IN ('installation', 'migration_lock', '_sqlx_migrations')
        ), own AS (
            SELECT t.relname, 'pg_catalog.pg_class'::pg_catalog.regclass AS class, t.oid FROM touched t
            UNION ALL SELECT t.relname, 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid
            FROM touched t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
            UNION ALL SELECT t.relname, 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid
            FROM touched t JOIN pg_catalog.pg_constraint c ON c.conrelid = t.oid
            UNION ALL SELECT t.relname, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid
            FROM touched t JOIN pg_catalog.pg_attrdef a ON a.adrelid = t.oid
        )
        SELECT t.relname::text FROM touched t WHERE t.relkind <> 'r' OR t.relrowsecurity OR t.relhasrules
        UNION SELECT t.relname::text FROM touched t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid
        WHERE NOT g.tgisinternal AND NOT (t.relname = 'installation' AND g.tgtype = 58)
        UNION SELECT o.relname::text FROM own o
            JOIN pg_catalog.pg_depend d ON d.classid = o.class AND d.objid = o.oid
        WHERE d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
            'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_opclass'::pg_catalog.regclass)";
    /// Whether there is a row to lock.
    HAS_LOCK_ROW = "SELECT count(*) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'magistrate' AND c.relname = 'migration_lock'";
}

/// Statements on tables that the first migration makes.
pub(crate) mod later {
    use crate::statements::statements;

    statements! {
        /// Keeps tables that a migration writes as they are while it runs.
        HOLD = "LOCK TABLE magistrate.installation, magistrate.migration_lock, magistrate._sqlx_migrations
            IN ROW EXCLUSIVE MODE";
        /// Waits for its turn where advisory locks are not heeded.
        LOCK_ROW = "SELECT id FROM magistrate.migration_lock WHERE id = 1 FOR UPDATE";
        /// Keeps what the roles are called, the first time.
        INSTALL = "INSERT INTO magistrate.installation (id, role_prefix) VALUES (1, $1) ON CONFLICT DO NOTHING";
        /// What they are called.
        PREFIX = "SELECT role_prefix FROM magistrate.installation WHERE id = 1";
        /// Makes the partitions of the coming week.
        PREPARE_DAYS = "SELECT audit.prepare_days()";
    }
}

/// Statements on what strict hardening makes.
pub(crate) mod strict {
    use crate::statements::statements;

    statements! {
        /// What is amiss with what it keeps.
        AMISS = "SELECT magistrate_guard.amiss()";
    }
}

const SCHEMAS: [&str; 2] = ["magistrate", "audit"];

/// Who migrates, what, and what is there.
#[derive(Debug)]
pub(super) struct Migrating<'a> {
    prefix: &'a RolePrefix,
    hardening: HardeningLevel,
    found: Situation,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Situation {
    server_version: i32,
    encoding: String,
    is_standby: bool,
    login: String,
    is_superuser: bool,
    creates_roles: bool,
    creates_schemas: bool,
    is_owner: bool,
    /// Schemas of ours with their owners.
    schemas: Vec<String>,
    roles: Vec<String>,
    is_strict: bool,
}

impl<'a> Migrating<'a> {
    /// Waits for its turn and looks around.
    pub(super) async fn begin(
        connection: &mut PgConnection,
        prefix: &'a RolePrefix,
        hardening: HardeningLevel,
    ) -> Result<Self, Refusal> {
        for statement in [PATIENCE, LOCK] {
            sqlx::raw_sql(statement).execute(&mut *connection).await?;
        }
        let roles: Vec<String> = Role::ALL.iter().map(|role| prefix.name_of(*role)).collect();
        let asked = sqlx::query_as(SITUATION).persistent(false).bind(prefix.name_of(Role::Owner)).bind(roles);
        let migrating = Self { prefix, hardening, found: asked.fetch_one(connection).await? };
        migrating.check()?;
        Ok(migrating)
    }

    fn check(&self) -> Result<(), Refusal> {
        let found = &self.found;
        if found.server_version < 150_000 {
            return Err(Refusal::of(format!(
                "the server is of version {}; use 15 or newer",
                found.server_version / 10_000
            )));
        }
        if found.encoding != "UTF8" {
            return Err(Refusal::of(format!("its encoding is {}; create one with encoding UTF8", found.encoding)));
        }
        if found.is_standby {
            return Err(Refusal::of("it is a standby and takes no writes; connect to the primary"));
        }
        if self.wants_guards() && self.hardening == HardeningLevel::Strict && !found.is_superuser {
            let login = &found.login;
            return Err(Refusal::of(format!(
                "strict hardening needs a superuser, and `{login}` is none; ask one to migrate"
            )));
        }
        self.check_owners()
    }

    /// Whose the schemas are tells which prefix the first migration used.
    fn check_owners(&self) -> Result<(), Refusal> {
        let owner = self.prefix.name_of(Role::Owner);
        for (schema, found) in self.found.schemas.iter().filter_map(|schema| schema.split_once(' ')) {
            match found.strip_suffix("_owner") {
                _ if found == owner => {}
                Some(prefix) if schema == "magistrate" => return Err(other_prefix(prefix)),
                _ => {
                    return Err(Refusal::of(format!(
                        "its schema `{schema}` belongs to `{found}`, not to `{owner}`; use another database, or give it over"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Creates the roles that are missing and lets the login be the owner; returns the names of the created.
    pub(super) async fn create_roles(&self, connection: &mut PgConnection) -> Result<Vec<String>, Refusal> {
        let may = self.found.is_superuser || self.found.creates_roles;
        let missing: Vec<Role> =
            Role::ALL.into_iter().filter(|role| !self.found.roles.contains(&self.prefix.name_of(*role))).collect();
        let names: Vec<String> = missing.iter().map(|role| self.prefix.name_of(*role)).collect();
        if !missing.is_empty() && !may {
            return Err(self.lacks(&format!("create the roles `{}`", names.join("`, `"))));
        }
        for role in &missing {
            run(connection, self.prefix, &format!("CREATE ROLE {{{}}} NOLOGIN", role.name())).await?;
        }
        match self.found.is_superuser || self.found.is_owner {
            true => {}
            false if may => run(connection, self.prefix, "GRANT {owner} TO CURRENT_USER").await?,
            false => return Err(self.lacks(&format!("act as `{}`", self.prefix.name_of(Role::Owner)))),
        }
        Ok(names)
    }

    pub(super) async fn create_schemas(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        let has = |schema: &str| self.found.schemas.iter().any(|found| found.split(' ').next() == Some(schema));
        for schema in SCHEMAS.into_iter().filter(|schema| !has(schema)) {
            if !self.found.creates_schemas {
                return Err(self.lacks(&format!("create the schema `{schema}`")));
            }
            run(connection, self.prefix, &format!("CREATE SCHEMA {schema} AUTHORIZATION {{owner}}")).await?;
        }
        Ok(())
    }

    /// Goes on as the owner role, until [`Self::be_oneself`].
    ///
    /// INVARIANT: code that the owner has planted does not run in a superuser's session. A session authorization
    /// alone does not see to that, since such code can reset it: [`Self::refuse_planted`] comes before.
    pub(super) async fn be_owner(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        let become_owner = match self.found.is_superuser {
            true => "SET LOCAL SESSION AUTHORIZATION {owner}",
            false => "SET LOCAL ROLE {owner}",
        };
        run(connection, self.prefix, become_owner).await
    }

    pub(super) async fn be_oneself(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        let become_oneself = match self.found.is_superuser {
            true => "SET LOCAL SESSION AUTHORIZATION DEFAULT",
            false => "SET LOCAL ROLE NONE",
        };
        run(connection, self.prefix, become_oneself).await
    }

    /// Refuses to write, as a superuser, tables on which somebody put code of theirs.
    pub(super) async fn refuse_planted(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        if !self.found.is_superuser || !has_lock_row(connection).await? {
            return Ok(());
        }
        sqlx::raw_sql(later::HOLD).execute(&mut *connection).await?;
        let planted: Vec<String> = sqlx::query_scalar(PLANTED).persistent(false).fetch_all(connection).await?;
        match planted.as_slice() {
            [] => Ok(()),
            tables => Err(Refusal::of(format!(
                "somebody put triggers, rules or functions on `magistrate.{}`, which would run as a superuser",
                tables.join("`, `magistrate.")
            ))),
        }
    }

    /// Refuses to call, as a superuser, what is not as this program creates it.
    pub(super) async fn refuse_foreign_code(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        if !self.found.is_superuser {
            return Ok(());
        }
        refuse_differences(connection, Kept::Code, "a superuser runs nothing in it").await
    }

    /// Puts strict hardening in place, over what is as it should be only: else it would keep what is wrong.
    pub(super) async fn raise_guards(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        if !self.wants_guards() || !self.found.is_superuser {
            return Ok(());
        }
        run(connection, self.prefix, STRICT).await?;
        refuse_differences(connection, Kept::All, "strict hardening is not put in place").await?;
        let amiss: Option<String> = sqlx::query_scalar(strict::AMISS).persistent(false).fetch_one(connection).await?;
        amiss.map_or(Ok(()), |what| Err(Refusal::of(format!("strict hardening is not put in place: {what}"))))
    }

    /// Takes strict hardening away until the transaction puts it back.
    pub(super) async fn lift_guards(&self, connection: &mut PgConnection, has_steps: bool) -> Result<(), Refusal> {
        if !self.found.is_strict {
            return Ok(());
        }
        match (self.found.is_superuser, has_steps) {
            (true, _) => run(connection, self.prefix, "DROP SCHEMA magistrate_guard CASCADE").await,
            (false, false) => Ok(()),
            (false, true) => {
                Err(Refusal::of("strict hardening is in place and there are steps to run; a superuser must migrate"))
            }
        }
    }

    /// Whether strict hardening is in place in the end.
    pub(super) fn wants_guards(&self) -> bool {
        self.found.is_strict || self.hardening == HardeningLevel::Strict
    }

    fn lacks(&self, what: &str) -> Refusal {
        Refusal::of(format!(
            "`{}` may not {what}; let a DBA run what `magistrate migrate --print-roles` prints, then migrate again",
            self.found.login
        ))
    }
}

/// Waits for its turn where advisory locks are not heeded.
pub(super) async fn lock_row(connection: &mut PgConnection) -> Result<(), Refusal> {
    if has_lock_row(connection).await? {
        sqlx::raw_sql(later::LOCK_ROW).execute(connection).await?;
    }
    Ok(())
}

async fn has_lock_row(connection: &mut PgConnection) -> Result<bool, Refusal> {
    let rows: i64 = sqlx::query_scalar(HAS_LOCK_ROW).persistent(false).fetch_one(connection).await?;
    Ok(rows > 0)
}

async fn refuse_differences(connection: &mut PgConnection, of: Kept, so: &str) -> Result<(), Refusal> {
    let found = hardening::differences(connection, of).await?;
    if found.is_empty() { Ok(()) } else { Err(Refusal::of(format!("{so}: {}", found.join("; ")))) }
}

/// Keeps the prefix of the first migration, and refuses any other.
pub(super) async fn install(connection: &mut PgConnection, prefix: &RolePrefix) -> Result<(), Refusal> {
    sqlx::query(later::INSTALL).persistent(false).bind(prefix.as_str()).execute(&mut *connection).await?;
    let found: String = sqlx::query_scalar(later::PREFIX).persistent(false).fetch_one(connection).await?;
    if found == prefix.as_str() { Ok(()) } else { Err(other_prefix(&found)) }
}

/// Makes the partitions of the coming week and returns how many were missing.
pub(super) async fn prepare_days(connection: &mut PgConnection) -> Result<u32, Refusal> {
    let made: i32 = sqlx::query_scalar(later::PREPARE_DAYS).persistent(false).fetch_one(connection).await?;
    Ok(u32::try_from(made).unwrap_or(0))
}

fn other_prefix(found: &str) -> Refusal {
    Refusal::of(format!("its roles begin with `{found}`; give `--role-prefix {found}`, or use another database"))
}

impl FromRow<'_, PgRow> for Situation {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            server_version: row.try_get("server_version")?,
            encoding: row.try_get("encoding")?,
            is_standby: row.try_get("is_standby")?,
            login: row.try_get("login")?,
            is_superuser: row.try_get("is_superuser")?,
            creates_roles: row.try_get("creates_roles")?,
            creates_schemas: row.try_get("creates_schemas")?,
            is_owner: row.try_get("is_owner")?,
            schemas: row.try_get("schemas")?,
            roles: row.try_get("roles")?,
            is_strict: row.try_get("is_strict")?,
        })
    }
}
