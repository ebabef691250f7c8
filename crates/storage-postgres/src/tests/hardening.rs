use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::setup::Installed;
use crate::{Hardening, HardeningLevel, Role, embedded};

async fn judged(url: &str) -> Hardening {
    let mut connection = PgConnection::connect(url).await.unwrap();
    Hardening::of(&mut connection, true).await.unwrap()
}

#[tokio::test]
async fn migrated_database_protects_from_its_roles() {
    for level in [HardeningLevel::Standard, HardeningLevel::Strict] {
        let installed = Installed::at(level).await;
        for role in [Role::App, Role::Admin, Role::Auditor] {
            let hardening = judged(&installed.login(role)).await;
            assert_eq!(hardening.level, level, "{role:?} {:?}", hardening.findings);
            assert_eq!(hardening.findings.is_empty(), level == HardeningLevel::Strict);
        }
    }
}

#[tokio::test]
async fn superuser_and_owner_are_not_protected_from() {
    let installed = Installed::at(HardeningLevel::Strict).await;
    let superuser = judged(&installed.created.superuser_url()).await;
    assert_eq!(superuser.level, HardeningLevel::None);
    assert_eq!(superuser.findings, ["the user `postgres` is a superuser"]);
    let mut owner = PgConnection::connect(&installed.created.superuser_url()).await.unwrap();
    let become_owner = format!("SET SESSION AUTHORIZATION {}", installed.prefix.name_of(Role::Owner));
    sqlx::raw_sql(AssertSqlSafe(become_owner)).execute(&mut owner).await.unwrap();
    let owner = Hardening::of(&mut owner, true).await.unwrap();
    assert_eq!(owner.level, HardeningLevel::None);
    assert_eq!(
        owner.findings,
        ["the user `kit_strict_owner` is a member of `kit_strict_owner`, which owns the tables"]
    );
}

