-- What keeps a database from a level of hardening: whether it is only the strict one, and what it is, in words. Asks
-- the catalogue alone, with whatever rights the session has.
--
-- $1, $2: names and bodies of the functions of the schema; $3, $4: tables and their triggers; $5, $6: names and bodies
-- of the functions of strict hardening; $7: its event triggers.
WITH session AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolcreaterole FROM pg_catalog.pg_roles r WHERE r.rolname = session_user
), ours AS (
    SELECT n.oid, n.nspname, n.nspowner, pg_catalog.pg_get_userbyid(n.nspowner) AS owner
    FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('magistrate', 'audit')
), relation AS (
    SELECT c.oid, c.relname, c.relkind, c.relispartition, c.relrowsecurity, o.nspname,
        o.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
), decision AS (
    SELECT r.oid, r.name FROM relation r WHERE r.name = 'audit.decision' AND r.relkind = 'p'
), part AS (
    SELECT c.oid, c.relname, n.nspname || '.' || c.relname AS name, n.nspname, i.inhdetachpending
    FROM decision d JOIN pg_catalog.pg_inherits i ON i.inhparent = d.oid
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
), refusal AS (
    SELECT p.oid FROM pg_catalog.pg_proc p JOIN ours o ON o.oid = p.pronamespace
    WHERE o.nspname = 'audit' AND p.proname = 'refuse_change'
), kept AS (
    -- Before, each row, UPDATE or DELETE; before TRUNCATE; before UPDATE, DELETE or TRUNCATE.
    SELECT p.oid, p.name, w.trigger, w.kind
    FROM part p, (VALUES ('refuse_change', 27), ('refuse_truncate', 34)) w (trigger, kind)
    UNION ALL SELECT d.oid, d.name, 'refuse_change', 58 FROM decision d
), guarded AS (
    SELECT k.oid, k.name, pg_catalog.array_agg(k.trigger) AS triggers FROM kept k GROUP BY k.oid, k.name
), writable AS (
    SELECT r.name FROM relation r, session s
    WHERE NOT s.rolsuper AND NOT EXISTS (SELECT FROM ours o WHERE pg_catalog.pg_has_role(s.oid, o.nspowner, 'MEMBER'))
        AND (pg_catalog.has_table_privilege(s.oid, r.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
            OR pg_catalog.has_any_column_privilege(s.oid, r.oid, 'INSERT, UPDATE'))
), today AS (
    SELECT (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date AS day
), routine AS (
    SELECT n.nspname || '.' || p.proname AS name, p.prosrc, p.proowner, n.nspname, n.nspowner
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('magistrate', 'audit', 'magistrate_guard')
)
SELECT false AS strict, 'the user `' || s.rolname || '` is a superuser' AS finding FROM session s WHERE s.rolsuper
UNION ALL SELECT DISTINCT false, 'the user `' || s.rolname || '` is a member of `' || o.owner || '`, which owns the tables'
FROM session s, ours o WHERE NOT s.rolsuper AND pg_catalog.pg_has_role(s.oid, o.nspowner, 'MEMBER')
UNION ALL SELECT false, 'the user `' || s.rolname || '` may write `' || w.names || '`'
FROM session s, (SELECT pg_catalog.string_agg(name, '`, `' ORDER BY name) AS names FROM writable) w
WHERE w.names IS NOT NULL
UNION ALL SELECT false, 'the user `' || s.rolname || '` may create objects in the schema `' || o.nspname || '`'
FROM session s, ours o
WHERE NOT s.rolsuper AND NOT pg_catalog.pg_has_role(s.oid, o.nspowner, 'MEMBER')
    AND pg_catalog.has_schema_privilege(s.oid, o.oid, 'CREATE')
UNION ALL SELECT false, 'the user `' || s.rolname || '` may set `session_replication_role`'
FROM session s
WHERE NOT s.rolsuper AND pg_catalog.has_parameter_privilege(s.oid, 'session_replication_role', 'SET')
UNION ALL SELECT false, 'the user `' || s.rolname || '` may create roles, and so make itself the owner'
FROM session s
WHERE NOT s.rolsuper AND s.rolcreaterole AND pg_catalog.current_setting('server_version_num')::integer < 160000
UNION ALL SELECT false, 'the user `' || s.rolname || '` owns the database' FROM session s, pg_catalog.pg_database d
WHERE NOT s.rolsuper AND d.datname = pg_catalog.current_database() AND pg_catalog.pg_has_role(s.oid, d.datdba, 'MEMBER')
UNION ALL SELECT false, 'the user `' || s.rolname || '` is a member of `' || r.rolname || '`, which can act as a superuser'
FROM session s, pg_catalog.pg_roles r
WHERE NOT s.rolsuper AND r.rolname IN ('pg_execute_server_program', 'pg_write_server_files')
    AND pg_catalog.pg_has_role(s.oid, r.oid, 'MEMBER')
UNION ALL SELECT false, 'there is no table `audit.decision`' WHERE NOT EXISTS (SELECT FROM decision)
UNION ALL SELECT false, '`' || k.name || '` lacks the trigger `' || k.trigger || '` that refuses changes, enabled always'
FROM kept k
WHERE (
    SELECT t.tgtype = k.kind AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr::text = ''
        AND t.tgfoid = (SELECT r.oid FROM refusal r)
    FROM pg_catalog.pg_trigger t WHERE t.tgrelid = k.oid AND t.tgname = k.trigger::name) IS NOT TRUE
UNION ALL SELECT false, '`' || g.relation || '` lacks the trigger `' || g.trigger || '`, enabled always'
FROM unnest($3::text[], $4::text[]) AS g (relation, trigger)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid
    WHERE r.name = g.relation AND t.tgname = g.trigger AND t.tgenabled = 'A')
    AND g.relation <> 'audit.decision'
UNION ALL SELECT false, '`' || g.name || '` has a trigger of somebody else, `' || t.tgname || '`'
FROM guarded g JOIN pg_catalog.pg_trigger t ON t.tgrelid = g.oid
WHERE NOT t.tgisinternal AND t.tgname <> ALL (g.triggers)
UNION ALL SELECT false, '`' || g.name || '` has a rule of somebody else, `' || w.rulename || '`'
FROM guarded g JOIN pg_catalog.pg_rewrite w ON w.ev_class = g.oid
UNION ALL SELECT false, '`' || r.name || '` hides rows from some roles' FROM relation r WHERE r.relrowsecurity
UNION ALL SELECT false, 'the partition `' || p.name || '` is being detached' FROM part p WHERE p.inhdetachpending
UNION ALL SELECT false, 'the table `' || r.name || '` was detached from `audit.decision`' FROM relation r
WHERE r.nspname = 'audit' AND r.relkind = 'r' AND NOT r.relispartition AND r.relname ~ '^decision_[0-9]{8}$'
UNION ALL SELECT false, 'there is no partition for the decisions of ' || (t.day + n.ahead) FROM today t, (VALUES (0), (1)) n (ahead)
WHERE NOT EXISTS (
    SELECT FROM part p WHERE p.nspname = 'audit' AND NOT p.inhdetachpending
        AND p.relname = 'decision_' || pg_catalog.to_char(t.day + n.ahead, 'YYYYMMDD'))
UNION ALL SELECT false, 'the function `' || e.name || '` is not the one this program creates'
FROM unnest($1::text[], $2::text[]) AS e (name, body)
WHERE NOT EXISTS (
    SELECT FROM routine r WHERE r.name = e.name AND r.prosrc = e.body AND r.proowner = r.nspowner)
    OR (SELECT count(*) FROM routine r WHERE r.name = e.name) > 1
UNION ALL SELECT true, 'the event trigger `' || e.name || '` is not in place'
FROM unnest($7::text[]) AS e (name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_event_trigger t JOIN pg_catalog.pg_roles o ON o.oid = t.evtowner
        JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE t.evtname = e.name AND t.evtenabled = 'A' AND o.rolsuper AND n.nspname = 'magistrate_guard')
UNION ALL SELECT true, 'the function `' || e.name || '` is not the one this program creates'
FROM unnest($5::text[], $6::text[]) AS e (name, body)
WHERE NOT EXISTS (
    SELECT FROM routine r JOIN pg_catalog.pg_roles o ON o.oid = r.proowner
    WHERE r.name = e.name AND r.prosrc = e.body AND o.rolsuper)
ORDER BY 1, 2
