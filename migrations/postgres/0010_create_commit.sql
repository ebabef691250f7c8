-- The only way to change policies, entities and grants. What is written follows from the change log, row by row:
-- a log that tells one thing and rows that say another cannot be committed.

-- Refuses a commit whose log does not tell the truth.
CREATE FUNCTION magistrate.refuse_log(p_what text, p_key text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_log$
BEGIN
    RAISE EXCEPTION 'the change log of % `%` does not tell what is stored', p_what, p_key USING ERRCODE = 'MG004';
END
$refuse_log$;

-- The helpers that are called for every row have no search_path of their own, which would cost more than they do:
-- they are called by functions that have one, and by nobody else.

-- A uid as the change log writes it: Cedar's notation.
CREATE FUNCTION magistrate.uid_text(p_type text, p_id text) RETURNS text
LANGUAGE sql IMMUTABLE AS $uid_text$
    SELECT p_type || '::"' || replace(replace(p_id, '\', '\\'), '"', '\"') || '"'
$uid_text$;

-- An instant as JSON writes it (RFC 3339), in microseconds.
CREATE FUNCTION magistrate.micros(p_instant text) RETURNS bigint
LANGUAGE sql STABLE AS $micros$
    SELECT (extract(epoch FROM p_instant::timestamptz) * 1000000)::bigint
$micros$;

-- What a revision's log says each thing was before it and is since: of several changes of one thing the first
-- `before` and the last `after`. `named` is one of all these, for what names the thing.
CREATE FUNCTION magistrate.logged(p_revision bigint, p_kinds text[])
RETURNS TABLE (key text, named text, before text, after text)
LANGUAGE sql STABLE AS $logged$
    SELECT l.key, (array_agg(coalesce(l.after, l.before)))[1],
        (array_agg(l.before ORDER BY l.ordinal))[1],
        (array_agg(l.after ORDER BY l.ordinal DESC))[1]
    FROM magistrate.change_log l WHERE l.revision = p_revision AND l.kind = ANY (p_kinds)
    GROUP BY l.key
$logged$;

-- An entity is logged as {"attributes":{…},"parents":[…],"uid":{…}}, in this order. The attributes are taken as
-- they stand: functions of JSON refuse a text with an escaped NUL, which an attribute may have and an id may not.
-- Where the parents begin: what looks so within a string has its quotes escaped, so it is the last such place.
CREATE FUNCTION magistrate.parents_at(p_side text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $parents_at$
    SELECT length(p_side) - strpos(reverse(p_side), '[:"stnerap",') - 10
$parents_at$;

CREATE FUNCTION magistrate.attributes_of(p_side text) RETURNS text
LANGUAGE sql IMMUTABLE AS $attributes_of$
    SELECT substr(p_side, 15, greatest(magistrate.parents_at(p_side) - 15, 0))
$attributes_of$;

-- The parents and the uid of a logged entity.
CREATE FUNCTION magistrate.place_of(p_side text) RETURNS json
LANGUAGE sql IMMUTABLE AS $place_of$
    SELECT ('{' || substr(p_side, magistrate.parents_at(p_side) + 1))::json
$place_of$;

-- The name in one side of a logged change, as its key must say it; NULL for another shape.
CREATE FUNCTION magistrate.logged_name(p_kind text, p_side text) RETURNS text
LANGUAGE sql STABLE AS $logged_name$
    SELECT CASE
        WHEN p_kind IN ('entity.put', 'entity.delete') THEN
            CASE WHEN starts_with(p_side, '{"attributes":{') AND json_typeof(magistrate.attributes_of(p_side)::json) = 'object'
                THEN magistrate.uid_text(magistrate.place_of(p_side) #>> '{uid,type}',
                    magistrate.place_of(p_side) #>> '{uid,id}') END
        WHEN p_kind IN ('scope.put', 'scope.delete') THEN p_side::json ->> 'scope'
        WHEN p_kind IN ('grant.add', 'grant.revoke')
            AND (p_side::json -> 'role' IS NULL) <> (p_side::json -> 'scope' IS NULL)
            AND coalesce(p_side::json ->> 'not_before' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$', true)
            AND coalesce(p_side::json ->> 'expires_at' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$',
                p_side::json ->> 'standing' = 'true')
            THEN p_side::json ->> 'id'
        WHEN p_kind = 'policy.apply' THEN p_side::json ->> 'digest'
    END
$logged_name$;

-- Each row of the log is of a shape that its kind has, names what its key says, and finds what the row before
-- it of the same thing has left.
CREATE FUNCTION magistrate.require_log(p_revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_log$
DECLARE
    v_row record;
BEGIN
    SELECT c.kind, c.key INTO v_row FROM (
        SELECT l.kind, l.key, l.before, l.after, lag(l.after) OVER w AS earlier, row_number() OVER w AS n
        FROM magistrate.change_log l WHERE l.revision = p_revision
        WINDOW w AS (PARTITION BY split_part(l.kind, '.', 1), l.key ORDER BY l.ordinal)) c
    WHERE NOT coalesce(CASE c.kind
            WHEN 'entity.put' THEN c.after IS NOT NULL
            WHEN 'entity.delete' THEN c.before IS NOT NULL AND c.after IS NULL
            WHEN 'scope.put' THEN c.after IS NOT NULL
            WHEN 'scope.delete' THEN c.before IS NOT NULL AND c.after IS NULL
            WHEN 'grant.add' THEN c.before IS NULL AND c.after IS NOT NULL
            WHEN 'grant.revoke' THEN c.before IS NOT NULL AND c.after IS NULL
            WHEN 'policy.apply' THEN c.after IS NOT NULL
        END, false)
        OR (c.after IS NOT NULL AND c.key IS DISTINCT FROM magistrate.logged_name(c.kind, c.after))
        OR (c.before IS NOT NULL AND c.kind <> 'policy.apply'
            AND c.key IS DISTINCT FROM magistrate.logged_name(c.kind, c.before))
        OR (c.n > 1 AND c.kind <> 'policy.apply' AND c.before IS DISTINCT FROM c.earlier)
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate.refuse_log(v_row.kind, v_row.key);
    END IF;
END
$require_log$;

-- Entities a revision's log names, and whether they changed.
CREATE FUNCTION magistrate.logged_entities(p_revision bigint)
RETURNS TABLE (key text, type text, id text, changed boolean, before_attributes text, before_parents json,
    after_attributes text, after_parents json)
LANGUAGE sql STABLE AS $logged_entities$
    SELECT l.key, magistrate.place_of(l.named) #>> '{uid,type}', magistrate.place_of(l.named) #>> '{uid,id}',
        l.before IS DISTINCT FROM l.after,
        magistrate.attributes_of(l.before), magistrate.place_of(l.before) -> 'parents',
        magistrate.attributes_of(l.after), magistrate.place_of(l.after) -> 'parents'
    FROM magistrate.logged(p_revision, ARRAY['entity.put', 'entity.delete']) l
$logged_entities$;

CREATE FUNCTION magistrate.write_entities(p_revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $write_entities$
DECLARE
    v_key text;
BEGIN
    -- What was there is what the log says was there.
    SELECT l.key INTO v_key FROM magistrate.logged_entities(p_revision) l
        LEFT JOIN magistrate.entity e ON e.type = l.type AND e.id = l.id AND e.valid_to IS NULL
    WHERE e.attributes IS DISTINCT FROM l.before_attributes
        OR coalesce((SELECT json_agg(json_build_array(p.parent_type, p.parent_id) ORDER BY p.parent_type, p.parent_id)
                FROM magistrate.entity_parent p
                WHERE p.type = l.type AND p.id = l.id AND p.valid_to IS NULL)::text, '[]')
            IS DISTINCT FROM coalesce((SELECT json_agg(json_build_array(v ->> 'type', v ->> 'id')
                ORDER BY (v ->> 'type') COLLATE "C", (v ->> 'id') COLLATE "C")
                FROM json_array_elements(l.before_parents) v)::text, '[]')
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate.refuse_log('entity', v_key);
    END IF;

    UPDATE magistrate.entity e SET valid_to = p_revision FROM magistrate.logged_entities(p_revision) l
    WHERE e.type = l.type AND e.id = l.id AND e.valid_to IS NULL AND l.changed;
    UPDATE magistrate.entity_parent e SET valid_to = p_revision FROM magistrate.logged_entities(p_revision) l
    WHERE e.type = l.type AND e.id = l.id AND e.valid_to IS NULL AND l.changed
        AND NOT EXISTS (SELECT FROM json_array_elements(l.after_parents) v
            WHERE v ->> 'type' = e.parent_type AND v ->> 'id' = e.parent_id);
    INSERT INTO magistrate.entity (type, id, attributes, valid_from)
    SELECT l.type, l.id, l.after_attributes, p_revision FROM magistrate.logged_entities(p_revision) l
    WHERE l.after_attributes IS NOT NULL AND l.changed;
    INSERT INTO magistrate.entity_parent (type, id, parent_type, parent_id, valid_from)
    SELECT l.type, l.id, v ->> 'type', v ->> 'id', p_revision
    FROM magistrate.logged_entities(p_revision) l, json_array_elements(l.after_parents) v
    WHERE l.changed AND NOT EXISTS (SELECT FROM json_array_elements(l.before_parents) b
        WHERE b ->> 'type' = v ->> 'type' AND b ->> 'id' = v ->> 'id');
END
$write_entities$;

CREATE FUNCTION magistrate.write_scopes(p_revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_scopes$
DECLARE
    v_kinds CONSTANT text[] := ARRAY['scope.put', 'scope.delete'];
    v_key text;
BEGIN
    SELECT l.key INTO v_key FROM magistrate.logged(p_revision, v_kinds) l
        LEFT JOIN magistrate.scope s ON s.name = l.key AND s.valid_to IS NULL
    WHERE (s.name, s.action_group, s.description) IS DISTINCT FROM
            (l.before::json ->> 'scope', l.before::json ->> 'action_group', l.before::json ->> 'description')
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate.refuse_log('scope', v_key);
    END IF;
    UPDATE magistrate.scope s SET valid_to = p_revision FROM magistrate.logged(p_revision, v_kinds) l
    WHERE s.name = l.key AND s.valid_to IS NULL AND l.before IS DISTINCT FROM l.after;
    INSERT INTO magistrate.scope (name, action_group, description, valid_from)
    SELECT l.key, l.after::json ->> 'action_group', l.after::json ->> 'description', p_revision
    FROM magistrate.logged(p_revision, v_kinds) l
    WHERE l.after IS NOT NULL AND l.before IS DISTINCT FROM l.after;
END
$write_scopes$;

-- A grant as JSON writes it, as a row.
CREATE FUNCTION magistrate.grant_of(p_grant json) RETURNS magistrate.grant_range
LANGUAGE sql STABLE AS $grant_of$
    SELECT CASE WHEN p_grant IS NOT NULL THEN ROW(
        p_grant ->> 'id', p_grant #>> '{holder,type}', p_grant #>> '{holder,id}',
        p_grant #>> '{role,type}', p_grant #>> '{role,id}',
        p_grant #>> '{resource,type}', p_grant #>> '{resource,id}', p_grant ->> 'scope',
        magistrate.micros(p_grant ->> 'not_before'), magistrate.micros(p_grant ->> 'expires_at'),
        p_grant ->> 'reason', NULL::bigint, NULL::bigint)::magistrate.grant_range END
$grant_of$;

CREATE FUNCTION magistrate.write_grants(p_revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $write_grants$
DECLARE
    v_kinds CONSTANT text[] := ARRAY['grant.add', 'grant.revoke'];
    v_key text;
BEGIN
    SELECT l.key INTO v_key FROM magistrate.logged(p_revision, v_kinds) l
        CROSS JOIN LATERAL magistrate.grant_of(l.before::json) b
        LEFT JOIN magistrate.role_assignment r ON r.id = l.key AND r.valid_to IS NULL
        LEFT JOIN magistrate.scope_assignment s ON s.id = l.key AND s.valid_to IS NULL
    WHERE (l.before IS NULL) <> (r.id IS NULL AND s.id IS NULL)
        OR (r.id IS NOT NULL AND (r.holder_type, r.holder_id, r.role_type, r.role_id, r.resource_type, r.resource_id,
                r.not_before, r.expires_at, r.reason) IS DISTINCT FROM (b.holder_type, b.holder_id, b.role_type,
                b.role_id, b.resource_type, b.resource_id, b.not_before, b.expires_at, b.reason))
        OR (s.id IS NOT NULL AND (s.holder_type, s.holder_id, s.scope, s.not_before, s.expires_at, s.reason)
            IS DISTINCT FROM (b.holder_type, b.holder_id, b.scope, b.not_before, b.expires_at, b.reason))
    LIMIT 1;
    IF FOUND THEN
        PERFORM magistrate.refuse_log('grant', v_key);
    END IF;
    UPDATE magistrate.role_assignment g SET valid_to = p_revision FROM magistrate.logged(p_revision, v_kinds) l
    WHERE g.id = l.key AND g.valid_to IS NULL AND l.before IS DISTINCT FROM l.after;
    UPDATE magistrate.scope_assignment g SET valid_to = p_revision FROM magistrate.logged(p_revision, v_kinds) l
    WHERE g.id = l.key AND g.valid_to IS NULL AND l.before IS DISTINCT FROM l.after;
    INSERT INTO magistrate.role_assignment (id, holder_type, holder_id, role_type, role_id, resource_type, resource_id,
        not_before, expires_at, reason, valid_from)
    SELECT g.id, g.holder_type, g.holder_id, g.role_type, g.role_id, g.resource_type, g.resource_id,
        g.not_before, g.expires_at, g.reason, p_revision
    FROM magistrate.logged(p_revision, v_kinds) l CROSS JOIN LATERAL magistrate.grant_of(l.after::json) g
    WHERE g.role_type IS NOT NULL AND l.before IS DISTINCT FROM l.after;
    INSERT INTO magistrate.scope_assignment (id, holder_type, holder_id, scope, not_before, expires_at, reason,
        valid_from)
    SELECT g.id, g.holder_type, g.holder_id, g.scope, g.not_before, g.expires_at, g.reason, p_revision
    FROM magistrate.logged(p_revision, v_kinds) l CROSS JOIN LATERAL magistrate.grant_of(l.after::json) g
    WHERE g.scope IS NOT NULL AND l.before IS DISTINCT FROM l.after;
END
$write_grants$;

-- Stores each set of `[{"digest", "schema", "name", "policies": [[id, text]…]}…]` unless one of this digest is
-- stored, and the migration that makes it live; its number and what it is based on follow from those before it.
-- The sets are those the log names, in its order.
CREATE FUNCTION magistrate.write_policy_sets(
    p_revision bigint, p_sets json, p_actor text, p_reason text, p_at bigint
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write_policy_sets$
DECLARE
    v_set json;
    v_digest bytea;
    v_live text := (SELECT encode(m.result_digest, 'hex') FROM magistrate.policy_migration m
        ORDER BY m.number DESC LIMIT 1);
    v_logged record;
    v_left integer := coalesce(json_array_length(p_sets), 0);
BEGIN
    FOR v_logged IN
        SELECT l.key, l.before::json ->> 'digest' AS before, l.after::json ->> 'digest' AS digest,
            l.after::json ->> 'migration' AS name, row_number() OVER (ORDER BY l.ordinal)::integer - 1 AS n
        FROM magistrate.change_log l WHERE l.revision = p_revision AND l.kind = 'policy.apply' ORDER BY l.ordinal
    LOOP
        v_set := p_sets -> v_logged.n;
        IF v_logged.before IS DISTINCT FROM v_live OR v_logged.key IS DISTINCT FROM v_logged.digest
            OR v_set ->> 'digest' IS DISTINCT FROM v_logged.key OR v_set ->> 'name' IS DISTINCT FROM v_logged.name
        THEN
            PERFORM magistrate.refuse_log('policy set', v_logged.key);
        END IF;
        v_live := v_logged.key;
        v_left := v_left - 1;
        v_digest := decode(v_logged.key, 'hex');
        INSERT INTO magistrate.policy_set (digest, schema) VALUES (v_digest, v_set ->> 'schema')
        ON CONFLICT (digest) DO NOTHING;
        IF FOUND THEN
            INSERT INTO magistrate.policy (set_digest, id, text)
            SELECT v_digest, value ->> 0, value ->> 1 FROM json_array_elements(v_set -> 'policies');
        END IF;
        INSERT INTO magistrate.policy_migration (number, name, base_digest, result_digest,
            revision, actor, reason, at)
        SELECT coalesce(max(m.number), 0) + 1, v_logged.name,
            (SELECT b.result_digest FROM magistrate.policy_migration b ORDER BY b.number DESC LIMIT 1),
            v_digest, p_revision, p_actor, p_reason, p_at
        FROM magistrate.policy_migration m;
    END LOOP;
    IF v_left <> 0 THEN
        PERFORM magistrate.refuse_log('policy set', p_sets -> -1 ->> 'digest');
    END IF;
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
        || coalesce(decode('01', 'hex') || magistrate.lineage_text(l.before), decode('00', 'hex'))
        || coalesce(decode('01', 'hex') || magistrate.lineage_text(l.after), decode('00', 'hex'))
        || magistrate.lineage_text(l.actor) || magistrate.lineage_text(l.reason) || int8send(l.at),
        decode('', 'hex') ORDER BY l.ordinal), decode('', 'hex')))
    FROM magistrate.change_log l WHERE l.revision = p_revision
$lineage_after$;

-- One revision, made of its log; the texts of the policy sets it applies come beside it. Refused with MG001, whose
-- detail is the revision found, when the store is not at `p_base`; with MG004 when the log is not true.
CREATE FUNCTION magistrate.commit(
    p_base bigint, p_log json, p_policy_sets json, p_actor text, p_reason text, p_at bigint
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
    INSERT INTO magistrate.change_log (revision, ordinal, kind, key, before, after, actor, reason, at)
    SELECT v_revision, (value ->> 0)::integer, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        p_actor, p_reason, p_at
    FROM json_array_elements(p_log);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows = 0 OR v_rows <> (SELECT max((value ->> 0)::integer) + 1 FROM json_array_elements(p_log)) THEN
        RAISE EXCEPTION 'a revision has changes, numbered from 0' USING ERRCODE = 'MG004';
    END IF;
    -- What the program itself would not read again: who and why are texts, when is between the years 1 and 9999.
    IF (octet_length(p_actor) BETWEEN 1 AND 128 AND octet_length(p_reason) BETWEEN 1 AND 500
        AND p_at BETWEEN -62135596800000000 AND 253402300799999999) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'a revision tells who made it, why and when' USING ERRCODE = 'MG004';
    END IF;
    PERFORM magistrate.require_log(v_revision);
    PERFORM magistrate.write_entities(v_revision);
    PERFORM magistrate.write_scopes(v_revision);
    PERFORM magistrate.write_grants(v_revision);
    PERFORM magistrate.write_policy_sets(v_revision, p_policy_sets, p_actor, p_reason, p_at);
    v_lineage := magistrate.lineage_after(v_lineage, v_revision);
    UPDATE magistrate.revision r SET lineage = v_lineage WHERE r.id = 1;
    INSERT INTO magistrate.revision_lineage (revision, lineage) VALUES (v_revision, v_lineage);
    PERFORM pg_notify('magistrate_revision', v_revision::text);
    RETURN QUERY SELECT v_revision, v_lineage;
END
$commit$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA magistrate FROM PUBLIC;
