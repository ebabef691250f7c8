//! What each role can do to recorded decisions and to the history of policies, statement by statement: the table
//! below is the promise.
//!
//! Columns are app, admin, auditor, owner and a superuser. `A` is allowed, `R` denied by a right, `T` refused by a
//! trigger, `E` refused by strict hardening, `C` refused by a constraint, `M` refused by a function of ours, `-` names
//! something that is not there. What is said of the auditor holds for the role `retention` as well, but for a table of its
//! own, where it is the last column.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::setup::Installed;
use crate::{HardeningLevel, Role};

/// Statement, outcomes under standard hardening, outcomes under strict hardening. `{leaf}` is today's partition.
const MATRIX: &[(&str, &str, &str)] = &[
    // Changing what is recorded.
    ("UPDATE audit.decision SET cause = 'x'", "RRRTT", "RRRTT"),
    ("UPDATE audit.decision SET cause = 'x' WHERE false", "RRRTT", "RRRTT"),
    ("UPDATE {leaf} SET cause = 'x'", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.decision", "RRRTT", "RRRTT"),
    ("DELETE FROM {leaf}", "RRRTT", "RRRTT"),
    ("WITH gone AS (DELETE FROM audit.decision RETURNING 1) SELECT * FROM gone", "RRRTT", "RRRTT"),
    ("EXPLAIN ANALYZE DELETE FROM {leaf}", "RRRTT", "RRRTT"),
    ("MERGE INTO audit.decision d USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "RRRTT", "RRRTT"),
    ("MERGE INTO {leaf} d USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET cause = 'x'", "RRRTT", "RRRTT"),
    ("TRUNCATE audit.decision", "RRRTT", "RRRTT"),
    ("TRUNCATE {leaf}", "RRRTT", "RRRTT"),
    ("SET session_replication_role = replica; DELETE FROM audit.decision", "RRRRT", "RRRRT"),
    ("SET session_replication_role = replica; DELETE FROM {leaf}", "RRRRT", "RRRRT"),
    ("SET session_replication_role = replica; TRUNCATE {leaf}", "RRRRT", "RRRRT"),
    ("SELECT 1 FROM audit.decision FOR UPDATE", "RRRAA", "RRRAA"),
    ("UPDATE audit.stream SET last_seq = 0", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.stream", "RRRTT", "RRRTT"),
    ("TRUNCATE audit.stream", "RRRTT", "RRRTT"),
    ("UPDATE audit.header SET root = ''", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.checkpoint", "RRRTT", "RRRTT"),
    ("UPDATE audit.act SET body = ''", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.act", "RRRTT", "RRRTT"),
    ("UPDATE audit.log SET leaf = ''", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.log", "RRRTT", "RRRTT"),
    ("TRUNCATE audit.log", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.log_root", "RRRTT", "RRRTT"),
    ("DELETE FROM audit.sequencer", "RRRTT", "RRRTT"),
    ("UPDATE audit.sequencer SET term = 0", "RRRTT", "RRRTT"),
    ("UPDATE audit.sequencer SET log = decode(repeat('09', 16), 'hex')", "RRRTT", "RRRTT"),
    // Adding what was not decided. The owner role can; only signed checkpoints would show it.
    ("INSERT INTO audit.decision SELECT {row}", "RRRAA", "RRRAA"),
    ("INSERT INTO {leaf} SELECT {row}", "RRRAA", "RRRAA"),
    ("INSERT INTO audit.decision (day, cause) SELECT day, cause FROM (SELECT {row}) r", "RRRCC", "RRRCC"),
    ("INSERT INTO audit.decision SELECT {row} ON CONFLICT DO NOTHING", "RRRAA", "RRRAA"),
    (
        "INSERT INTO audit.decision SELECT {row} ON CONFLICT (day, stream, seq) DO UPDATE SET cause = 'x'",
        "RRRTT",
        "RRRTT",
    ),
    ("INSERT INTO audit.decision SELECT {row} RETURNING 1", "RRRAA", "RRRAA"),
    ("COPY audit.decision FROM '/dev/null'", "RRRRA", "RRRRA"),
    // Loosening the guards.
    ("ALTER TABLE audit.decision DETACH PARTITION {leaf}", "RRRAA", "RRREE"),
    ("DROP TABLE {leaf}", "RRRAA", "RRREE"),
    ("DROP TABLE audit.decision CASCADE", "RRRAA", "RRREE"),
    ("DROP SCHEMA audit CASCADE", "RRRAA", "RRREE"),
    ("DROP OWNED BY {owner}", "RRRAA", "RRREE"),
    ("ALTER TABLE {leaf} DISABLE TRIGGER refuse_change", "RRRAA", "RRREE"),
    ("ALTER TABLE {leaf} ENABLE REPLICA TRIGGER refuse_truncate", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.decision DISABLE TRIGGER ALL", "RRRAA", "RRREE"),
    ("DROP TRIGGER refuse_truncate ON {leaf}", "RRRAA", "RRREE"),
    ("DROP TRIGGER refuse_change ON audit.decision", "RRRAA", "RRREE"),
    ("ALTER TRIGGER refuse_change ON {leaf} RENAME TO other", "RRRAA", "RRREE"),
    (
        "CREATE OR REPLACE TRIGGER refuse_change BEFORE DELETE ON {leaf} FOR EACH ROW
            EXECUTE FUNCTION audit.refuse_change()",
        "RRRAA",
        "RRREE",
    ),
    (
        "CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "RRRAA",
        "RRREE",
    ),
    ("ALTER FUNCTION audit.refuse_change() RENAME TO other", "RRRAA", "RRREE"),
    ("ALTER FUNCTION audit.ship RESET ALL", "RRRAA", "RRREE"),
    ("CREATE FUNCTION audit.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "RRRAA", "RRREE"),
    ("CREATE FUNCTION magistrate.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "RRRAA", "RRREE"),
    ("CREATE TABLE audit.mine (n integer)", "RRRAA", "RRRAA"),
    ("CREATE TABLE magistrate.mine (n integer)", "RRRAA", "RRRAA"),
    (
        "CREATE TABLE audit.decision_20990101 PARTITION OF audit.decision FOR VALUES FROM ('2099-01-01') TO ('2099-01-02')",
        "RRRAA",
        "RRREE",
    ),
    (
        "CREATE TABLE audit.decision_20990101 (LIKE audit.decision INCLUDING ALL) PARTITION BY RANGE (seq);
        CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit.decision_20990101
            FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
        CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit.decision_20990101
            EXECUTE FUNCTION audit.refuse_change();
        ALTER TABLE audit.decision_20990101
            ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
        ALTER TABLE audit.decision ATTACH PARTITION audit.decision_20990101
            FOR VALUES FROM ('2099-01-01') TO ('2099-01-02')",
        "RRRAA",
        "RRREE",
    ),
    ("CREATE RULE mine AS ON INSERT TO audit.decision DO INSTEAD NOTHING", "RRRAA", "RRREE"),
    ("CREATE RULE mine AS ON UPDATE TO audit.stream DO INSTEAD NOTHING", "RRRAA", "RRREE"),
    ("CREATE RULE mine AS ON INSERT TO magistrate.change_log DO INSTEAD NOTHING", "RRRAA", "RRREE"),
    (
        "CREATE TRIGGER mine BEFORE INSERT ON {leaf} FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()",
        "RRRAA",
        "RRREE",
    ),
    ("ALTER TABLE {leaf} RENAME TO other", "RRRAA", "RRREE"),
    ("ALTER INDEX audit.decision RENAME TO other", "RRRAA", "RRREE"),
    ("ALTER INDEX {leaf} RENAME TO other", "RRRAA", "RRREE"),
    ("ALTER SCHEMA audit RENAME TO other", "RRRRA", "RRRRE"),
    ("ALTER VIEW audit.decision_readable RENAME TO other", "RRRAA", "RRREE"),
    ("CREATE OR REPLACE VIEW audit.decision_readable AS {readable}", "RRRAA", "RRREE"),
    ("ALTER TABLE {leaf} SET UNLOGGED", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.decision ENABLE ROW LEVEL SECURITY", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.decision DROP CONSTRAINT decision_day_is_of_instant", "RRRAA", "RRREE"),
    (
        "CREATE TABLE audit.above (LIKE audit.checkpoint); ALTER TABLE audit.checkpoint INHERIT audit.above",
        "RRRAA",
        "RRREE",
    ),
    ("ALTER TABLE audit.stream DISABLE TRIGGER ALL", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.header ENABLE REPLICA TRIGGER refuse_change", "RRRAA", "RRREE"),
    ("DROP TRIGGER refuse_change ON audit.checkpoint", "RRRAA", "RRREE"),
    ("ALTER TABLE magistrate.change_log DISABLE TRIGGER ALL", "RRRAA", "RRREE"),
    ("DROP TRIGGER entity_only_ends ON magistrate.entity", "RRRAA", "RRREE"),
    (
        "CREATE OR REPLACE TRIGGER change_log_refuses_change BEFORE DELETE ON magistrate.change_log
            EXECUTE FUNCTION magistrate.refuse_change()",
        "RRRAA",
        "RRREE",
    ),
    ("DROP TABLE magistrate.change_log", "RRRAA", "RRREE"),
    ("ALTER TABLE magistrate.change_log ALTER COLUMN actor TYPE text USING 'x'", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.decision DROP COLUMN body CASCADE", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.header ALTER COLUMN header TYPE bytea USING ''", "RRRAA", "RRREE"),
    ("ALTER TABLE audit.decision OWNER TO {app}", "RRRRA", "RRRRE"),
    ("ALTER EVENT TRIGGER magistrate_keep_guards DISABLE", "-----", "RRRRA"),
    ("DROP SCHEMA magistrate_guard CASCADE", "-----", "RRRRA"),
    ("UPDATE pg_catalog.pg_trigger SET tgenabled = 'D'", "RRRRA", "RRRRA"),
    // Becoming somebody else, giving rights away, standing in the way.
    ("SET ROLE {owner}", "RRRAA", "RRRAA"),
    ("SET ROLE {admin}", "RARRA", "RARRA"),
    ("ALTER ROLE {app} SUPERUSER", "RRRRA", "RRRRA"),
    ("GRANT INSERT ON audit.decision TO {app}, {auditor}; INSERT INTO audit.decision SELECT {row}", "RRRAA", "RRRAA"),
    ("GRANT {owner} TO {app}", "RRRRA", "RRRRA"),
    ("LOCK TABLE audit.decision IN ACCESS EXCLUSIVE MODE", "RRRAA", "RRRAA"),
    ("LOCK TABLE magistrate.revision IN EXCLUSIVE MODE", "RRRAA", "RRRAA"),
    // Reading.
    ("SELECT count(*) FROM audit.decision", "RRAAA", "RRAAA"),
    ("SELECT count(*) FROM {leaf}", "RRRAA", "RRRAA"),
    ("SELECT count(*) FROM audit.decision_readable", "RRAAA", "RRAAA"),
    ("SELECT count(*) FROM audit.stream", "RRAAA", "RRAAA"),
    ("SELECT count(*) FROM audit.header, audit.checkpoint, audit.act", "ARAAA", "ARAAA"),
    ("SELECT count(*) FROM audit.log, audit.log_root, audit.sequencer", "ARAAA", "ARAAA"),
    ("INSERT INTO audit.act VALUES (9, decode(repeat('01', 16), 'hex'), 'access', sha256(''), '')", "RRRAA", "RRRAA"),
    ("INSERT INTO audit.log VALUES (9, 'act', 'x', sha256(''), '')", "RRRAA", "RRRAA"),
    ("SELECT count(*) FROM magistrate.policy, magistrate.entity, magistrate.grant_range", "AAAAA", "AAAAA"),
    ("SELECT count(*) FROM magistrate.change_log, magistrate.revision_lineage", "AAAAA", "AAAAA"),
    ("SELECT count(*) FROM magistrate._sqlx_migrations, magistrate.node", "AAAAA", "AAAAA"),
    ("SELECT count(*) FROM magistrate.api_key", "ARRAA", "ARRAA"),
    ("SELECT * FROM magistrate.list_api_keys()", "AAAAA", "AAAAA"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 1, 2, 'a', 'r')", "RARAA", "RARAA"),
    // What is no key is kept for nobody: nodes could read none any more.
    ("SELECT {issue}('k', 'c', {hash}, 'check', 1, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'root', 1, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', '', {hash}, 'check', 1, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', repeat('c', 129), {hash}, 'check', 1, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', '\\x00', 'check', 1, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 2, 2, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 1, 9e17::bigint, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 1, NULL, 'a', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 1, 2, '', 'r')", "RCRCC", "RCRCC"),
    ("SELECT {issue}('abcdefghij234567', 'c', {hash}, 'check', 1, 2, 'a', '')", "RCRCC", "RCRCC"),
    ("SELECT magistrate.revoke_api_key('k', 1, 'a', 'r')", "RARAA", "RARAA"),
    ("TRUNCATE magistrate.api_key", "RRRTT", "RRRTT"),
    // Functions.
    ("SELECT audit.ship({batch})", "ARRAA", "ARRAA"),
    (
        "SELECT audit.append({id}, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0, NULL)",
        "ARRAA",
        "ARRAA",
    ),
    ("SELECT audit.keep_dictionary((now() AT TIME ZONE 'UTC')::date, '\\x01')", "ARRAA", "ARRAA"),
    ("SELECT audit.last_seq('\\x01'::bytea || decode(repeat('00', 15), 'hex'))", "ARRAA", "ARRAA"),
    ("SELECT audit.record_act(decode(repeat('01', 16), 'hex'), 'access', sha256(''), '')", "AAAAA", "AAAAA"),
    (
        "SELECT * FROM audit.lease_log(decode(repeat('01', 16), 'hex'), decode(repeat('02', 16), 'hex'), 0)",
        "ARRAA",
        "ARRAA",
    ),
    (
        "SELECT audit.append_log(3, 0, '{act}', '{x}', ARRAY[sha256('')], ARRAY[''::bytea], '{}', '{}', '{}')",
        "ARRAA",
        "ARRAA",
    ),
    ("SELECT audit.prepare_days(9)", "ARRAA", "ARRAA"),
    ("SELECT audit.prepare_day('2099-01-01')", "RRRAA", "RRRAA"),
    ("SELECT audit.lock_stream(decode(repeat('00', 16), 'hex'))", "RRRAA", "RRRAA"),
    ("SELECT magistrate.report_node(decode(repeat('00', 16), 'hex'), 'n', 'v', 1, NULL, 1, 1)", "ARRAA", "ARRAA"),
    (
        "SELECT magistrate.commit(1, '[[0,\"scope.put\",\"s\",null,\"{\\\"scope\\\":\\\"s\\\",\\\"action_group\\\":\\\"g\\\",\\\"description\\\":\\\"\\\"}\"]]', NULL, 'a', 'r', 1)",
        "RARAA",
        "RARAA",
    ),
    ("SELECT magistrate.write_scopes(1)", "RRRAA", "RRRAA"),
    // The history of policies, entities and grants. The owner role can write at the current revision.
    ("INSERT INTO magistrate.entity VALUES ('T', 'x', '{}', 1)", "RRRAA", "RRRAA"),
    ("INSERT INTO magistrate.entity VALUES ('T', 'x', '{}', 99)", "RRRTT", "RRRTT"),
    ("INSERT INTO magistrate.entity VALUES ('T', 'x', '{}', 1, 2)", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.entity SET attributes = 'x'", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.entity SET valid_to = 99", "RRRTT", "RRRTT"),
    ("DELETE FROM magistrate.entity", "RRRTT", "RRRTT"),
    ("TRUNCATE magistrate.entity", "RRRTT", "RRRTT"),
    ("SET session_replication_role = replica; UPDATE magistrate.entity SET attributes = 'x'", "RRRRT", "RRRRT"),
    (
        "INSERT INTO magistrate.role_assignment SELECT 'g', 'U', 'a', 'R', 'r', NULL, NULL, NULL, 1, '', 99",
        "RRRTT",
        "RRRTT",
    ),
    ("UPDATE magistrate.role_assignment SET expires_at = NULL", "RRRTT", "RRRTT"),
    ("DELETE FROM magistrate.role_assignment", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.scope_assignment SET scope = '*'", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.policy SET text = ''", "RRRTT", "RRRTT"),
    ("INSERT INTO magistrate.policy SELECT digest, 'z', 'permit' FROM magistrate.policy_set", "RRRTT", "RRRTT"),
    ("DELETE FROM magistrate.policy_set", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.policy_migration SET actor = 'x'", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.change_log SET actor = 'x'", "RRRTT", "RRRTT"),
    ("DELETE FROM magistrate.change_log", "RRRTT", "RRRTT"),
    ("INSERT INTO magistrate.change_log VALUES (9, 0, 'k', 'x', NULL, NULL, 'a', 'r', 1)", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.revision SET value = value + 2", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.revision SET lineage = sha256('')", "RRRTT", "RRRTT"),
    ("DELETE FROM magistrate.revision", "RRRTT", "RRRTT"),
    ("INSERT INTO magistrate.revision_lineage VALUES (9, sha256(''))", "RRRTT", "RRRTT"),
    ("UPDATE magistrate.installation SET role_prefix = 'x'", "RRRTT", "RRRTT"),
    ("UPDATE magistrate._sqlx_migrations SET checksum = ''", "RRRAA", "RRRAA"),
    ("DELETE FROM magistrate.node", "RRRAA", "RRRAA"),
];

/// Statement, outcomes under standard hardening, outcomes under strict hardening: what `retention` may do beyond an auditor.
const RETENTION: &[(&str, &str, &str)] = &[
    ("SELECT audit.is_held('2020-01-01')", "RRAAAA", "RRAAAA"),
    ("SELECT audit.hold_days('a', '2020-01-01', NULL, {id}, sha256(''), '')", "RRRAAA", "RRRAAA"),
    ("SELECT audit.release_days('b', {id}, sha256(''), '')", "RRRAAA", "RRRAAA"),
    ("SELECT audit.release_days('c', {id}, sha256(''), '')", "RRRCCC", "RRRCCC"),
    ("SELECT audit.hold_days('b', '2020-01-01', NULL, {id}, sha256(''), '')", "RRRCCC", "RRRCCC"),
    ("SELECT audit.hold_days('B', '2020-01-01', NULL, {id}, sha256(''), '')", "RRRCCC", "RRRCCC"),
    (
        "SELECT audit.expire_day('2020-01-01', 0, ARRAY[{id}], ARRAY[sha256('')], ARRAY[''::bytea], 0, '{}', '{}')",
        "RRRMMM",
        "RRRMMM",
    ),
    (
        "SELECT audit.expire_day((now() AT TIME ZONE 'UTC')::date, 1, ARRAY[{id}], ARRAY[sha256('')], ARRAY[''::bytea], 0, '{}', '{}')",
        "RRRMMM",
        "RRRMMM",
    ),
    (
        "SELECT audit.expire_day('2020-02-02', 0, ARRAY[{id}], ARRAY[sha256('')], ARRAY[''::bytea], 5, '{}', '{}')",
        "RRRAAA",
        "RRRAAA",
    ),
    ("UPDATE audit.hold SET last_day = '2020-01-01'", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.hold", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.hold_release", "RRRTTR", "RRRTTR"),
    // What no act tells of, nobody holds or releases.
    ("INSERT INTO audit.hold_release VALUES ('b', {id})", "RRRMMR", "RRRMMR"),
    ("INSERT INTO audit.hold VALUES ('n', '2020-01-01', NULL, {id})", "RRRMMR", "RRRMMR"),
    ("UPDATE audit.expired_place SET last_seq = 1", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.expired_place", "RRRTTR", "RRRTTR"),
    (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT audit.expire_day('2020-02-02', 0, ARRAY[{id}],
            ARRAY[sha256('')], ARRAY[''::bytea], 0, '{}', '{}')",
        "RRRMMM",
        "RRRMMM",
    ),
    // Strict hardening knows who drops a partition, whatever the statement says of it.
    (
        "DO $$ BEGIN EXECUTE 'DROP TABLE audit.decision_20200202 /*\"\nPL/pgSQL function audit.expire_day(*/'; END $$",
        "RRRAAR",
        "RRREER",
    ),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE audit.decision_20200202'; END $$", "RRRAAR", "RRREER"),
    ("DROP TRIGGER refuse_change ON audit.decision_20200202", "RRRAAR", "RRREER"),
    // What records are coded by goes with its day.
    ("UPDATE audit.dictionary SET body = '\\x02'", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.dictionary", "RRRTTR", "RRRTTR"),
    ("TRUNCATE audit.dictionary CASCADE", "RRRTTR", "RRRTTR"),
    ("SET session_replication_role = replica; DELETE FROM audit.dictionary", "RRRRTR", "RRRRTR"),
    ("ALTER TABLE audit.dictionary DISABLE TRIGGER ALL", "RRRAAR", "RRREER"),
    ("INSERT INTO audit.dictionary (day, body) VALUES ('2020-01-01', '\\x01')", "RRRAAR", "RRRAAR"),
    ("SELECT audit.plain(0, body) FROM audit.dictionary", "RRAAAA", "RRAAAA"),
    // Private values go by one function, with an act of the same transaction that says so.
    ("UPDATE audit.opening SET body = ''", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.opening", "RRRTTR", "RRRTTR"),
    ("TRUNCATE audit.opening", "RRRTTR", "RRRTTR"),
    ("SET session_replication_role = replica; DELETE FROM audit.opening", "RRRRTR", "RRRRTR"),
    ("ALTER TABLE audit.opening DISABLE TRIGGER ALL", "RRRAAR", "RRREER"),
    ("INSERT INTO audit.opening VALUES ('2020-01-01', {id}, 1, '')", "RRRAAR", "RRRAAR"),
    ("INSERT INTO audit.erasure VALUES ({id}, 1)", "RRRMMR", "RRRMMR"),
    ("UPDATE audit.erasure SET decisions = 2", "RRRTTR", "RRRTTR"),
    ("SELECT count(*) FROM audit.opening, audit.erasure", "RRAAAA", "RRAAAA"),
    ("SELECT * FROM audit.erasable('p', NULL, NULL, NULL, 9)", "RRRAAA", "RRRAAA"),
    ("SELECT * FROM audit.count_erasable('p', NULL, NULL, NULL)", "RRRAAA", "RRRAAA"),
    (
        "SELECT audit.erase({id}, sha256(''), '', array_agg(day), array_agg(stream), array_agg(seq))
            FROM audit.erasable('p', NULL, NULL, NULL, 9)",
        "RRRAAA",
        "RRRAAA",
    ),
    ("SELECT audit.erase({id}, sha256(''), '', '{2020-01-01}', ARRAY[{id}], '{1}')", "RRRMMM", "RRRMMM"),
    // A day that is held, whoever it is: the hold is of 2019.
    (
        "INSERT INTO audit.opening VALUES ('2019-01-01', {id}, 1, ''); SELECT audit.record_act({id}, 'erasure', sha256(''), '');
            INSERT INTO audit.erasure VALUES ({id}, 1); DELETE FROM audit.opening",
        "RRRMMR",
        "RRRMMR",
    ),
    ("DELETE FROM audit.expiry", "RRRTTR", "RRRTTR"),
    ("DELETE FROM audit.kept_leaf", "RRRTTR", "RRRTTR"),
    ("TRUNCATE audit.kept_leaf", "RRRTTR", "RRRTTR"),
    // A day goes after its act, and neither a young nor a held one, whoever adds the row that lets it go.
    ("INSERT INTO audit.expiry (day, act, records) VALUES ('2020-01-01', {id}, 0)", "RRRMMR", "RRRMMR"),
    (
        "INSERT INTO audit.act VALUES (9, {id}, 'retention', sha256(''), ''); INSERT INTO audit.expiry (day, act, records)
            VALUES ((now() AT TIME ZONE 'UTC')::date, {id}, 0); DROP TABLE {leaf}",
        "RRRMMR",
        "RRRMMR",
    ),
    (
        "INSERT INTO audit.act VALUES (9, {id}, 'retention', sha256(''), ''); INSERT INTO audit.expiry (day, act, records)
            VALUES ('2020-01-01', {id}, 0); DROP TABLE {leaf}",
        "RRRAAR",
        "RRREER",
    ),
    // It went once; what came late goes by an act of its own.
    ("DROP TABLE audit.decision_20200202", "RRRAAR", "RRREER"),
    ("DROP TABLE audit.kept_leaf", "RRRAAR", "RRREER"),
    ("ALTER TABLE audit.expiry DISABLE TRIGGER refuse_expiry", "RRRAAR", "RRREER"),
];

/// A row of a decision that nobody made, for today.
const ROW: &str = "1, (extract(epoch FROM now()) * 1000000)::bigint, (now() AT TIME ZONE 'UTC')::date AS day, 0,
    'b'::\"char\", 'a'::\"char\", 'p'::\"char\" AS cause, decode(repeat('02', 16), 'hex'), sha256(''), 'p', 'a', 'r', '',
    ''::bytea";
/// Columns as those of `audit.decision_readable`, of no decision.
const READABLE: &str = "SELECT day, encode(stream, 'hex') AS stream, seq, encode(leaf, 'hex') AS leaf,
    TIMESTAMPTZ '1970-01-01 00:00:00+00' AS recorded_at, class::text, principal, action, resource, decision::text,
    cause::text, request_id, encode(body, 'hex') AS body FROM audit.decision WHERE false";
/// The decision as a batch of one.
const BATCH: &str = "decode(repeat('03', 16), 'hex'), ARRAY[1::bigint], ARRAY[sha256('')],
    ARRAY[(extract(epoch FROM now()) * 1000000)::bigint], ARRAY['database'], ARRAY['p'], ARRAY['a'], ARRAY['r'],
    ARRAY['allow'], ARRAY['permitted'], ARRAY[NULL::text], ARRAY[''::bytea]";

#[tokio::test]
async fn each_role_can_do_what_the_table_says_under_standard_hardening() {
    check(HardeningLevel::Standard, |(statement, standard, _)| (statement, standard)).await;
}

#[tokio::test]
async fn each_role_can_do_what_the_table_says_under_strict_hardening() {
    check(HardeningLevel::Strict, |(statement, _, strict)| (statement, strict)).await;
}

async fn check(
    hardening: HardeningLevel,
    column: fn(&(&'static str, &'static str, &'static str)) -> (&'static str, &'static str),
) {
    let installed = Installed::at(hardening).await;
    fill(&installed);
    let mut wrong = String::new();
    let mut sessions = sessions(&installed).await;
    for (statement, expected) in MATRIX.iter().chain(RETENTION).map(column) {
        let sql = spelled(&installed, statement);
        let mut found = String::new();
        for session in &mut sessions {
            found.push(outcome(session, &sql).await);
        }
        let expected = match expected.len() {
            5 => expected.chars().chain(expected.chars().nth(2)).collect(),
            _ => expected.to_owned(),
        };
        if found != expected {
            writeln!(wrong, "{found}, not {expected}: {statement}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "under {hardening:?}:\n{wrong}");
}

/// A decision, an entity, a grant of each kind and an applied policy set.
fn fill(installed: &Installed) {
    let batch = BATCH.replace("repeat('03', 16)", "repeat('04', 16)");
    let (term, holder) = ("1970-01-01T00:00:00.000005Z", json!({ "type": "U", "id": "a" }));
    let digest = "ab".repeat(32);
    let logged = [
        ("entity.put", "T::\"y\"", json!({ "attributes": {}, "parents": [], "uid": { "id": "y", "type": "T" } })),
        (
            "grant.add",
            "g1",
            json!({ "id": "g1", "holder": holder, "role": { "type": "R", "id": "r" }, "expires_at": term, "reason": "r" }),
        ),
        (
            "grant.add",
            "g2",
            json!({ "id": "g2", "holder": holder, "scope": "read", "expires_at": term, "reason": "r" }),
        ),
        ("policy.apply", &digest, json!({ "digest": digest, "migration": "n" })),
    ];
    let log: Value =
        (0..).zip(logged).map(|(n, (kind, key, after))| json!([n, kind, key, null, after.to_string()])).collect();
    let sets = json!([{ "digest": digest, "schema": "", "name": "n", "policies": [["a", "permit"]] }]);
    installed
        .created
        .sql(&format!("INSERT INTO audit.sequencer VALUES (1, decode(repeat('07', 16), 'hex'), 3,
            decode(repeat('06', 16), 'hex'), 'infinity'); INSERT INTO audit.act VALUES (1, decode(repeat('0c', 16), 'hex'),
            'retention', sha256(''), ''), (2, decode(repeat('0b', 16), 'hex'), 'hold', sha256(''), '');
            INSERT INTO audit.hold VALUES ('b', '2019-01-01', '2019-01-02', decode(repeat('0b', 16), 'hex')); INSERT INTO audit.expiry (day, act, records) VALUES ('2020-02-02',
            decode(repeat('0c', 16), 'hex'), 0); INSERT INTO audit.expired_place VALUES (decode(repeat('04', 16), 'hex'), 5);
            SELECT audit.prepare_day('2020-02-02');
            INSERT INTO audit.checkpoint VALUES ('magistrate/log/' || repeat('07', 16), 5, sha256(''), 'n'); SELECT audit.ship({batch},
            ARRAY['\\x01'::bytea]); SELECT magistrate.commit(0, '{log}', '{sets}', 'a', 'r', 1)"));
}

/// The owner role does not log in: a superuser's session becomes it.
async fn sessions(installed: &Installed) -> Vec<PgConnection> {
    let superuser = installed.created.superuser_url();
    let mut owner = PgConnection::connect(&superuser).await.unwrap();
    let become_owner = format!("SET SESSION AUTHORIZATION {}", installed.prefix.name_of(Role::Owner));
    sqlx::raw_sql(AssertSqlSafe(become_owner)).execute(&mut owner).await.unwrap();
    let mut sessions = Vec::new();
    for role in [Role::App, Role::Admin, Role::Auditor] {
        sessions.push(PgConnection::connect(&installed.login(role)).await.unwrap());
    }
    sessions.push(owner);
    sessions.push(PgConnection::connect(&superuser).await.unwrap());
    sessions.push(PgConnection::connect(&installed.login(Role::Retention)).await.unwrap());
    sessions
}

fn spelled(installed: &Installed, statement: &str) -> String {
    let today = installed.created.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')");
    let leaf = format!("audit.decision_{today}");
    installed.prefix.fill(
        &statement
            .replace("{leaf}", &leaf)
            .replace("{issue}", "magistrate.issue_api_key")
            .replace("{hash}", "decode(repeat('00', 32), 'hex')")
            .replace("{row}", ROW)
            .replace("{batch}", BATCH)
            .replace("{id}", "decode(repeat('0a', 16), 'hex')")
            .replace("{readable}", READABLE),
    )
}

/// What becomes of a statement, which is rolled back.
async fn outcome(session: &mut PgConnection, sql: &str) -> char {
    sqlx::raw_sql("BEGIN").execute(&mut *session).await.unwrap();
    let result = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *session).await;
    sqlx::raw_sql("ROLLBACK").execute(session).await.unwrap();
    let Err(error) = result else {
        return 'A';
    };
    let error = error.as_database_error().unwrap();
    match error.code().as_deref().unwrap() {
        "42501" if error.message().starts_with("strict hardening refuses this") => 'E',
        "42501" if error.message().ends_with("is refused") => 'T',
        "42501" => 'R',
        "42704" | "3F000" => '-',
        "MG005" => 'M',
        code if code.starts_with("23") => 'C',
        code => panic!("{code} {} in: {sql}", error.message()),
    }
}