/// What a superuser does to a database, and what is then found. `{leaf}` is today's partition, `{me}` who asks.
const WEAKENED: &[(&str, &str)] = &[
    ("GRANT INSERT ON audit.decision TO {me}", "the user `{me}` may write `audit.decision`"),
    ("GRANT UPDATE (last_seq) ON audit.stream TO {me}", "may write `audit.stream`"),
    ("GRANT DELETE ON {leaf} TO {me}", "may write `{leaf}`"),
    ("GRANT INSERT ON magistrate.entity TO PUBLIC", "anybody may write `magistrate.entity`"),
    ("GRANT CREATE ON SCHEMA audit TO {me}", "may create objects in the schema `audit`"),
    ("GRANT SET ON PARAMETER session_replication_role TO {me}", "may set `session_replication_role`"),
    ("CREATE ROLE {spare} SUPERUSER; GRANT {spare} TO {me}", "is a member of `{spare}`, a superuser"),
    ("CREATE ROLE {spare} CREATEROLE; GRANT {spare} TO {me}", "may as `{spare}` create roles"),
    ("CREATE ROLE {spare}; GRANT {admin}, {spare} TO {me}", "is a member of both `{me}` and `{admin}`"),
    (
        "CREATE ROLE {spare}; GRANT UPDATE, DELETE ON audit.stream TO {spare}; ALTER ROLE {me} NOINHERIT;
            GRANT {spare} TO {me}",
        "the user `{me}` may as `{spare}` write `audit.stream`",
    ),
    ("GRANT INSERT, UPDATE ON audit.header TO {auditor}", "the role `{auditor}` may write `audit.header`"),
    ("ALTER TABLE {leaf} OWNER TO {me}", "`{leaf}` belongs to `{me}`, not to `{owner}`"),
    ("ALTER TABLE {leaf} SET SCHEMA public", "the partition `public.decision_"),
    (
        "ALTER TABLE {leaf} SET SCHEMA public; GRANT DELETE ON public.{leaf_name} TO {me}",
        "the user `{me}` may write `public.{leaf_name}`",
    ),
    (
        "DROP TABLE {leaf}; CREATE TABLE {leaf} PARTITION OF audit.decision FOR VALUES FROM ('{today}') TO ('{tomorrow}')
            PARTITION BY RANGE (seq)",
        "the partition `{leaf}` is not a plain table",
    ),
    ("ALTER TABLE {leaf} SET UNLOGGED", "`{leaf}` is lost in a crash"),
    ("GRANT {owner} TO {me}", "is a member of `{owner}`, which owns the tables"),
    ("GRANT pg_write_server_files TO {me}", "is a member of `pg_write_server_files`"),
    ("GRANT pg_write_all_data TO {me}", "is a member of `pg_write_all_data`"),
    ("ALTER ROLE {me} CREATEROLE", "may create roles"),
    ("ALTER ROLE {me} SUPERUSER", "is a superuser"),
    ("ALTER DATABASE {database} OWNER TO {me}", "owns the database"),
    ("ALTER TABLE {leaf} DISABLE TRIGGER refuse_change", "`{leaf}` lacks the trigger `refuse_change`"),
    ("ALTER TABLE {leaf} ENABLE TRIGGER refuse_truncate", "`{leaf}` lacks the trigger `refuse_truncate`"),
    ("DROP TRIGGER refuse_change ON {leaf}", "`{leaf}` lacks the trigger `refuse_change`"),
    (
        "CREATE OR REPLACE TRIGGER refuse_change BEFORE DELETE ON {leaf} FOR EACH ROW
            EXECUTE FUNCTION audit.refuse_change()",
        "`{leaf}` lacks the trigger `refuse_change`",
    ),
    (
        "CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {leaf} FOR EACH ROW WHEN (false)
            EXECUTE FUNCTION audit.refuse_change()",
        "`{leaf}` lacks the trigger `refuse_change`",
    ),
    (
        "CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {leaf} FOR EACH ROW
            EXECUTE FUNCTION magistrate.refuse_change()",
        "`{leaf}` lacks the trigger `refuse_change`",
    ),
    ("ALTER TABLE audit.decision DISABLE TRIGGER refuse_change", "`audit.decision` lacks the trigger `refuse_change`"),
    ("ALTER TABLE audit.stream DISABLE TRIGGER refuse_return", "`audit.stream` lacks the trigger `refuse_return`"),
    ("DROP TRIGGER entity_only_ends ON magistrate.entity", "`magistrate.entity` lacks the trigger `entity_only_ends`"),
    (
        "CREATE TRIGGER mine BEFORE INSERT ON {leaf} FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()",
        "`{leaf}` has a trigger of somebody else, `mine`",
    ),
    (
        "CREATE RULE mine AS ON INSERT TO audit.decision DO INSTEAD NOTHING",
        "`audit.decision` has a rule of somebody else",
    ),
    ("ALTER TABLE audit.decision ENABLE ROW LEVEL SECURITY", "`audit.decision` hides rows from some roles"),
    ("ALTER TABLE audit.decision DETACH PARTITION {leaf}", "the table `{leaf}` was detached"),
    ("ALTER TABLE audit.decision DETACH PARTITION {leaf}", "there is no partition for the decisions of {today}"),
    ("DROP TABLE {next}", "there is no partition for the decisions of {tomorrow}"),
    ("DROP TABLE audit.decision CASCADE", "there is no table `audit.decision`"),
    (
        "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = '{leaf}'::regclass",
        "the partition `{leaf}` is being detached",
    ),
    (
        "CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "the function `audit.refuse_change` is not the one this program creates",
    ),
    ("ALTER FUNCTION audit.ship OWNER TO {admin}", "the function `audit.ship` is not the one this program creates"),
    (
        "CREATE FUNCTION audit.ship(bytea) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        "the function `audit.ship` is not the one this program creates",
    ),
    ("ALTER FUNCTION audit.ship RESET ALL", "the function `audit.ship` is not the one"),
    ("ALTER FUNCTION audit.ship SECURITY INVOKER", "the function `audit.ship` is not the one"),
    ("ALTER FUNCTION audit.prepare_day SET lock_timeout = 0", "the function `audit.prepare_day` is not the one"),
    ("GRANT EXECUTE ON FUNCTION audit.prepare_day TO PUBLIC", "anybody may call the function `audit.prepare_day`"),
    (
        "CREATE FUNCTION magistrate.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE OR REPLACE TRIGGER change_log_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE
            ON magistrate.change_log EXECUTE FUNCTION magistrate.nothing();
        ALTER TABLE magistrate.change_log ENABLE ALWAYS TRIGGER change_log_refuses_change",
        "`magistrate.change_log` lacks the trigger `change_log_refuses_change`",
    ),
    (
        "CREATE OR REPLACE TRIGGER entity_only_ends BEFORE UPDATE ON magistrate.entity FOR EACH ROW WHEN (false)
            EXECUTE FUNCTION magistrate.refuse_change();
        ALTER TABLE magistrate.entity ENABLE ALWAYS TRIGGER entity_only_ends",
        "`magistrate.entity` lacks the trigger `entity_only_ends`",
    ),
    (
        "CREATE TRIGGER mine BEFORE UPDATE ON audit.stream FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()",
        "`audit.stream` has a trigger of somebody else, `mine`",
    ),
    (
        "CREATE RULE mine AS ON INSERT TO magistrate.change_log DO INSTEAD NOTHING",
        "`magistrate.change_log` has a rule of somebody else, `mine`",
    ),
    (
        "CREATE TABLE public.above (LIKE audit.checkpoint); ALTER TABLE audit.checkpoint INHERIT public.above",
        "`audit.checkpoint` takes part in inheritance",
    ),
    ("CREATE OR REPLACE VIEW magistrate.grant_range AS {grants} WHERE false", "`magistrate.grant_range` leaves out"),
    ("CREATE OR REPLACE VIEW magistrate.grant_range AS {grants}", "`magistrate.grant_range` leaves out"),
    ("ALTER TABLE magistrate.change_log DROP CONSTRAINT change_log_pkey", "no table `magistrate.change_log` with a"),
    ("ALTER TABLE audit.decision DROP CONSTRAINT decision_pkey", "no table `audit.decision` with a primary key"),
    (
        "ALTER TABLE audit.decision DROP CONSTRAINT decision_day_is_of_instant",
        "`audit.decision` does not check that its day",
    ),
    ("DROP FUNCTION magistrate.commit", "the function `magistrate.commit` is not the one this program creates"),
];

