-- What a commit does to the rows of one table is given as {"ended": [key…], "begun": [row…]}; each of these
-- functions does it. As many rows must end as are listed: else the commit was planned against something else.

CREATE FUNCTION magistrate.require_ended(p_table text, p_rows json, p_ended bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_ended$
BEGIN
    IF p_ended <> json_array_length(p_rows -> 'ended') THEN
        RAISE EXCEPTION 'of % rows of magistrate.% that should end, % were live',
            json_array_length(p_rows -> 'ended'),
            p_table, p_ended USING ERRCODE = 'MG004';
    END IF;
END
$require_ended$;

CREATE FUNCTION magistrate.write_entity(p_revision bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_entity$
DECLARE
    v_ended bigint;
BEGIN
    IF json_array_length(p_rows -> 'ended') > 0 THEN
        UPDATE magistrate.entity t SET valid_to = p_revision
        FROM (SELECT DISTINCT value ->> 0 AS type, value ->> 1 AS id
            FROM json_array_elements(p_rows -> 'ended')) w
        WHERE t.type = w.type AND t.id = w.id AND t.valid_to IS NULL;
        GET DIAGNOSTICS v_ended = ROW_COUNT;
        PERFORM magistrate.require_ended('entity', p_rows, v_ended);
    END IF;
    IF json_array_length(p_rows -> 'begun') > 0 THEN
        INSERT INTO magistrate.entity (type, id, attributes, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, p_revision
        FROM json_array_elements(p_rows -> 'begun');
    END IF;
END
$write_entity$;

CREATE FUNCTION magistrate.write_entity_parent(p_revision bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_entity_parent$
DECLARE
    v_ended bigint;
BEGIN
    IF json_array_length(p_rows -> 'ended') > 0 THEN
        UPDATE magistrate.entity_parent t SET valid_to = p_revision
        FROM (SELECT DISTINCT value ->> 0 AS type, value ->> 1 AS id, value ->> 2 AS parent_type,
            value ->> 3 AS parent_id
            FROM json_array_elements(p_rows -> 'ended')) w
        WHERE t.type = w.type AND t.id = w.id AND t.parent_type = w.parent_type
            AND t.parent_id = w.parent_id AND t.valid_to IS NULL;
        GET DIAGNOSTICS v_ended = ROW_COUNT;
        PERFORM magistrate.require_ended('entity_parent', p_rows, v_ended);
    END IF;
    IF json_array_length(p_rows -> 'begun') > 0 THEN
        INSERT INTO magistrate.entity_parent (type, id, parent_type, parent_id, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, p_revision
        FROM json_array_elements(p_rows -> 'begun');
    END IF;
END
$write_entity_parent$;

CREATE FUNCTION magistrate.write_scope(p_revision bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_scope$
DECLARE
    v_ended bigint;
BEGIN
    IF json_array_length(p_rows -> 'ended') > 0 THEN
        UPDATE magistrate.scope t SET valid_to = p_revision
        FROM (SELECT DISTINCT value AS name FROM json_array_elements_text(p_rows -> 'ended')) w
        WHERE t.name = w.name AND t.valid_to IS NULL;
        GET DIAGNOSTICS v_ended = ROW_COUNT;
        PERFORM magistrate.require_ended('scope', p_rows, v_ended);
    END IF;
    IF json_array_length(p_rows -> 'begun') > 0 THEN
        INSERT INTO magistrate.scope (name, action_group, description, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, p_revision
        FROM json_array_elements(p_rows -> 'begun');
    END IF;
END
$write_scope$;

CREATE FUNCTION magistrate.write_role_assignment(p_revision bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_role_assignment$
DECLARE
    v_ended bigint;
BEGIN
    IF json_array_length(p_rows -> 'ended') > 0 THEN
        UPDATE magistrate.role_assignment t SET valid_to = p_revision
        FROM (SELECT DISTINCT value AS id FROM json_array_elements_text(p_rows -> 'ended')) w
        WHERE t.id = w.id AND t.valid_to IS NULL;
        GET DIAGNOSTICS v_ended = ROW_COUNT;
        PERFORM magistrate.require_ended('role_assignment', p_rows, v_ended);
    END IF;
    IF json_array_length(p_rows -> 'begun') > 0 THEN
        INSERT INTO magistrate.role_assignment (id, holder_type, holder_id, not_before, expires_at,
            reason, role_type, role_id, resource_type,
            resource_id, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, (value ->> 3)::bigint, (value ->> 4)::bigint, value ->> 5,
            value ->> 6, value ->> 7, value ->> 8, value ->> 9, p_revision
        FROM json_array_elements(p_rows -> 'begun');
    END IF;
END
$write_role_assignment$;

CREATE FUNCTION magistrate.write_scope_assignment(p_revision bigint, p_rows json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_scope_assignment$
DECLARE
    v_ended bigint;
BEGIN
    IF json_array_length(p_rows -> 'ended') > 0 THEN
        UPDATE magistrate.scope_assignment t SET valid_to = p_revision
        FROM (SELECT DISTINCT value AS id FROM json_array_elements_text(p_rows -> 'ended')) w
        WHERE t.id = w.id AND t.valid_to IS NULL;
        GET DIAGNOSTICS v_ended = ROW_COUNT;
        PERFORM magistrate.require_ended('scope_assignment', p_rows, v_ended);
    END IF;
    IF json_array_length(p_rows -> 'begun') > 0 THEN
        INSERT INTO magistrate.scope_assignment (id, holder_type, holder_id, not_before,
            expires_at, reason, scope, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, (value ->> 3)::bigint, (value ->> 4)::bigint, value ->> 5,
            value ->> 6, p_revision
        FROM json_array_elements(p_rows -> 'begun');
    END IF;
END
$write_scope_assignment$;

-- Stores each set of `[{"digest", "schema", "name", "policies": [[id, text]…]}…]` unless one of this digest is
-- stored, and the migration that makes it live; its number and what it is based on follow from those before it.
CREATE FUNCTION magistrate.write_policy_sets(
    p_revision bigint, p_sets json, p_actor text, p_reason text, p_at bigint
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_policy_sets$
DECLARE
    v_set json;
    v_digest bytea;
BEGIN
    FOR v_set IN SELECT value FROM json_array_elements(p_sets) LOOP
        v_digest := decode(v_set ->> 'digest', 'hex');
        INSERT INTO magistrate.policy_set (digest, schema) VALUES (v_digest, v_set ->> 'schema')
        ON CONFLICT (digest) DO NOTHING;
        IF FOUND THEN
            INSERT INTO magistrate.policy (set_digest, id, text)
            SELECT v_digest, value ->> 0, value ->> 1 FROM json_array_elements(v_set -> 'policies');
        END IF;
        INSERT INTO magistrate.policy_migration (number, name, base_digest, result_digest,
            revision, actor, reason, at)
        SELECT coalesce(max(m.number), 0) + 1, v_set ->> 'name',
            (SELECT b.result_digest FROM magistrate.policy_migration b ORDER BY b.number DESC LIMIT 1),
            v_digest, p_revision, p_actor, p_reason, p_at
        FROM magistrate.policy_migration m;
    END LOOP;
END
$write_policy_sets$;

-- A text as a lineage takes it: its length in bytes, 8 bytes of them, and the bytes.
CREATE FUNCTION magistrate.lineage_text(p_text text) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $lineage_text$
    SELECT pg_catalog.int8send(pg_catalog.octet_length(pg_catalog.convert_to(p_text, 'UTF8'))::bigint)
        || pg_catalog.convert_to(p_text, 'UTF8')
$lineage_text$;

-- The lineage after a revision whose change log is written: SHA-256 over the lineage before it and those rows.
CREATE FUNCTION magistrate.lineage_after(p_before bytea, p_revision bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $lineage_after$
    SELECT sha256(p_before || int8send(count(*)) || coalesce(string_agg(
        int8send(l.revision) || int8send(l.ordinal::bigint)
        || magistrate.lineage_text(l.kind) || magistrate.lineage_text(l.key)
        || coalesce('\x01'::bytea || magistrate.lineage_text(l.before), '\x00'::bytea)
        || coalesce('\x01'::bytea || magistrate.lineage_text(l.after), '\x00'::bytea)
        || magistrate.lineage_text(l.actor) || magistrate.lineage_text(l.reason) || int8send(l.at),
        ''::bytea ORDER BY l.ordinal), ''::bytea))
    FROM magistrate.change_log l WHERE l.revision = p_revision
$lineage_after$;

-- One revision: what it changes, its log and its lineage. Refused with MG001, whose detail is the revision found,
-- when the store is not at `p_base`.
CREATE FUNCTION magistrate.commit(
    p_base bigint, p_log json, p_entities json, p_parents json, p_scopes json, p_roles json, p_scope_assignments json,
    p_policy_sets json, p_actor text, p_reason text, p_at bigint
) RETURNS TABLE (revision bigint, lineage bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Tables grow by orders of magnitude from one commit to the next: a plan kept from before may never end.
SET plan_cache_mode = force_custom_plan AS $commit$
#variable_conflict use_column
DECLARE
    v_revision bigint;
    v_lineage bytea;
    v_rows bigint;
BEGIN
    UPDATE magistrate.revision r SET value = r.value + 1 WHERE r.id = 1
    RETURNING r.value, r.lineage INTO v_revision, v_lineage;
    IF v_revision - 1 IS DISTINCT FROM p_base THEN
        RAISE EXCEPTION 'the store is at revision %, not %', v_revision - 1, p_base
            USING ERRCODE = 'MG001', DETAIL = (v_revision - 1)::text;
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM magistrate.write_entity(v_revision, p_entities);
    PERFORM magistrate.write_entity_parent(v_revision, p_parents);
    PERFORM magistrate.write_scope(v_revision, p_scopes);
    PERFORM magistrate.write_role_assignment(v_revision, p_roles);
    PERFORM magistrate.write_scope_assignment(v_revision, p_scope_assignments);
    PERFORM magistrate.write_policy_sets(v_revision, p_policy_sets, p_actor, p_reason, p_at);
    INSERT INTO magistrate.change_log (revision, ordinal, kind, key, before, after, actor, reason, at)
    SELECT v_revision, (value ->> 0)::integer, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        p_actor, p_reason, p_at
    FROM json_array_elements(p_log);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows = 0 THEN
        RAISE EXCEPTION 'a revision that changes nothing is refused' USING ERRCODE = 'MG004';
    END IF;
    v_lineage := magistrate.lineage_after(v_lineage, v_revision);
    UPDATE magistrate.revision r SET lineage = v_lineage WHERE r.id = 1;
    INSERT INTO magistrate.revision_lineage (revision, lineage) VALUES (v_revision, v_lineage);
    PERFORM pg_notify('magistrate_revision', v_revision::text);
    RETURN QUERY SELECT v_revision, v_lineage;
END
$commit$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA magistrate FROM PUBLIC;
