-- Hardening `strict`: event triggers of a superuser, which refuse even the owner role what would loosen the guards
-- of recorded decisions. Applied whole by every migration that a superuser runs.
DROP SCHEMA IF EXISTS magistrate_guard CASCADE;
CREATE SCHEMA magistrate_guard;

CREATE FUNCTION magistrate_guard.refuse(p_what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse$
BEGIN
    RAISE EXCEPTION 'strict hardening refuses this: %', p_what
        USING ERRCODE = 'insufficient_privilege', HINT = 'a superuser runs migrations that need it';
END
$refuse$;

-- The first thing amiss with the guards of recorded decisions; NULL when they are as they should be.
CREATE FUNCTION magistrate_guard.amiss() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $amiss$
BEGIN
    RETURN (
    WITH decision AS (
        SELECT c.oid, c.relnamespace FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'audit' AND c.relname = 'decision' AND c.relkind = 'p'
    ), refusal AS (
        SELECT p.oid FROM pg_proc p JOIN decision d ON d.relnamespace = p.pronamespace WHERE p.proname = 'refuse_change'
    ), part AS (
        SELECT c.oid, c.relname, c.relnamespace, i.inhdetachpending
        FROM decision d JOIN pg_inherits i ON i.inhparent = d.oid JOIN pg_class c ON c.oid = i.inhrelid
    ), wanted (relation, name, kind) AS (
        -- Before, each row, UPDATE or DELETE; before TRUNCATE; before UPDATE, DELETE or TRUNCATE.
        SELECT p.oid, w.name, w.kind FROM part p, (VALUES ('refuse_change', 27), ('refuse_truncate', 34)) w (name, kind)
        UNION ALL SELECT d.oid, 'refuse_change', 58 FROM decision d
    ), guarded (relation, names) AS (
        SELECT w.relation, array_agg(w.name) FROM wanted w GROUP BY w.relation
    )
    SELECT found.what FROM (
        SELECT 'audit.decision is gone' AS what WHERE NOT EXISTS (SELECT FROM decision)
        UNION ALL SELECT 'audit.refuse_change is gone' WHERE NOT EXISTS (SELECT FROM refusal)
        UNION ALL SELECT format('partition %s would be elsewhere', p.oid::regclass) FROM part p
        WHERE p.relname !~ '^decision_[0-9]{8}$' OR p.relnamespace <> (SELECT d.relnamespace FROM decision d)
        UNION ALL SELECT format('partition %s would be detached', p.oid::regclass) FROM part p WHERE p.inhdetachpending
        UNION ALL SELECT format('%s would lack its trigger %s', w.relation::regclass, w.name) FROM wanted w
        WHERE (
            SELECT t.tgtype = w.kind AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr::text = ''
                AND t.tgfoid = (SELECT r.oid FROM refusal r)
            FROM pg_trigger t WHERE t.tgrelid = w.relation AND t.tgname = w.name::name) IS NOT TRUE
        UNION ALL SELECT format('%s would have the trigger %s', g.relation::regclass, t.tgname)
        FROM guarded g JOIN pg_trigger t ON t.tgrelid = g.relation
        WHERE NOT t.tgisinternal AND t.tgname <> ALL (g.names)
        UNION ALL SELECT format('%s would have the rule %s', g.relation::regclass, r.rulename)
        FROM guarded g JOIN pg_rewrite r ON r.ev_class = g.relation
    ) found LIMIT 1
    );
END
$amiss$;

CREATE FUNCTION magistrate_guard.keep_guards() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_guards$
DECLARE
    v_found text;
    v_holds_rows boolean;
BEGIN
    SELECT c.object_identity INTO v_found FROM pg_event_trigger_ddl_commands() c
    WHERE c.schema_name = 'audit' AND c.object_type IN ('function', 'procedure', 'aggregate') LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate_guard.refuse(format('%s would be created or altered', v_found));
    END IF;
    v_found := magistrate_guard.amiss();
    IF v_found IS NOT NULL THEN
        PERFORM magistrate_guard.refuse(v_found);
    END IF;
    FOR v_found IN
        SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'audit' AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^decision_[0-9]{8}$'
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', v_found) INTO v_holds_rows;
        IF v_holds_rows THEN
            PERFORM magistrate_guard.refuse(format('%s would be detached', v_found));
        END IF;
    END LOOP;
END
$keep_guards$;

CREATE FUNCTION magistrate_guard.keep_objects() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_objects$
DECLARE
    v_found text;
BEGIN
    SELECT d.object_identity INTO v_found FROM pg_event_trigger_dropped_objects() d
    WHERE d.schema_name = 'audit' OR (d.address_names[1] = 'audit' AND d.object_type IN (
        'schema', 'trigger', 'rule', 'policy', 'table column', 'table constraint', 'default value'))
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
    WHERE c.oid = pg_event_trigger_table_rewrite_oid() AND n.nspname = 'audit';
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

CREATE EVENT TRIGGER magistrate_keep_guards ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE TRIGGER', 'ALTER TRIGGER', 'CREATE RULE', 'ALTER RULE',
        'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE PROCEDURE', 'ALTER PROCEDURE', 'ALTER ROUTINE', 'ALTER SCHEMA')
    EXECUTE FUNCTION magistrate_guard.keep_guards();
CREATE EVENT TRIGGER magistrate_keep_objects ON sql_drop EXECUTE FUNCTION magistrate_guard.keep_objects();
CREATE EVENT TRIGGER magistrate_keep_rows ON table_rewrite EXECUTE FUNCTION magistrate_guard.keep_rows();
CREATE EVENT TRIGGER magistrate_keep_partitions ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION magistrate_guard.keep_partitions();

ALTER EVENT TRIGGER magistrate_keep_guards ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_objects ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_rows ENABLE ALWAYS;
ALTER EVENT TRIGGER magistrate_keep_partitions ENABLE ALWAYS;