/// Columns as those of `magistrate.grant_range`, of some grants.
const GRANTS: &str = "SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id,
    NULL::text COLLATE \"C\" AS scope, not_before, expires_at, reason, valid_from, valid_to
    FROM magistrate.role_assignment";

/// The same for strict hardening.
const LIFTED: &[(&str, &str)] = &[
    (
        "ALTER EVENT TRIGGER magistrate_keep_guards DISABLE",
        "the event trigger `magistrate_keep_guards` is not in place",
    ),
    ("ALTER EVENT TRIGGER magistrate_keep_rows ENABLE", "the event trigger `magistrate_keep_rows` is not in place"),
    ("DROP EVENT TRIGGER magistrate_keep_objects", "the event trigger `magistrate_keep_objects` is not in place"),
    ("DROP SCHEMA magistrate_guard CASCADE", "the event trigger `magistrate_keep_partitions` is not in place"),
    (
        "CREATE OR REPLACE FUNCTION magistrate_guard.amiss() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'",
        "the function `magistrate_guard.amiss` is not the one this program creates",
    ),
    (
        "ALTER FUNCTION magistrate_guard.keep_guards() RESET ALL",
        "the function `magistrate_guard.keep_guards` is not the one this program creates",
    ),
];

#[tokio::test]
async fn each_weakness_is_found() {
    check(HardeningLevel::Standard, WEAKENED, HardeningLevel::None).await;
}

#[tokio::test]
async fn each_lifted_guard_is_found() {
    check(HardeningLevel::Strict, LIFTED, HardeningLevel::Standard).await;
}

/// Weakens within a transaction that is rolled back, and asks as the app role within it.
async fn check(hardening: HardeningLevel, cases: &[(&str, &str)], expected: HardeningLevel) {
    let installed = Installed::at(hardening).await;
    let me = installed.prefix.name_of(Role::App);
    let day = |ahead: u8, format: &str| {
        installed.created.sql(&format!("SELECT to_char((now() AT TIME ZONE 'UTC')::date + {ahead}, '{format}')"))
    };
    let (leaf, next) = (day(0, "YYYYMMDD"), day(1, "YYYYMMDD"));
    let (today, tomorrow) = (day(0, "YYYY-MM-DD"), day(1, "YYYY-MM-DD"));
    let spelled = |text: &str| {
        let text = text.replace("{leaf_name}", &format!("decision_{leaf}")).replace("{grants}", GRANTS);
        let text = text.replace("{spare}", &format!("spare_{}", installed.created.name()));
        let text = text.replace("{leaf}", &format!("audit.decision_{leaf}")).replace("{me}", &me);
        let text = text.replace("{next}", &format!("audit.decision_{next}"));
        let text = text.replace("{today}", &today).replace("{tomorrow}", &tomorrow);
        text.replace("{database}", installed.created.name())
            .replace("{owner}", &installed.prefix.name_of(Role::Owner))
            .replace("{admin}", &installed.prefix.name_of(Role::Admin))
            .replace("{auditor}", &installed.prefix.name_of(Role::Auditor))
    };
    let mut connection = PgConnection::connect(&installed.created.superuser_url()).await.unwrap();
    for (weaken, finding) in cases {
        let weaken = format!("BEGIN; {}; SET LOCAL SESSION AUTHORIZATION {me}", spelled(weaken));
        sqlx::raw_sql(AssertSqlSafe(weaken.clone())).execute(&mut connection).await.unwrap();
        let found = Hardening::of(&mut connection, true).await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        assert_eq!(found.level, expected, "{weaken}");
        let told = found.findings.iter().any(|told| told.contains(&spelled(finding)));
        assert!(told, "{weaken}\nis told as {:?}", found.findings);
    }
}

