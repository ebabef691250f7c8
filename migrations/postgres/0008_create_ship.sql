-- Makes the partition of a day, with its triggers, unless it is there. Attaching takes a weaker lock on the
-- whole than creating a partition of it does: appends and readers go on. Waits at most 2 s for its locks.
CREATE FUNCTION audit.prepare_day(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    name text := 'decision_' || to_char(p_day, 'YYYYMMDD');
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF to_regclass('audit.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF p_day NOT BETWEEN today - 400 AND today + 8 THEN
        RAISE EXCEPTION 'there is no partition for %, and none is made so far from today', p_day
            USING ERRCODE = 'MG003', HINT = 'Look at the clock of the node that recorded it.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('magistrate.prepare_day'));
    IF to_regclass('audit.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE audit.%I (LIKE audit.decision INCLUDING ALL)', name);
    EXECUTE format('CREATE TRIGGER decision_is_final BEFORE UPDATE OR DELETE ON audit.%I
        FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()', name);
    EXECUTE format('CREATE TRIGGER decision_is_whole BEFORE TRUNCATE ON audit.%I
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER decision_is_final', name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER decision_is_whole', name);
    EXECUTE format('ALTER TABLE audit.decision ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
        name, p_day, p_day + 1);
    RETURN true;
END $$;

-- Makes the partitions from yesterday to so many days ahead; returns how many were missing.
CREATE FUNCTION audit.prepare_days(p_ahead integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    made integer := 0;
BEGIN
    FOR n IN -1 .. least(p_ahead, 8) LOOP
        made := made + audit.prepare_day(today + n)::integer;
    END LOOP;
    RETURN made;
END $$;

-- Appends records of one stream, in the order of their places; returns how many were new. A record that is
-- there already must be there exactly so; a place that was passed over stays empty.
CREATE FUNCTION audit.ship(
    p_stream bytea, p_seq bigint[], p_leaf bytea[], p_recorded_at bigint[], p_class text[], p_principal text[],
    p_action text[], p_resource text[], p_decision text[], p_cause text[], p_request_id text[], p_body bytea[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
    highest bigint := p_seq[array_length(p_seq, 1)];
    same bigint;
    shipped bigint := 0;
    new_from integer := 1;
    missing date;
BEGIN
    IF highest IS NULL THEN
        RETURN 0;
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT s.last_seq INTO last FROM audit.stream s WHERE s.stream = p_stream FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit.stream (stream, last_seq) VALUES (p_stream, 0) ON CONFLICT DO NOTHING;
        SELECT s.last_seq INTO last FROM audit.stream s WHERE s.stream = p_stream FOR UPDATE;
    END IF;
    IF EXISTS (
        SELECT 1 FROM (SELECT s.seq, lag(s.seq) OVER (ORDER BY s.n) AS earlier
            FROM unnest(p_seq) WITH ORDINALITY AS s (seq, n)) AS o
        WHERE o.seq IS NULL OR o.seq <= o.earlier
    ) THEN
        RAISE EXCEPTION 'the places of a batch do not ascend' USING ERRCODE = 'MG002';
    END IF;

    IF p_seq[1] <= last THEN
        SELECT count(*) INTO new_from FROM unnest(p_seq) AS s WHERE s <= last;
        SELECT count(*) INTO same
        FROM unnest(p_seq, p_leaf, p_recorded_at, p_class, p_principal, p_action, p_resource, p_decision, p_cause,
                p_request_id, p_body)
            AS n (seq, leaf, recorded_at, class, principal, action, resource, decision, cause, request_id, body)
        JOIN audit.decision d ON d.day = audit.day_of(n.recorded_at) AND d.stream = p_stream AND d.seq = n.seq
        WHERE n.seq <= last AND d.leaf = n.leaf AND d.recorded_at = n.recorded_at AND d.class = n.class
            AND d.principal = n.principal AND d.action = n.action AND d.resource = n.resource
            AND d.decision = n.decision AND d.cause = n.cause
            AND d.request_id IS NOT DISTINCT FROM n.request_id AND d.body = n.body;
        IF same <> new_from THEN
            RAISE EXCEPTION 'the stream % has other records up to % than are shipped', encode(p_stream, 'hex'), last
                USING ERRCODE = 'MG002';
        END IF;
        new_from := new_from + 1;
    END IF;

    IF highest > last THEN
        -- Partitions are made ahead of time; a record that comes late, or early, makes its own.
        FOR missing IN SELECT DISTINCT audit.day_of(r) FROM unnest(p_recorded_at[new_from:]) AS r LOOP
            IF to_regclass('audit.decision_' || to_char(missing, 'YYYYMMDD')) IS NULL THEN
                PERFORM audit.prepare_day(missing);
            END IF;
        END LOOP;
        INSERT INTO audit.decision (day, stream, seq, leaf, recorded_at, class, principal, action, resource,
                decision, cause, request_id, body)
            SELECT audit.day_of(n.recorded_at), p_stream, n.seq, n.leaf, n.recorded_at, n.class, n.principal,
                n.action, n.resource, n.decision, n.cause, n.request_id, n.body
            FROM unnest(p_seq[new_from:], p_leaf[new_from:], p_recorded_at[new_from:], p_class[new_from:],
                    p_principal[new_from:], p_action[new_from:], p_resource[new_from:], p_decision[new_from:],
                    p_cause[new_from:], p_request_id[new_from:], p_body[new_from:])
                AS n (seq, leaf, recorded_at, class, principal, action, resource, decision, cause, request_id, body);
        GET DIAGNOSTICS shipped = ROW_COUNT;
        UPDATE audit.stream AS s SET last_seq = highest WHERE s.stream = p_stream;
    END IF;
    RETURN shipped;
END $$;

-- The last place of a stream. Waits for a commit under way, so that the answer is the end of it.
CREATE FUNCTION audit.last_seq(p_stream bytea) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$ SELECT nullif(s.last_seq, 0) FROM audit.stream s WHERE s.stream = p_stream FOR UPDATE $$;
