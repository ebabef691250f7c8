-- Triggers that keep history what it is. All fire ALWAYS: `session_replication_role` does not turn them off.

-- A row of a table with ranges only ends, once, at the current revision.
CREATE FUNCTION magistrate.only_ends() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept record := NEW;
BEGIN
    kept.valid_to := NULL;
    IF OLD.valid_to IS NOT NULL OR kept IS DISTINCT FROM OLD
        OR NEW.valid_to IS DISTINCT FROM (SELECT value FROM magistrate.revision)
    THEN
        RAISE EXCEPTION 'a row of %.% only ends, once, at the current revision', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

-- Rows with ranges begin at the current revision and have no end yet. Asked once a statement, however many
-- rows it begins.
CREATE FUNCTION magistrate.only_begins() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM begun
        WHERE valid_to IS NOT NULL OR valid_from <> (SELECT value FROM magistrate.revision)
    ) THEN
        RAISE EXCEPTION 'rows of %.% begin at the current revision, without an end', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- Rows that name the revision that made them are made at the current one.
CREATE FUNCTION magistrate.only_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM begun WHERE revision <> (SELECT value FROM magistrate.revision)) THEN
        RAISE EXCEPTION '%.% only grows at the current revision', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- A set is complete before the migration that applies it exists; from then on nothing joins it.
CREATE FUNCTION magistrate.set_is_complete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM begun JOIN magistrate.policy_migration ON result_digest = set_digest
    ) THEN
        RAISE EXCEPTION 'policies never join a set that was applied' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['installation', 'revision', 'revision_lineage', 'change_log', 'policy_set', 'policy',
        'policy_migration', 'entity', 'entity_parent', 'scope', 'role_assignment', 'scope_assignment']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE DELETE OR TRUNCATE ON magistrate.%I
            FOR EACH STATEMENT EXECUTE FUNCTION magistrate.refuse_change()', t || '_is_kept', t);
        EXECUTE format('ALTER TABLE magistrate.%I ENABLE ALWAYS TRIGGER %I', t, t || '_is_kept');
    END LOOP;
    FOREACH t IN ARRAY ARRAY['installation', 'revision_lineage', 'change_log', 'policy_set', 'policy',
        'policy_migration']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON magistrate.%I
            FOR EACH STATEMENT EXECUTE FUNCTION magistrate.refuse_change()', t || '_is_final', t);
        EXECUTE format('ALTER TABLE magistrate.%I ENABLE ALWAYS TRIGGER %I', t, t || '_is_final');
    END LOOP;
    FOREACH t IN ARRAY ARRAY['revision_lineage', 'change_log', 'policy_migration']
    LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON magistrate.%I REFERENCING NEW TABLE AS begun
            FOR EACH STATEMENT EXECUTE FUNCTION magistrate.only_grows()', t || '_only_grows', t);
        EXECUTE format('ALTER TABLE magistrate.%I ENABLE ALWAYS TRIGGER %I', t, t || '_only_grows');
    END LOOP;
    FOREACH t IN ARRAY ARRAY['entity', 'entity_parent', 'scope', 'role_assignment', 'scope_assignment']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON magistrate.%I
            FOR EACH ROW EXECUTE FUNCTION magistrate.only_ends()', t || '_only_ends', t);
        EXECUTE format('ALTER TABLE magistrate.%I ENABLE ALWAYS TRIGGER %I', t, t || '_only_ends');
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON magistrate.%I REFERENCING NEW TABLE AS begun
            FOR EACH STATEMENT EXECUTE FUNCTION magistrate.only_begins()', t || '_only_begins', t);
        EXECUTE format('ALTER TABLE magistrate.%I ENABLE ALWAYS TRIGGER %I', t, t || '_only_begins');
    END LOOP;
END $$;

CREATE TRIGGER policy_set_is_complete AFTER INSERT ON magistrate.policy REFERENCING NEW TABLE AS begun
    FOR EACH STATEMENT EXECUTE FUNCTION magistrate.set_is_complete();
ALTER TABLE magistrate.policy ENABLE ALWAYS TRIGGER policy_set_is_complete;
