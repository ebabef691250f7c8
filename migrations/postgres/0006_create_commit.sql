-- The only way to change policies, entities and grants: one revision, its rows, its log and its digest.

-- A text of the lineage: its length in bytes, then the bytes.
CREATE FUNCTION magistrate.lineage_text(t text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT int8send(octet_length(convert_to(t, 'UTF8'))::bigint) || convert_to(t, 'UTF8') $$;

-- The lineage after a revision: SHA-256 over the one before it and the rows of its log.
CREATE FUNCTION magistrate.lineage_after(p_before bytea, p_revision bigint) RETURNS bytea
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(p_before || int8send(count(*)) || string_agg(
        int8send(revision) || int8send(ordinal::bigint)
            || magistrate.lineage_text(kind) || magistrate.lineage_text(key)
            || coalesce('\x01'::bytea || magistrate.lineage_text(before), '\x00'::bytea)
            || coalesce('\x01'::bytea || magistrate.lineage_text(after), '\x00'::bytea)
            || magistrate.lineage_text(actor) || magistrate.lineage_text(reason) || int8send(at),
        '' ORDER BY ordinal))
    FROM magistrate.change_log WHERE revision = p_revision
$$;

-- Refuses a commit that was made for another state than it finds.
CREATE FUNCTION magistrate.expect_ended(p_table text, p_ended json, p_found bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(json_array_length(p_ended), 0) <> p_found THEN
        RAISE EXCEPTION 'of % rows of % to end, % were live', coalesce(json_array_length(p_ended), 0), p_table, p_found
            USING ERRCODE = 'MG004';
    END IF;
END $$;

CREATE FUNCTION magistrate.commit(
    p_base bigint, p_log json, p_entities json, p_parents json, p_scopes json, p_roles json,
    p_scope_assignments json, p_policy_sets json, p_actor text, p_reason text, p_at bigint
) RETURNS TABLE (revision bigint, lineage bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    taken bigint;
    before bytea;
    reached bytea;
    ended bigint;
    set_of json;
BEGIN
    UPDATE magistrate.revision AS r SET value = r.value + 1 WHERE r.id = 1
        RETURNING r.value, r.lineage INTO taken, before;
    IF taken <> p_base + 1 THEN
        RAISE EXCEPTION 'the store stands at revision %, not at %', taken - 1, p_base
            USING ERRCODE = 'MG001', DETAIL = (taken - 1)::text;
    END IF;
    IF coalesce(json_array_length(p_log), 0) = 0 THEN
        RAISE EXCEPTION 'a revision changes something' USING ERRCODE = 'MG004';
    END IF;

    INSERT INTO magistrate.change_log (revision, ordinal, kind, key, before, after, actor, reason, at)
        SELECT taken, (v ->> 0)::integer, v ->> 1, v ->> 2, v ->> 3, v ->> 4, p_actor, p_reason, p_at
        FROM json_array_elements(p_log) AS v;

    UPDATE magistrate.entity AS e SET valid_to = taken
        FROM json_array_elements(p_entities -> 'ended') AS v
        WHERE e.type = v ->> 0 AND e.id = v ->> 1 AND e.valid_to IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM magistrate.expect_ended('entity', p_entities -> 'ended', ended);
    UPDATE magistrate.entity_parent AS e SET valid_to = taken
        FROM json_array_elements(p_parents -> 'ended') AS v
        WHERE e.type = v ->> 0 AND e.id = v ->> 1 AND e.parent_type = v ->> 2 AND e.parent_id = v ->> 3
            AND e.valid_to IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM magistrate.expect_ended('entity_parent', p_parents -> 'ended', ended);
    INSERT INTO magistrate.entity (type, id, attributes, valid_from)
        SELECT v ->> 0, v ->> 1, v ->> 2, taken FROM json_array_elements(p_entities -> 'begun') AS v;
    INSERT INTO magistrate.entity_parent (type, id, parent_type, parent_id, valid_from)
        SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, taken FROM json_array_elements(p_parents -> 'begun') AS v;

    UPDATE magistrate.scope AS s SET valid_to = taken
        FROM json_array_elements_text(p_scopes -> 'ended') AS v
        WHERE s.name = v AND s.valid_to IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM magistrate.expect_ended('scope', p_scopes -> 'ended', ended);
    INSERT INTO magistrate.scope (name, action_group, description, valid_from)
        SELECT v ->> 0, v ->> 1, v ->> 2, taken FROM json_array_elements(p_scopes -> 'begun') AS v;

    UPDATE magistrate.role_assignment AS g SET valid_to = taken
        FROM json_array_elements_text(p_roles -> 'ended') AS v
        WHERE g.id = v AND g.valid_to IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM magistrate.expect_ended('role_assignment', p_roles -> 'ended', ended);
    UPDATE magistrate.scope_assignment AS g SET valid_to = taken
        FROM json_array_elements_text(p_scope_assignments -> 'ended') AS v
        WHERE g.id = v AND g.valid_to IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM magistrate.expect_ended('scope_assignment', p_scope_assignments -> 'ended', ended);
    INSERT INTO magistrate.role_assignment (id, holder_type, holder_id, not_before, expires_at, reason,
            role_type, role_id, resource_type, resource_id, valid_from)
        SELECT v ->> 0, v ->> 1, v ->> 2, (v ->> 3)::bigint, (v ->> 4)::bigint, v ->> 5,
            v ->> 6, v ->> 7, v ->> 8, v ->> 9, taken
        FROM json_array_elements(p_roles -> 'begun') AS v;
    INSERT INTO magistrate.scope_assignment (id, holder_type, holder_id, not_before, expires_at, reason, scope,
            valid_from)
        SELECT v ->> 0, v ->> 1, v ->> 2, (v ->> 3)::bigint, (v ->> 4)::bigint, v ->> 5, v ->> 6, taken
        FROM json_array_elements(p_scope_assignments -> 'begun') AS v;

    FOR set_of IN SELECT v FROM json_array_elements(coalesce(p_policy_sets, '[]'::json)) AS v LOOP
        PERFORM magistrate.apply_policy_set(taken, set_of, p_actor, p_reason, p_at);
    END LOOP;

    reached := magistrate.lineage_after(before, taken);
    UPDATE magistrate.revision AS r SET lineage = reached WHERE r.id = 1;
    INSERT INTO magistrate.revision_lineage (revision, lineage) VALUES (taken, reached);
    PERFORM pg_notify('magistrate_revision', taken::text);
    RETURN QUERY SELECT taken, reached;
END $$;

-- Stores a set unless it is stored, and records the migration that makes it live.
CREATE FUNCTION magistrate.apply_policy_set(p_revision bigint, p_set json, p_actor text, p_reason text, p_at bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    d bytea := decode(p_set ->> 'digest', 'hex');
BEGIN
    INSERT INTO magistrate.policy_set (digest, schema) VALUES (d, p_set ->> 'schema') ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO magistrate.policy (set_digest, id, text)
            SELECT d, v ->> 0, v ->> 1 FROM json_array_elements(p_set -> 'policies') AS v;
    END IF;
    INSERT INTO magistrate.policy_migration
            (number, name, base_digest, result_digest, revision, actor, reason, at)
        SELECT coalesce(max(m.number), 0) + 1, p_set ->> 'name',
            (SELECT l.result_digest FROM magistrate.policy_migration l ORDER BY l.number DESC LIMIT 1),
            d, p_revision, p_actor, p_reason, p_at
        FROM magistrate.policy_migration m;
END $$;
