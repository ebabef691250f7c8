-- Locks a stream's watermark and returns it. The row is made first: an insert waits for one that is not yet
-- committed, a read would not see it.
CREATE FUNCTION audit.lock_stream(p_stream bytea) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $lock_stream$
DECLARE
    v_last bigint;
BEGIN
    SELECT s.last_seq INTO v_last FROM audit.stream s WHERE s.stream = p_stream FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit.stream (stream, last_seq) VALUES (p_stream, 0) ON CONFLICT DO NOTHING;
        SELECT s.last_seq INTO v_last FROM audit.stream s WHERE s.stream = p_stream FOR UPDATE;
    END IF;
    RETURN v_last;
END
$lock_stream$;

-- The last place of a stream, NULL if it has none. Waits for whoever is shipping to it.
CREATE FUNCTION audit.last_seq(p_stream bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $last_seq$
BEGIN
    RETURN nullif(audit.lock_stream(p_stream), 0);
END
$last_seq$;

-- Accepts a batch whose places are distinct and ascending, and whose columns are of one length.
CREATE FUNCTION audit.require_batch(p_stream bytea, p_seq bigint[], p_lengths integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_batch$
BEGIN
    IF (array_ndims(p_seq) = 1 AND array_lower(p_seq, 1) = 1 AND cardinality(p_seq) = ALL (p_lengths)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the columns of the batch for stream % are not of one length', encode(p_stream, 'hex')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (
        SELECT FROM unnest(p_seq, p_seq[2:]) AS pair (seq, following)
        WHERE pair.seq IS NULL OR pair.following <= pair.seq
    ) THEN
        RAISE EXCEPTION 'the places in the batch for stream % do not ascend', encode(p_stream, 'hex')
            USING ERRCODE = 'MG002';
    END IF;
END
$require_batch$;

-- Makes sure that each day has its partition. Days long past or far ahead come from a clock that is wrong.
CREATE FUNCTION audit.require_days(p_recorded_at bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_days$
DECLARE
    v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_day date;
BEGIN
    FOR v_day IN
        SELECT DISTINCT DATE '1970-01-01' + floor(r / 86400000000.0)::integer FROM unnest(p_recorded_at) AS r
    LOOP
        IF EXISTS (
            SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhrelid = to_regclass('audit.decision_' || to_char(v_day, 'YYYYMMDD'))
                AND i.inhparent = 'audit.decision'::regclass AND NOT i.inhdetachpending AND c.relkind = 'r'
        ) THEN
            CONTINUE;
        END IF;
        IF v_day NOT BETWEEN v_today - 400 AND v_today + 8 THEN
            RAISE EXCEPTION 'there is no partition for decisions of %, which is not within 400 days before and 8 days '
                'after today, %', v_day, v_today
                USING ERRCODE = 'MG003', HINT = 'correct the clock of the node, or of the database server; for '
                    'decisions that are right and this old, the owner role runs SELECT audit.prepare_day(day)';
        END IF;
        PERFORM audit.prepare_day(v_day);
    END LOOP;
END
$require_days$;

-- Stores the decisions of one stream and returns how many were not stored yet.
--
-- Places up to the watermark must be stored already, with exactly these columns: shipping again is harmless,
-- and no place is ever filled twice, or later. Places above it are stored; they may leave gaps.
CREATE FUNCTION audit.ship(
    p_stream bytea, p_seq bigint[], p_leaf bytea[], p_recorded_at bigint[], p_class text[], p_principal text[],
    p_action text[], p_resource text[], p_decision text[], p_cause text[], p_request_id text[], p_body bytea[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ship$
DECLARE
    v_count integer := cardinality(p_seq);
    v_last bigint;
    v_conflict bigint;
    v_known integer := 0;
    v_stored bigint;
BEGIN
    IF v_count = 0 THEN
        RETURN 0;
    END IF;
    PERFORM audit.require_batch(p_stream, p_seq, ARRAY[
        cardinality(p_leaf), cardinality(p_recorded_at), cardinality(p_class), cardinality(p_principal),
        cardinality(p_action), cardinality(p_resource), cardinality(p_decision), cardinality(p_cause),
        cardinality(p_request_id), cardinality(p_body)]);
    -- What is acknowledged must survive a crash of the server, whatever the session was set to.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    v_last := audit.lock_stream(p_stream);
    IF p_seq[1] <= v_last THEN
        -- Planned for these values, so that it opens the partitions of these days only.
        EXECUTE $known$
            SELECT min(r.seq) FILTER (WHERE s.same IS NULL), count(*)
            FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS r (seq, leaf, recorded_at, class, principal,
                    action, resource, decision, cause, request_id, body)
                LEFT JOIN LATERAL (
                    SELECT true AS same FROM audit.decision d
                    WHERE d.day = DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer
                        AND d.day BETWEEN $14 AND $15
                        AND d.stream = $1 AND d.seq = r.seq
                        AND d.leaf = r.leaf AND d.recorded_at = r.recorded_at AND d.class = r.class
                        AND d.principal = r.principal AND d.action = r.action AND d.resource = r.resource
                        AND d.decision = r.decision AND d.cause = r.cause
                        AND d.request_id IS NOT DISTINCT FROM r.request_id AND d.body = r.body
                    OFFSET 0) s ON true
            WHERE r.seq <= $13
        $known$ INTO v_conflict, v_known
        USING p_stream, p_seq, p_leaf, p_recorded_at, p_class, p_principal, p_action, p_resource, p_decision, p_cause,
            p_request_id, p_body, v_last,
            (SELECT DATE '1970-01-01' + floor(min(r) / 86400000000.0)::integer FROM unnest(p_recorded_at) AS r),
            (SELECT DATE '1970-01-01' + floor(max(r) / 86400000000.0)::integer FROM unnest(p_recorded_at) AS r);
        IF v_conflict IS NOT NULL THEN
            RAISE EXCEPTION 'place % of stream % is not stored as it is shipped', v_conflict, encode(p_stream, 'hex')
                USING ERRCODE = 'MG002', DETAIL = format('places up to %s are taken', v_last);
        END IF;
    END IF;
    IF v_known = v_count THEN
        RETURN 0;
    END IF;
    PERFORM audit.require_days(p_recorded_at[v_known + 1:]);
    INSERT INTO audit.decision (day, stream, seq, leaf, recorded_at, class, principal, action, resource, decision,
        cause, request_id, body)
    SELECT DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer, p_stream, r.*
    FROM unnest(p_seq, p_leaf, p_recorded_at, p_class, p_principal, p_action, p_resource, p_decision, p_cause,
        p_request_id, p_body) AS r (seq, leaf, recorded_at, class, principal, action, resource, decision, cause,
        request_id, body)
    WHERE r.seq > v_last;
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    -- A rule or a trigger that somebody added may have taken rows away.
    IF v_stored <> v_count - v_known THEN
        RAISE EXCEPTION '% of % decisions of stream % were stored', v_stored, v_count - v_known, encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.decision';
    END IF;
    UPDATE audit.stream s SET last_seq = p_seq[v_count] WHERE s.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last place of stream % was not kept', encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.stream';
    END IF;
    RETURN v_stored;
END
$ship$;

REVOKE ALL ON FUNCTION audit.lock_stream, audit.last_seq, audit.require_batch, audit.require_days, audit.ship
    FROM PUBLIC;
