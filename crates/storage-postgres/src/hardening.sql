-- What keeps a database from a level of hardening, in words, and what kind of finding it is: of this `session`, of the
-- `schema`, of `code` in it that runs by itself, of `days` to come, of `strict` hardening only, or a `remark` on the
-- server. Asks the catalogue alone, with whatever rights
-- the session has.
--
-- $1 to $4: names, bodies, security and settings of the functions of the schema; $5 to $9: tables, their triggers,
-- these triggers' kinds, functions and conditions; $10 to $13: the functions of strict hardening, as $1 to $4; $14:
-- its event triggers; $15: tables.
WITH session AS (
    SELECT r.oid, r.rolname, r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = session_user
), acting AS (
    -- Every role that the user may become; a superuser is told as one.
    SELECT r.oid, r.rolname, r.rolsuper, r.rolcreaterole,
        CASE WHEN r.oid = s.oid THEN '' ELSE ' as `' || r.rolname || '`' END AS how
    FROM session s, pg_catalog.pg_roles r WHERE NOT s.rolsuper AND pg_catalog.pg_has_role(s.oid, r.oid, 'MEMBER')
), ours AS (
    SELECT n.oid, n.nspname, n.nspowner, pg_catalog.pg_get_userbyid(n.nspowner)::text AS owner
    FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('magistrate', 'audit')
), decision AS (
    SELECT c.oid, o.nspowner FROM pg_catalog.pg_class c JOIN ours o ON o.oid = c.relnamespace
    WHERE o.nspname = 'audit' AND c.relname = 'decision' AND c.relkind = 'p'
), part AS (
    SELECT i.inhrelid AS oid, i.inhdetachpending FROM decision d JOIN pg_catalog.pg_inherits i ON i.inhparent = d.oid
), relation AS (
    -- Ours, and every partition wherever it is.
    SELECT c.oid, c.relname, c.relkind, c.relispartition, c.relrowsecurity, c.relowner, c.relpersistence, c.relacl,
        c.relhassubclass, n.nspname, n.nspname || '.' || c.relname AS name, coalesce(o.nspowner, d.nspowner) AS owner,
        p.oid IS NOT NULL AS is_part, coalesce(p.inhdetachpending, false) AS is_pending
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN ours o ON o.oid = n.oid LEFT JOIN part p ON p.oid = c.oid LEFT JOIN decision d ON true
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (o.oid IS NOT NULL OR p.oid IS NOT NULL)
), guard AS (
    SELECT g.relation, g.trigger, g.kind, g.routine, g.condition
    FROM unnest($5::text[], $6::text[], $7::smallint[], $8::text[], $9::text[])
        AS g (relation, trigger, kind, routine, condition)
    -- Before, each row, UPDATE or DELETE; before TRUNCATE.
    UNION ALL SELECT r.name, w.trigger, w.kind, 'audit.refuse_change', ''
    FROM relation r, (VALUES ('refuse_change', 27), ('refuse_truncate', 34)) w (trigger, kind) WHERE r.is_part
), trigger AS (
    SELECT r.name AS relation, t.tgname AS trigger, t.tgtype AS kind, n.nspname || '.' || p.proname AS routine,
        t.tgenabled = 'A' AND t.tgattr::text = '' AS is_whole,
        CASE WHEN t.tgqual IS NULL THEN '' ELSE pg_catalog.regexp_replace(pg_catalog.lower(
            pg_catalog.substring(pg_catalog.pg_get_triggerdef(t.oid), ' WHEN (.*) EXECUTE ')), '[\s()]|\mrow\M', '', 'g')
        END AS condition
    FROM relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid
        JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT t.tgisinternal
), granted AS (
    SELECT r.name, a.grantee FROM relation r, LATERAL pg_catalog.aclexplode(r.relacl) a
    WHERE r.relacl IS NOT NULL AND a.grantee <> r.owner
        AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
    UNION SELECT r.name, a.grantee FROM relation r JOIN pg_catalog.pg_attribute c ON c.attrelid = r.oid,
        LATERAL pg_catalog.aclexplode(c.attacl) a
    WHERE c.attacl IS NOT NULL AND a.grantee <> r.owner AND a.privilege_type IN ('INSERT', 'UPDATE')
), writer AS (
    SELECT CASE WHEN g.grantee = 0 THEN 'anybody may'
            WHEN g.grantee = s.oid THEN 'the user `' || s.rolname || '` may'
            WHEN a.oid IS NOT NULL THEN 'the user `' || s.rolname || '` may' || a.how
            ELSE 'the role `' || pg_catalog.pg_get_userbyid(g.grantee) || '` may' END AS who, g.name
    FROM granted g CROSS JOIN session s LEFT JOIN acting a ON a.oid = g.grantee
), today AS (
    SELECT (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date AS day
), routine AS (
    SELECT p.oid, n.nspname || '.' || p.proname AS name, p.prosrc, p.prosecdef, p.proowner, n.nspname, n.nspowner,
        coalesce((SELECT pg_catalog.string_agg(c, '; ' ORDER BY c COLLATE "C") FROM unnest(p.proconfig) c), '')
            AS settings,
        pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') AS is_public
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('magistrate', 'audit', 'magistrate_guard')
)
SELECT 'session' AS kind, 'the user `' || s.rolname || '` is a superuser' AS finding FROM session s WHERE s.rolsuper
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` is a member of `' || a.rolname || '`, a superuser'
FROM session s, acting a WHERE a.rolsuper
UNION ALL SELECT DISTINCT 'session', 'the user `' || s.rolname || '` is a member of `' || o.owner
    || '`, which owns the tables'
FROM session s, ours o JOIN acting a ON a.oid = o.nspowner
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` is a member of both `' || a.rolname || '` and `'
    || b.rolname || '`'
FROM session s, ours o, (VALUES ('admin'), ('retention')) other (role)
    JOIN acting a ON true JOIN acting b ON true
WHERE o.nspname = 'audit' AND a.rolname = pg_catalog.regexp_replace(o.owner, 'owner$', 'app')
    AND b.rolname = pg_catalog.regexp_replace(o.owner, 'owner$', other.role)
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` may' || a.how || ' create objects in the schema `'
    || o.nspname || '`'
FROM session s, acting a, ours o
WHERE NOT a.rolsuper AND NOT pg_catalog.pg_has_role(a.oid, o.nspowner, 'MEMBER')
    AND pg_catalog.has_schema_privilege(a.oid, o.oid, 'CREATE')
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` may' || a.how || ' set `session_replication_role`'
FROM session s, acting a
WHERE NOT a.rolsuper AND pg_catalog.has_parameter_privilege(a.oid, 'session_replication_role', 'SET')
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` may' || a.how
    || ' create roles, and so make itself the owner'
FROM session s, acting a
WHERE a.rolcreaterole AND NOT a.rolsuper AND pg_catalog.current_setting('server_version_num')::integer < 160000
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` owns the database'
FROM session s, pg_catalog.pg_database d JOIN acting a ON a.oid = d.datdba
WHERE d.datname = pg_catalog.current_database()
UNION ALL SELECT 'session', 'the user `' || s.rolname || '` is a member of `' || a.rolname
    || '`, which writes all tables or can act as a superuser'
FROM session s, acting a
WHERE a.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files')
UNION ALL SELECT 'schema', w.who || ' write `' || pg_catalog.string_agg(w.name, '`, `' ORDER BY w.name) || '`'
FROM writer w GROUP BY w.who
UNION ALL SELECT 'schema', 'there is no table `audit.decision`' WHERE NOT EXISTS (SELECT FROM decision)
UNION ALL SELECT 'schema', 'there is no table `' || e.name || '` with a primary key' FROM unnest($15::text[]) e (name)
WHERE NOT EXISTS (
    SELECT FROM relation r JOIN pg_catalog.pg_constraint c ON c.conrelid = r.oid
    WHERE r.name = e.name AND r.relkind IN ('r', 'p') AND c.contype = 'p')
UNION ALL SELECT 'schema', '`audit.decision` does not check that its day is that of the instant' FROM decision d
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint c
    WHERE c.conrelid = d.oid AND c.conname = 'decision_day_is_of_instant' AND c.contype = 'c' AND c.convalidated)
