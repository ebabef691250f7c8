-- Hardening `strict`: event triggers of a superuser, which refuse even the owner role what would loosen the guards
-- of recorded decisions and of the history of policies. Applied whole by every migration that a superuser runs.
--
-- INVARIANT: these functions run as a superuser within commands of others, so they read the catalogue and tables of
-- their own schema, never a table, view or function that somebody else made.
DROP SCHEMA IF EXISTS magistrate_guard CASCADE;
CREATE SCHEMA magistrate_guard;

CREATE FUNCTION magistrate_guard.refuse(p_what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse$
BEGIN
    RAISE EXCEPTION 'strict hardening refuses this: %', p_what
        USING ERRCODE = 'insufficient_privilege', HINT = 'a superuser runs migrations that need it';
END
$refuse$;

-- What a relation is, but for its columns and triggers; whoever inherits from it, or it from others, passes its
-- triggers by.
CREATE FUNCTION magistrate_guard.state_of_relation(p_relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $state_of_relation$
    SELECT concat_ws(' ', n.nspname, c.relname, c.relkind, c.relpersistence, pg_get_userbyid(c.relowner),
        c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
        EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AND NOT c.relispartition,
        EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind <> 'p',
        (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull), ', '
            ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
        (SELECT string_agg(concat_ws(' ', o.conname, o.contype, o.convalidated), ', ' ORDER BY o.conname COLLATE "C")
        FROM pg_constraint o WHERE o.conrelid = c.oid),
        (SELECT string_agg(concat_ws(' ', r.rulename, r.ev_type, r.ev_enabled), ', ' ORDER BY r.rulename)
        FROM pg_rewrite r WHERE r.ev_class = c.oid))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_relation
$state_of_relation$;

-- A condition is compared without its parentheses: those change when a dump is restored.
CREATE FUNCTION magistrate_guard.state_of_trigger(p_trigger oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $state_of_trigger$
    SELECT concat_ws(' ', t.tgenabled, t.tgtype, t.tgfoid::oid::regprocedure, t.tgattr, t.tgconstraint <> 0,
        encode(t.tgargs, 'hex'), t.tgoldtable, t.tgnewtable,
        CASE WHEN t.tgqual IS NOT NULL THEN regexp_replace(
            substring(pg_get_triggerdef(t.oid), ' WHEN (.*) EXECUTE '), '[\s()]', '', 'g') END)
    FROM pg_trigger t WHERE t.oid = p_trigger
$state_of_trigger$;

CREATE FUNCTION magistrate_guard.state_of_routine(p_routine oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $state_of_routine$
    SELECT concat_ws(' ', p.oid::regprocedure, pg_get_userbyid(p.proowner), l.lanname, p.prosecdef, p.proconfig,
        p.prosrc)
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = p_routine
$state_of_routine$;

-- What there is to keep, as it was when the guards were put up. Not names but the things themselves are remembered:
-- another one of the same name is not the one. (A dump writes these columns as names, so that they hold after it.)
CREATE TABLE magistrate_guard.relation (relation regclass PRIMARY KEY, state text NOT NULL);
CREATE TABLE magistrate_guard.trigger (
    relation regclass NOT NULL, name name NOT NULL, state text NOT NULL, PRIMARY KEY (relation, name)
);
CREATE TABLE magistrate_guard.routine (routine regprocedure PRIMARY KEY, state text NOT NULL);

INSERT INTO magistrate_guard.relation (relation, state)
SELECT c.oid, magistrate_guard.state_of_relation(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('magistrate', 'audit') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    AND c.relname !~ '^decision_[0-9]{8}$';

INSERT INTO magistrate_guard.trigger (relation, name, state)
SELECT t.tgrelid, t.tgname, magistrate_guard.state_of_trigger(t.oid)
FROM pg_catalog.pg_trigger t JOIN magistrate_guard.relation r ON r.relation = t.tgrelid WHERE NOT t.tgisinternal;

INSERT INTO magistrate_guard.routine (routine, state)
SELECT p.oid, magistrate_guard.state_of_routine(p.oid)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('magistrate', 'audit');

-- The first thing amiss with what is kept; NULL when all is as it should be.
CREATE FUNCTION magistrate_guard.amiss() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $amiss$
BEGIN
    RETURN (
    WITH decision AS (
        SELECT c.oid, c.relnamespace, c.relowner FROM magistrate_guard.relation r JOIN pg_class c ON c.oid = r.relation
        WHERE c.relkind = 'p' AND c.relname = 'decision'
    ), part AS (
        SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relkind, c.relpersistence, c.relrowsecurity,
            c.relhasrules, i.inhdetachpending
        FROM decision d JOIN pg_inherits i ON i.inhparent = d.oid JOIN pg_class c ON c.oid = i.inhrelid
    ), part_trigger AS (
        -- Before, each row, UPDATE or DELETE; before TRUNCATE.
        SELECT t.tgrelid, count(*) AS there, count(*) FILTER (
            WHERE t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgfoid = refusal.oid
                AND (t.tgname, t.tgtype) IN (('refuse_change', 27), ('refuse_truncate', 34))) AS right_ones
        FROM pg_trigger t JOIN part p ON p.oid = t.tgrelid, (
            SELECT r.routine::oid AS oid FROM magistrate_guard.routine r JOIN pg_proc f ON f.oid = r.routine
                JOIN decision d ON d.relnamespace = f.pronamespace WHERE f.proname = 'refuse_change') refusal
        WHERE NOT t.tgisinternal GROUP BY t.tgrelid
    )
    SELECT found.what FROM (
        SELECT 'audit.decision is gone' AS what WHERE NOT EXISTS (SELECT FROM decision)
        UNION ALL SELECT format('%s would be altered', r.relation) FROM magistrate_guard.relation r
        WHERE r.state IS DISTINCT FROM magistrate_guard.state_of_relation(r.relation)
        UNION ALL SELECT format('%s would be altered', r.routine) FROM magistrate_guard.routine r
        WHERE r.state IS DISTINCT FROM magistrate_guard.state_of_routine(r.routine)
        UNION ALL SELECT format('%s would lack its trigger %s', g.relation, g.name) FROM magistrate_guard.trigger g
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger t WHERE t.tgrelid = g.relation AND t.tgname = g.name
                AND g.state = magistrate_guard.state_of_trigger(t.oid))
        UNION ALL SELECT format('%s would have the trigger %s', t.tgrelid::regclass, t.tgname)
        FROM pg_trigger t JOIN magistrate_guard.relation r ON r.relation = t.tgrelid
        WHERE NOT t.tgisinternal AND NOT EXISTS (
            SELECT FROM magistrate_guard.trigger g WHERE g.relation = t.tgrelid AND g.name = t.tgname)
        UNION ALL SELECT format('partition %s would be elsewhere', p.oid::regclass) FROM part p, decision d
        WHERE p.relname !~ '^decision_[0-9]{8}$' OR p.relnamespace <> d.relnamespace
        UNION ALL SELECT format('partition %s would be detached', p.oid::regclass) FROM part p WHERE p.inhdetachpending
        UNION ALL SELECT format('partition %s would not be a plain table of the owner', p.oid::regclass)
        FROM part p, decision d
        WHERE p.relkind <> 'r' OR p.relpersistence <> 'p' OR p.relowner <> d.relowner OR p.relrowsecurity
            OR (p.relhasrules AND EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = p.oid))
            OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = p.oid)
        UNION ALL SELECT format('partition %s would not have its own two triggers', p.oid::regclass) FROM part p
        WHERE NOT EXISTS (
            SELECT FROM part_trigger t WHERE t.tgrelid = p.oid AND t.there = 2 AND t.right_ones = 2)
        UNION ALL SELECT format('%s would be detached', c.oid::regclass)
        FROM decision d JOIN pg_class c ON c.relnamespace = d.relnamespace
        WHERE c.relname ~ '^decision_[0-9]{8}$' AND c.relkind = 'r' AND NOT c.relispartition
            AND pg_relation_size(c.oid) > 0
    ) found LIMIT 1
    );
END
$amiss$;

-- Whether the command that ends may have touched what is kept. It has not when all it made or altered is elsewhere,
-- and no part or parent of anything.
CREATE FUNCTION magistrate_guard.is_concerned() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $is_concerned$
BEGIN
    RETURN (
        SELECT count(*) = 0 OR bool_or(
            c.schema_name IS NULL OR c.schema_name IN ('magistrate', 'audit')
            OR (c.classid = 'pg_class'::regclass AND (
                EXISTS (SELECT FROM magistrate_guard.relation r WHERE r.relation = c.objid)
                OR EXISTS (SELECT FROM pg_inherits i WHERE c.objid IN (i.inhrelid, i.inhparent))))
            OR (c.classid = 'pg_proc'::regclass
                AND EXISTS (SELECT FROM magistrate_guard.routine r WHERE r.routine = c.objid))
            OR c.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass))
        FROM pg_event_trigger_ddl_commands() c);
END
$is_concerned$;

-- Asked after every command, whatever it is called: many of them can rename, move or attach a table.
CREATE FUNCTION magistrate_guard.keep_guards() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_guards$
DECLARE
    v_found text;
BEGIN
    -- What is dropped, keep_objects refuses.
    IF TG_TAG LIKE 'DROP %' OR NOT magistrate_guard.is_concerned() THEN
        RETURN;
    END IF;
    SELECT c.object_identity INTO v_found FROM pg_event_trigger_ddl_commands() c
    WHERE (c.schema_name IN ('magistrate', 'audit') AND c.object_type IN ('function', 'procedure', 'aggregate')
            AND c.command_tag NOT IN ('GRANT', 'REVOKE'))
        OR (c.object_type = 'view' AND c.command_tag NOT IN ('GRANT', 'REVOKE')
            AND EXISTS (SELECT FROM magistrate_guard.relation r WHERE r.relation = c.objid))
        OR (c.object_type = 'rule' AND EXISTS (
            SELECT FROM pg_rewrite w JOIN magistrate_guard.relation r ON r.relation = w.ev_class
            WHERE w.oid = c.objid))
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate_guard.refuse(format('%s would be created or altered', v_found));
    END IF;
    v_found := magistrate_guard.amiss();
    IF v_found IS NOT NULL THEN
        PERFORM magistrate_guard.refuse(v_found);
    END IF;
END
$keep_guards$;

-- A partition goes by `audit.expire_day` alone, which is kept as it is and looks at what may go. That it is that function
-- which drops the partition is told by the stack of calls: the statement, whole, and then who makes it. In whatever language
-- the server speaks.
CREATE FUNCTION magistrate_guard.keep_objects() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lc_messages = 'C' AS $keep_objects$
DECLARE
    v_calls text;
    v_day text;
    v_found text;
BEGIN
    GET DIAGNOSTICS v_calls = PG_CONTEXT;
    v_day := (regexp_match(v_calls, '\APL/pgSQL function magistrate_guard\.keep_objects\(\) line \d+ at GET DIAGNOSTICS\n'
        'SQL statement "DROP TABLE audit\.decision_(\d{8})"\nPL/pgSQL function audit\.expire_day\('))[1];
    SELECT d.object_identity INTO v_found FROM pg_event_trigger_dropped_objects() d
    WHERE (d.schema_name IN ('magistrate', 'audit')
            OR (d.address_names[1] IN ('magistrate', 'audit') AND d.object_type IN (
                'schema', 'trigger', 'rule', 'policy', 'table column', 'table constraint', 'default value')))
        AND (v_day IS NULL OR d.object_identity !~ ('(^| on )audit\.decision_' || v_day || '(_[a-z_0-9]+|\[\])?$'))
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate_guard.refuse(format('%s would be dropped', v_found));
    END IF;
END
$keep_objects$;

-- Changing a column's type rewrites what is in it, and asks no trigger.
CREATE FUNCTION magistrate_guard.keep_rows() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_rows$
DECLARE
    v_found text;
BEGIN
    SELECT format('%I.%I', n.nspname, c.relname) INTO v_found
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = pg_event_trigger_table_rewrite_oid() AND n.nspname IN ('magistrate', 'audit');
    IF FOUND THEN
        PERFORM magistrate_guard.refuse(format('%s would be rewritten', v_found));
    END IF;
END
$keep_rows$;

-- A partition that is detached concurrently is gone before an end of the command could be refused.
CREATE FUNCTION magistrate_guard.keep_partitions() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_partitions$
BEGIN
    IF current_query() ~* '\mdetach\M.*\mconcurrently\M' THEN
        PERFORM magistrate_guard.refuse('a partition would be detached concurrently');
    END IF;
END
$keep_partitions$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA magistrate_guard FROM PUBLIC;

CREATE EVENT TRIGGER magistrate_keep_guards ON ddl_command_end EXECUTE FUNCTION magistrate_guard.keep_guards();
CREATE EVENT TRIGGER magistrate_keep_objects ON sql_drop EXECUTE FUNCTION magistrate_guard.keep_objects();
CREATE EVENT TRIGGER magistrate_keep_rows ON table_rewrite EXECUTE FUNCTION magistrate_guard.keep_rows();
CREATE EVENT TRIGGER magistrate_keep_partitions ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION magistrate_guard.keep_partitions();

ALTER EVENT TRIGGER magistrate_keep_guards ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_objects ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_rows ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_partitions ENABLE ALWAYS;
