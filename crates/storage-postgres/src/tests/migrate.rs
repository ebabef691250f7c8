use magistrate_testkit::postgres::Cluster;

use super::setup::{Installed, migrated, options, without_passwords};
use crate::migrate::session;
use crate::{HardeningLevel, OpenError, Role, RolePrefix, roles_sql};

const STANDARD: HardeningLevel = HardeningLevel::Standard;

fn drop_roles(installed: Installed) {
    let Installed { created, prefix } = installed;
    let cluster = created.cluster().clone();
    let name = created.name().to_owned();
    cluster.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    for role in ["migrator", "owner", "app", "admin", "auditor", "retention"] {
        cluster.sql("postgres", &format!("DROP ROLE IF EXISTS {prefix}_{role}"));
    }
}

/// What a database holds, but for times.
fn shape(installed: &Installed) -> String {
    installed.created.sql(
        "SELECT c.relname, c.relkind, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname IN ('magistrate', 'audit') ORDER BY 1;
         SELECT n.nspname, p.proname, p.proacl, md5(p.prosrc) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname IN ('magistrate', 'audit') ORDER BY 1, 2;
         SELECT version, description FROM magistrate._sqlx_migrations ORDER BY 1;
         SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY 1",
    )
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let installed = Installed::empty();
    let url = installed.created.superuser_url();
    let options = options(&installed.prefix, HardeningLevel::Strict);
    let first = migrated(&url, &options).await.unwrap();
    assert_eq!((first.steps.len(), first.created_roles.len(), first.created_partitions), (18, 5, 9));
    assert!(first.is_strict);
    let before = shape(&installed);
    let second = migrated(&url, &options).await.unwrap();
    assert_eq!((second.steps.len(), second.created_roles.len(), second.created_partitions), (0, 0, 0));
    assert_eq!(shape(&installed), before);
    drop_roles(installed);
}

#[tokio::test]
async fn migrations_at_once_wait_for_each_other() {
    let installed = Installed::empty();
    let url = installed.created.superuser_url();
    let options = options(&installed.prefix, STANDARD);
    let all: [_; 4] = std::array::from_fn(|_| migrated(&url, &options));
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let steps: usize = [a, b, c, d].into_iter().map(|migrated| migrated.unwrap().steps.len()).sum();
    assert_eq!(steps, 18);
    drop_roles(installed);
}

/// Roles belong to the server, so that no lock of a database orders these.
#[tokio::test]
async fn migrations_of_databases_that_share_roles_wait_for_each_other() {
    let one = Installed::empty();
    let other = Installed { created: Cluster::shared().database(None), prefix: one.prefix.clone() };
    let options = options(&one.prefix, STANDARD);
    let (url, beside) = (one.created.superuser_url(), other.created.superuser_url());
    let (one_done, other_done) = tokio::join!(migrated(&url, &options), migrated(&beside, &options));
    assert_eq!(one_done.unwrap().steps.len() + other_done.unwrap().steps.len(), 36);
    let name = other.created.name();
    other.created.cluster().sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    drop_roles(one);
}