UNION ALL SELECT 'schema', '`' || r.name || '` belongs to `' || pg_catalog.pg_get_userbyid(r.relowner) || '`, not to `'
    || pg_catalog.pg_get_userbyid(r.owner) || '`'
FROM relation r WHERE r.relowner <> r.owner
UNION ALL SELECT 'schema', '`' || r.name || '` is lost in a crash' FROM relation r WHERE r.relpersistence <> 'p'
UNION ALL SELECT 'schema', 'the partition `' || r.name || '` is not a plain table in `audit`'
FROM relation r WHERE r.is_part AND (r.relkind <> 'r' OR r.nspname <> 'audit')
UNION ALL SELECT 'schema', '`' || r.name || '` takes part in inheritance, which passes triggers by'
FROM relation r WHERE NOT r.is_part AND (
    EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid)
    OR r.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = r.oid))
UNION ALL SELECT 'code', '`' || g.relation || '` lacks the trigger `' || g.trigger
    || '` as this program creates it, enabled always'
FROM guard g LEFT JOIN trigger t ON t.relation = g.relation AND t.trigger = g.trigger::name AND t.is_whole
    AND t.kind = g.kind AND t.routine = g.routine AND t.condition = g.condition
WHERE t.relation IS NULL
UNION ALL SELECT 'code', '`' || t.relation || '` has a trigger of somebody else, `' || t.trigger || '`'
FROM trigger t LEFT JOIN guard g ON g.relation = t.relation AND g.trigger = t.trigger::text WHERE g.relation IS NULL
UNION ALL SELECT 'code', '`' || r.name || '` has a rule of somebody else, `' || w.rulename || '`'
FROM relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'code', 'the view `' || e.name || '` leaves out rows' FROM (VALUES
    ('magistrate.grant_range', 'magistrate.role_assignment magistrate.scope_assignment'),
    ('audit.decision_readable', 'audit.decision')) AS e (name, sources)