/// The owner cannot make a superuser's guards run what it wrote.
#[tokio::test]
async fn guards_run_no_code_of_the_owner() {
    let installed = Installed::at(HardeningLevel::Strict).await;
    let mut owner = PgConnection::connect(&installed.created.superuser_url()).await.unwrap();
    let owner_name = installed.prefix.name_of(Role::Owner);
    let planted = format!(
        "SET SESSION AUTHORIZATION {owner_name};
        CREATE FUNCTION pg_temp.who() RETURNS name LANGUAGE plpgsql AS $$ BEGIN
            IF current_user <> '{owner_name}' THEN RAISE 'ran as %', current_user; END IF; RETURN current_user; END $$;
        CREATE FUNCTION pg_temp.same(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
            PERFORM pg_temp.who(); RETURN n; END $$;
        CREATE TABLE audit.decision_20010101 (n integer);
        CREATE INDEX ON audit.decision_20010101 ((pg_temp.same(1)));
        CREATE TABLE audit.mine (n integer)"
    );
    sqlx::raw_sql(AssertSqlSafe(planted)).execute(&mut owner).await.unwrap();
}

/// A dump writes triggers as the catalogue tells them, which is not how migrations do.
#[tokio::test]
async fn restored_triggers_are_those_remembered() {
    let installed = Installed::at(HardeningLevel::Strict).await;
    let found = installed.created.sql(
        "ALTER EVENT TRIGGER magistrate_keep_guards DISABLE;
        DO $$ DECLARE t record; BEGIN
            FOR t IN SELECT g.tgrelid::regclass AS r, g.tgname, pg_get_triggerdef(g.oid) AS def FROM pg_trigger g
                JOIN magistrate_guard.trigger k ON k.relation = g.tgrelid AND k.name = g.tgname
                    WHERE g.tgconstraint = 0
            LOOP
                EXECUTE replace(t.def, 'CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.r, t.tgname);
            END LOOP;
        END $$;
        SELECT coalesce(magistrate_guard.amiss(), 'nothing')",
    );
    assert_eq!(found, "nothing");
    let app = judged(&installed.login(Role::App)).await;
    assert_eq!(app.findings, ["the event trigger `magistrate_keep_guards` is not in place"]);
}

#[tokio::test]
async fn servers_that_may_lose_data_are_remarked_upon() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let off = installed.created.sql(
        "SELECT count(*) FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'",
    );
    let hardening = judged(&installed.login(Role::App)).await;
    assert_eq!((hardening.level, hardening.remarks.len().to_string()), (HardeningLevel::Standard, off));
}

#[test]
fn what_migrations_create_is_read_from_their_text() {
    let functions = embedded::functions();
    let has = |name: &str, body: &str| functions.iter().any(|it| it.name == name && it.body.contains(body));
    assert!(has("audit.refuse_change", "what is recorded is never changed"));
    assert!(has("audit.append", "INSERT INTO audit.decision") && has("magistrate.lineage_text", "int8send"));
    assert!(embedded::guards().iter().any(|it| (it.table, it.trigger) == ("audit.stream", "refuse_return")));
    assert!(embedded::event_triggers().contains(&"magistrate_keep_rows"));
}

/// What there is, sorted, is what is known.
#[track_caller]
fn assert_known(installed: &Installed, there: &str, known: impl Iterator<Item = String>) {
    let there = installed.created.sql(there);
    let mut there: Vec<String> = there.lines().map(str::to_owned).collect();
    let mut known: Vec<String> = known.collect();
    there.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, there);
}

#[tokio::test]
async fn every_function_and_trigger_of_the_schema_is_known() {
    let installed = Installed::at(HardeningLevel::Strict).await;
    let functions = [embedded::functions(), embedded::guard_functions()].concat();
    let there = "SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('magistrate', 'audit', 'magistrate_guard')";
    assert_known(&installed, there, functions.iter().map(|it| it.name.to_owned()));
    let there = "SELECT n.nspname || '.' || c.relname || ' ' || t.tgname FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('magistrate', 'audit') AND NOT t.tgisinternal AND NOT c.relispartition";
    assert_known(&installed, there, embedded::guards().iter().map(|it| format!("{} {}", it.table, it.trigger)));
    let there = "SELECT evtname FROM pg_event_trigger";
    assert_known(&installed, there, embedded::event_triggers().into_iter().map(str::to_owned));
}