#[tokio::test]
async fn lock_row_alone_makes_migrations_wait() {
    let installed = Installed::at(STANDARD).await;
    let url = installed.created.superuser_url();
    let mut holder = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT id FROM magistrate.migration_lock FOR UPDATE").execute(&mut holder).await.unwrap();
    let options = without_passwords(&installed.prefix, STANDARD);
    let waiting = migrated(&url, &options);
    tokio::pin!(waiting);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        tokio::select! {
            done = &mut waiting => panic!("did not wait: {done:?}"),
            () = tokio::task::yield_now() => {}
        }
        let _progress = tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await;
        if installed.created.sql(waits) == "1" {
            break;
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn another_prefix_than_the_first_is_refused() {
    let installed = Installed::at(STANDARD).await;
    let other = RolePrefix::new("kit_other").unwrap();
    let refused = migrated(&installed.created.superuser_url(), &without_passwords(&other, STANDARD)).await.unwrap_err();
    assert!(refused.to_string().contains("give `--role-prefix kit_standard`"), "{refused}");
    assert_eq!(installed.created.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'kit_other%'"), "0");
}

#[tokio::test]
async fn schema_of_somebody_else_is_refused() {
    let installed = Installed::empty();
    installed.created.sql("CREATE SCHEMA audit");
    let url = installed.created.superuser_url();
    let refused = migrated(&url, &options(&installed.prefix, STANDARD)).await.unwrap_err();
    assert!(refused.to_string().contains("its schema `audit` belongs to `postgres`"), "{refused}");
}

#[tokio::test]
async fn older_newer_and_altered_schemas_are_told_apart() {
    let installed = Installed::at(STANDARD).await;
    let url = installed.created.superuser_url();
    let options = without_passwords(&installed.prefix, STANDARD);
    let checked = async || {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
        crate::schema::check(&mut connection, &crate::Database::new(&url).unwrap()).await
    };
    checked().await.unwrap();
    installed.created.sql("INSERT INTO magistrate._sqlx_migrations SELECT 19, 'x', now(), true, '', 0");
    assert!(matches!(checked().await, Err(OpenError::Newer { found: 19, known: 18, .. })));
    assert!(matches!(migrated(&url, &options).await, Err(OpenError::Newer { found: 19, known: 18, .. })));
    installed.created.sql("DELETE FROM magistrate._sqlx_migrations WHERE version >= 18");
    assert!(matches!(checked().await, Err(OpenError::Older { found: 17, wanted: 18, .. })));
    installed.created.sql("UPDATE magistrate._sqlx_migrations SET checksum = '' WHERE version = 3");
    assert!(matches!(checked().await, Err(OpenError::Altered { version: 3, .. })));
    assert!(matches!(migrated(&url, &options).await, Err(OpenError::Altered { version: 3, .. })));
    let empty = Installed::empty();
    let url = empty.created.superuser_url();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let missing = crate::schema::check(&mut connection, &crate::Database::new(&url).unwrap()).await;
    assert!(matches!(missing, Err(OpenError::Missing { .. })));
}

/// Keys that were made before it was told who made them, one by hand, are there after the upgrade, and can be revoked.
#[tokio::test]
async fn keys_outlive_the_upgrade() {
    use sqlx::Connection as _;
    let installed = Installed::empty();
    let owner = installed.prefix.name_of(Role::Owner);
    installed.created.sql(&format!(
        "CREATE ROLE {owner}; CREATE SCHEMA magistrate AUTHORIZATION {owner}; CREATE SCHEMA audit AUTHORIZATION {owner}"
    ));
    let url = installed.created.superuser_url();
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SET SESSION AUTHORIZATION {owner}")))
        .execute(&mut connection)
        .await
        .unwrap();
    crate::schema::migrator().run_to(11, &mut connection).await.unwrap();
    installed.created.sql(
        "SELECT magistrate.issue_api_key('abcdefghij234567', 'c', sha256('1'), 'check', 1, 2, 'ana', 'made');
         SELECT magistrate.revoke_api_key('abcdefghij234567', 3, 'bob', 'leaked');
         INSERT INTO magistrate.api_key SELECT 'by-hand', 'c', sha256('2'), 'check', 1, 2",
    );
    let upgraded = migrated(&url, &options(&installed.prefix, STANDARD)).await.unwrap();
    assert_eq!(upgraded.steps.iter().map(|step| step.version).collect::<Vec<_>>(), [12, 13, 14, 15, 16, 17, 18]);
    let told = "SELECT string_agg(id || created_by || reason || coalesce(revoked_by || revoked_reason, ''), ' ')
        FROM magistrate.list_api_keys()";
    assert_eq!(installed.created.sql(told), "abcdefghij234567anamadebobleaked by-hand");
    let revoked = "SELECT magistrate.revoke_api_key('by-hand', 4, 'bob', 'unknown')";
    assert_eq!(installed.created.sql(revoked), "t");
    drop_roles(installed);
}

#[tokio::test]
async fn failed_migration_leaves_nothing() {
    let installed = Installed::empty();
    // The last step fails: its function is there already, in a schema that is otherwise as it should be.
    let owner = installed.prefix.name_of(Role::Owner);
    installed.created.sql(&format!(
        "CREATE ROLE {owner}; CREATE SCHEMA magistrate AUTHORIZATION {owner};
         CREATE FUNCTION magistrate.lineage_text(text) RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    ));
    let before = installed.created.sql("SELECT count(*) FROM pg_class");
    let refused = migrated(&installed.created.superuser_url(), &options(&installed.prefix, STANDARD)).await;
    refused.unwrap_err();
    assert_eq!(installed.created.sql("SELECT count(*) FROM pg_class"), before);
    assert_eq!(installed.created.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'audit'"), "0");
    let others = format!("SELECT count(*) FROM pg_roles WHERE rolname LIKE '{}%'", installed.prefix);
    assert_eq!(installed.created.sql(&others), "1");
    drop_roles(installed);
}

/// Makes a login with some rights and returns its URL.
fn login(installed: &Installed, rights: &str) -> String {
    let name = format!("{}_migrator", installed.prefix);
    installed.created.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'p' {rights}"));
    installed.created.login(&name, "p")
}

#[tokio::test]
async fn login_that_may_not_create_roles_is_told_what_to_do() {
    let installed = Installed::empty();
    let url = login(&installed, "");
    let options = without_passwords(&installed.prefix, STANDARD);
    let refused = migrated(&url, &options).await.unwrap_err().to_string();
    assert!(refused.contains("may not create the roles") && refused.contains("--print-roles"), "{refused}");
    // A DBA runs what is printed, and makes the login a member of the owner role.
    installed.created.sql(&roles_sql(&installed.prefix));
    let refused = migrated(&url, &options).await.unwrap_err().to_string();
    assert!(refused.contains("may not act as") && refused.contains("--print-roles"), "{refused}");
    installed.created.sql(&format!("GRANT {0}_owner TO {0}_migrator", installed.prefix));
    assert_eq!(migrated(&url, &options).await.unwrap().steps.len(), 18);
    assert!(migrated(&url, &options).await.unwrap().steps.is_empty());
    let strict = crate::MigrateOptions { hardening: HardeningLevel::Strict, ..options };
    let refused = migrated(&url, &strict).await.unwrap_err().to_string();
    assert!(refused.contains("strict hardening needs a superuser"), "{refused}");
    drop_roles(installed);
}

#[tokio::test]
async fn login_that_may_create_roles_needs_no_superuser() {
    let installed = Installed::empty();
    let url = login(&installed, "CREATEROLE");
    let options = options(&installed.prefix, STANDARD);
    let refused = migrated(&url, &options).await.unwrap_err().to_string();
    assert!(refused.contains("may not create the schema") && refused.contains("--print-roles"), "{refused}");
    let name = installed.created.name();
    installed.created.sql(&format!("GRANT CREATE ON DATABASE {name} TO {}_migrator", installed.prefix));
    assert_eq!(migrated(&url, &options).await.unwrap().created_roles.len(), 5);
    drop_roles(installed);
}

#[tokio::test]
async fn strict_hardening_is_never_taken_away() {
    let installed = Installed::at(HardeningLevel::Strict).await;
    let options = without_passwords(&installed.prefix, STANDARD);
    assert!(migrated(&installed.created.superuser_url(), &options).await.unwrap().is_strict);
    assert_eq!(installed.created.sql("SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'A'"), "4");
}

#[tokio::test]
async fn under_strict_hardening_steps_need_a_superuser() {
    let installed = Installed::empty();
    let strict = options(&installed.prefix, HardeningLevel::Strict);
    migrated(&installed.created.superuser_url(), &strict).await.unwrap();
    let url = login(&installed, "");
    installed.created.sql(&format!("GRANT {0}_owner TO {0}_migrator", installed.prefix));
    let standard = without_passwords(&installed.prefix, STANDARD);
    // Nothing to do but rights and partitions: the owner role is enough.
    assert!(migrated(&url, &standard).await.unwrap().is_strict);
    installed.created.sql("DELETE FROM magistrate._sqlx_migrations WHERE version = 18");
    let refused = migrated(&url, &standard).await.unwrap_err().to_string();
    assert!(refused.contains("a superuser must migrate"), "{refused}");
    drop_roles(installed);
}

/// What the owner does to a database, and what a superuser's migration then says.
const PLANTED: &[(&str, &str)] = &[
    (
        "CREATE FUNCTION magistrate.planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RESET SESSION AUTHORIZATION;
            RESET ROLE; ALTER ROLE {owner} SUPERUSER; RETURN NEW; END';
        CREATE TRIGGER planted BEFORE INSERT ON magistrate.installation EXECUTE FUNCTION magistrate.planted()",
        "`magistrate.installation`, which would run as a superuser",
    ),
    (
        "CREATE FUNCTION magistrate.planted(bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RESET ROLE;
            ALTER ROLE {owner} SUPERUSER; RETURN true; END';
        ALTER TABLE magistrate._sqlx_migrations ADD CHECK (magistrate.planted(version)) NOT VALID",
        "`magistrate._sqlx_migrations`, which would run as a superuser",
    ),
    (
        "ALTER TABLE magistrate.migration_lock RENAME TO other;
        CREATE VIEW magistrate.migration_lock AS SELECT id FROM magistrate.other",
        "`magistrate.migration_lock`, which would run as a superuser",
    ),
    (
        "CREATE OR REPLACE FUNCTION audit.prepare_days(p_ahead integer DEFAULT 7) RETURNS integer LANGUAGE plpgsql
            AS 'BEGIN RESET SESSION AUTHORIZATION; RESET ROLE; ALTER ROLE {owner} SUPERUSER; RETURN 0; END'",
        "a superuser runs nothing in it: the function `audit.prepare_days` is not",
    ),
];

#[tokio::test]
async fn migrating_superuser_runs_no_code_of_the_owner() {
    for (plant, told) in PLANTED {
        let installed = Installed::at(STANDARD).await;
        let owner = installed.prefix.name_of(Role::Owner);
        let plant = installed.prefix.fill(plant);
        installed.created.sql(&format!("SET SESSION AUTHORIZATION {owner}; {plant}"));
        let options = without_passwords(&installed.prefix, STANDARD);
        let migrated = migrated(&installed.created.superuser_url(), &options).await;
        let is_superuser = format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{owner}'");
        assert_eq!(installed.created.sql(&is_superuser), "f", "{plant}");
        let refused = migrated.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[tokio::test]
async fn strict_hardening_is_put_only_over_what_is_right() {
    let installed = Installed::at(STANDARD).await;
    let url = installed.created.superuser_url();
    installed.created.sql(
        "CREATE TABLE audit.decision_20990101 PARTITION OF audit.decision
            FOR VALUES FROM ('2099-01-01') TO ('2099-01-02');
        ALTER TABLE audit.decision_20990101 OWNER TO kit_standard_owner",
    );
    let strict = without_passwords(&installed.prefix, HardeningLevel::Strict);
    let refused = migrated(&url, &strict).await.unwrap_err().to_string();
    assert!(refused.contains("`audit.decision_20990101` lacks the trigger `refuse_change`"), "{refused}");
    installed.created.sql("CREATE TABLE public.mine (n integer); DROP TABLE audit.decision_20990101");
    // What is elsewhere is not held up, though something is amiss.
    migrated(&url, &strict).await.unwrap();
    installed.created.sql("UPDATE pg_trigger SET tgenabled = 'D' WHERE tgrelid = 'audit.stream'::regclass");
    installed.created.sql("CREATE TABLE public.other (n integer); ALTER TABLE public.other ADD m integer");
}

#[tokio::test]
async fn every_statement_prepares() {
    use sqlx::{Connection as _, Executor as _, SqlSafeStr as _};
    let installed = Installed::at(HardeningLevel::Strict).await;
    let mut connection = sqlx::PgConnection::connect(&installed.created.superuser_url()).await.unwrap();
    for (name, sql) in [session::ALL, session::later::ALL, session::strict::ALL].concat() {
        let prepared = (&mut connection).prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}