WHERE NOT EXISTS (
    SELECT FROM relation r WHERE r.name = e.name AND r.relkind = 'v'
        AND pg_catalog.pg_get_viewdef(r.oid) !~* '\m(where|having|limit|offset|fetch|distinct|intersect|except|join|group)\M'
        AND e.sources = (
            SELECT pg_catalog.string_agg(DISTINCT s.name, ' ' ORDER BY s.name)
            FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.objid = w.oid
                AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.oid
                LEFT JOIN relation s ON s.oid = d.refobjid
            WHERE w.ev_class = r.oid))
UNION ALL SELECT 'code', '`' || r.name || '` hides rows from some roles' FROM relation r WHERE r.relrowsecurity
UNION ALL SELECT 'schema', 'the partition `' || r.name || '` is being detached' FROM relation r WHERE r.is_pending
UNION ALL SELECT 'schema', 'the table `' || r.name || '` was detached from `audit.decision`' FROM relation r
WHERE r.nspname = 'audit' AND r.relkind = 'r' AND NOT r.relispartition AND r.relname ~ '^decision_[0-9]{8}$'
UNION ALL SELECT 'days', 'there is no partition for the decisions of ' || (t.day + n.ahead)
FROM today t, (VALUES (0), (1)) n (ahead)
WHERE NOT EXISTS (
    SELECT FROM relation r WHERE r.is_part AND r.nspname = 'audit' AND NOT r.is_pending
        AND r.relname = 'decision_' || pg_catalog.to_char(t.day + n.ahead, 'YYYYMMDD'))
UNION ALL SELECT 'code', 'the function `' || e.name || '` is not the one this program creates'
FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[]) AS e (name, body, is_definer, settings)
WHERE NOT EXISTS (
    SELECT FROM routine r WHERE r.name = e.name AND r.prosrc = e.body AND r.prosecdef = e.is_definer
        AND r.settings = e.settings AND r.proowner = r.nspowner)
    OR (SELECT count(*) FROM routine r WHERE r.name = e.name) > 1
UNION ALL SELECT 'schema', 'anybody may call the function `' || r.name || '`' FROM routine r
WHERE r.is_public AND r.nspname <> 'magistrate_guard'
UNION ALL SELECT 'strict', 'the event trigger `' || e.name || '` is not in place'
FROM unnest($14::text[]) AS e (name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_event_trigger t JOIN pg_catalog.pg_roles o ON o.oid = t.evtowner
        JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE t.evtname = e.name AND t.evtenabled = 'A' AND o.rolsuper AND n.nspname = 'magistrate_guard'
        AND 'magistrate_' || p.proname = e.name
        AND (t.evttags IS NULL OR e.name = 'magistrate_keep_partitions'))
UNION ALL SELECT 'strict', 'the function `' || e.name || '` is not the one this program creates'
FROM unnest($10::text[], $11::text[], $12::boolean[], $13::text[]) AS e (name, body, is_definer, settings)
WHERE NOT EXISTS (
    SELECT FROM routine r JOIN pg_catalog.pg_roles o ON o.oid = r.proowner
    WHERE r.name = e.name AND r.prosrc = e.body AND r.prosecdef = e.is_definer AND r.settings = e.settings
        AND o.rolsuper)
UNION ALL SELECT 'remark', 'the server runs with `' || e.name || ' = off`: what it acknowledges may be lost in a crash'
FROM (VALUES ('fsync'), ('full_page_writes')) AS e (name) WHERE pg_catalog.current_setting(e.name) = 'off'
ORDER BY 1, 2
