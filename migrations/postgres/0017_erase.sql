-- Private values of decisions, beside the records that commit to them: here they can be erased.

CREATE TABLE audit.opening (
    day    date   NOT NULL,
    stream bytea  NOT NULL CHECK (octet_length(stream) = 16),
    seq    bigint NOT NULL CHECK (seq > 0),
    body   bytea  NOT NULL,
    PRIMARY KEY (day, stream, seq)
);

-- Acts that erased, each once.
CREATE TABLE audit.erasure (
    act       bytea  NOT NULL PRIMARY KEY REFERENCES audit.act (id),
    decisions bigint NOT NULL CHECK (decisions > 0),
    txid      xid8   NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);

CREATE INDEX erasure_by_txid ON audit.erasure (txid);
CREATE INDEX expiry_by_txid ON audit.expiry (txid);

-- Values go in the transaction that says so: one that erases them, or takes out their day.
CREATE FUNCTION audit.refuse_untold() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_untold$
BEGIN
    IF TG_OP = 'DELETE' AND (
        EXISTS (SELECT FROM audit.erasure e WHERE e.txid = pg_current_xact_id())
        OR EXISTS (SELECT FROM audit.expiry e WHERE e.txid = pg_current_xact_id()))
    THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% on audit.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', DETAIL = 'private values go with an act that says so';
END
$refuse_untold$;

-- An act erases in the transaction in which it is recorded.
CREATE FUNCTION audit.refuse_erasure() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_erasure$
BEGIN
    IF NEW.txid <> pg_current_xact_id() OR NOT EXISTS (
        SELECT FROM audit.act a
        WHERE a.id = NEW.act AND a.kind = 'erasure' AND a.place = (SELECT max(n.place) FROM audit.act n))
    THEN
        RAISE EXCEPTION 'no act says that private values are erased' USING ERRCODE = 'MG005';
    END IF;
    RETURN NEW;
END
$refuse_erasure$;

-- Not while their day is held: whoever erases them. Asked once for each day.
CREATE FUNCTION audit.refuse_held() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_held$
DECLARE
    v_day date;
BEGIN
    SELECT min(d.day) INTO v_day FROM (SELECT DISTINCT g.day FROM gone g) d WHERE audit.is_held(d.day);
    IF v_day IS NOT NULL THEN
        RAISE EXCEPTION 'the day % is held', v_day
            USING ERRCODE = 'MG005', HINT = 'whoever placed the hold releases it';
    END IF;
    RETURN NULL;
END
$refuse_held$;

-- The values of a day go with its records.
CREATE FUNCTION audit.take_openings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $take_openings$
BEGIN
    DELETE FROM audit.opening o WHERE o.day = NEW.day;
    RETURN NULL;
END
$take_openings$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.opening
    EXECUTE FUNCTION audit.refuse_untold();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.erasure
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_held AFTER DELETE ON audit.opening REFERENCING OLD TABLE AS gone
    EXECUTE FUNCTION audit.refuse_held();
CREATE TRIGGER refuse_erasure BEFORE INSERT ON audit.erasure FOR EACH ROW
    EXECUTE FUNCTION audit.refuse_erasure();
CREATE TRIGGER take_openings AFTER INSERT ON audit.expiry FOR EACH ROW
    EXECUTE FUNCTION audit.take_openings();

ALTER TABLE audit.opening ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.opening ENABLE ALWAYS TRIGGER refuse_held;
ALTER TABLE audit.erasure ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.erasure ENABLE ALWAYS TRIGGER refuse_erasure;
ALTER TABLE audit.expiry ENABLE ALWAYS TRIGGER take_openings;

-- Stores private values with their records. A record that is there already keeps what it has: values that were erased
-- meanwhile do not come back.
DROP FUNCTION audit.ship;

CREATE FUNCTION audit.ship(
    p_stream bytea, p_seq bigint[], p_leaf bytea[], p_recorded_at bigint[], p_class text[], p_principal text[],
    p_action text[], p_resource text[], p_decision text[], p_cause text[], p_request_id text[], p_body bytea[],
    p_opening bytea[] DEFAULT NULL
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
        cardinality(p_request_id), cardinality(p_body), coalesce(cardinality(p_opening), v_count)]);
    -- What is acknowledged must survive a crash of the server, whatever the session was set to.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    v_last := audit.lock_stream(p_stream);
    IF p_seq[1] <= v_last THEN
        -- Planned for these values, so that it opens the partitions of these days only.
        EXECUTE $known$
            SELECT min(r.seq) FILTER (WHERE s.same IS NULL AND NOT (
                    EXISTS (
                        SELECT FROM audit.expiry e
                        WHERE e.day = DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer)
                    AND EXISTS (SELECT FROM audit.expired_place p WHERE p.stream = $1 AND p.last_seq >= r.seq)
                    AND NOT EXISTS (SELECT FROM audit.decision o WHERE o.stream = $1 AND o.seq = r.seq))), count(*)
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
    INSERT INTO audit.opening (day, stream, seq, body)
    SELECT DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer, p_stream, r.seq, r.opening
    FROM unnest(p_seq, p_recorded_at, p_opening) AS r (seq, recorded_at, opening)
    WHERE r.seq > v_last AND r.opening IS NOT NULL;
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    IF v_stored <> (SELECT count(r.opening) FROM unnest(p_seq, p_opening) AS r (seq, opening) WHERE r.seq > v_last) THEN
        RAISE EXCEPTION 'the private values of decisions of stream % were not all stored', encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.opening';
    END IF;
    UPDATE audit.stream s SET last_seq = p_seq[v_count] WHERE s.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last place of stream % was not kept', encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.stream';
    END IF;
    RETURN v_count - v_known;
END
$ship$;

-- How many decisions have private values, of a principal, on a resource and within a time, as far as these are given; and
-- how many of them lie in days that are held.
CREATE FUNCTION audit.count_erasable(p_principal text, p_resource text, p_since bigint, p_until bigint)
    RETURNS TABLE (erasable bigint, held bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $count_erasable$
BEGIN
    -- Planned for these values.
    RETURN QUERY EXECUTE $count$
        SELECT count(*) FILTER (WHERE NOT h.held), count(*) FILTER (WHERE h.held)
        FROM audit.decision d JOIN audit.opening o ON o.day = d.day AND o.stream = d.stream AND o.seq = d.seq
            CROSS JOIN LATERAL (SELECT audit.is_held(d.day) AS held OFFSET 0) h
        WHERE ($1 IS NULL OR d.principal = $1 AND hashtextextended(d.principal, 0) = hashtextextended($1 COLLATE "C", 0))
            AND ($2 IS NULL OR d.resource = $2 AND hashtextextended(d.resource, 0) = hashtextextended($2 COLLATE "C", 0))
            AND ($3 IS NULL OR d.recorded_at >= $3 AND d.day >= DATE '1970-01-01' + floor($3 / 86400000000.0)::integer)
            AND ($4 IS NULL OR d.recorded_at < $4 AND d.day <= DATE '1970-01-01' + floor($4 / 86400000000.0)::integer)
    $count$ USING p_principal, p_resource, p_since, p_until;
END
$count_erasable$;

-- Places of such decisions, but for those in days that are held, at most so many.
CREATE FUNCTION audit.erasable(p_principal text, p_resource text, p_since bigint, p_until bigint, p_limit bigint)
    RETURNS TABLE (day date, stream bytea, seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $erasable$
BEGIN
    RETURN QUERY EXECUTE $places$
        SELECT d.day, d.stream, d.seq
        FROM audit.decision d JOIN audit.opening o ON o.day = d.day AND o.stream = d.stream AND o.seq = d.seq
        WHERE ($1 IS NULL OR d.principal = $1 AND hashtextextended(d.principal, 0) = hashtextextended($1 COLLATE "C", 0))
            AND ($2 IS NULL OR d.resource = $2 AND hashtextextended(d.resource, 0) = hashtextextended($2 COLLATE "C", 0))
            AND ($3 IS NULL OR d.recorded_at >= $3 AND d.day >= DATE '1970-01-01' + floor($3 / 86400000000.0)::integer)
            AND ($4 IS NULL OR d.recorded_at < $4 AND d.day <= DATE '1970-01-01' + floor($4 / 86400000000.0)::integer)
            AND NOT audit.is_held(d.day)
        LIMIT $5
    $places$ USING p_principal, p_resource, p_since, p_until, p_limit;
END
$erasable$;

-- Records the act, then erases the private values of these decisions: all of them or none. Refused are places in days that
-- are held, and such as have none.
CREATE FUNCTION audit.erase(
    p_act bytea, p_leaf bytea, p_body bytea, p_day date[], p_stream bytea[], p_seq bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $erase$
DECLARE
    v_day date;
    v_gone bigint;
BEGIN
    IF (cardinality(p_seq) BETWEEN 1 AND 10000
        AND cardinality(p_seq) = ALL (ARRAY[cardinality(p_day), cardinality(p_stream)])) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the values of 1 to 10000 decisions are erased at a time'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- What is read under the lock must be what is there then.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'values are erased in a transaction that is READ COMMITTED' USING ERRCODE = 'MG005';
    END IF;
    -- What is held from here on is held after this.
    LOCK TABLE audit.hold IN SHARE MODE;
    SELECT min(d) INTO v_day FROM (SELECT DISTINCT unnest(p_day) AS d) days WHERE audit.is_held(d);
    IF v_day IS NOT NULL THEN
        RAISE EXCEPTION 'the day % is held', v_day
            USING ERRCODE = 'MG005', HINT = 'whoever placed the hold releases it';
    END IF;
    PERFORM audit.record_act(p_act, 'erasure', p_leaf, p_body);
    INSERT INTO audit.erasure (act, decisions) VALUES (p_act, cardinality(p_seq));
    DELETE FROM audit.opening o USING unnest(p_day, p_stream, p_seq) AS r (day, stream, seq)
    WHERE o.day = r.day AND o.stream = r.stream AND o.seq = r.seq;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    IF v_gone <> cardinality(p_seq) THEN
        RAISE EXCEPTION 'the private values of % of % decisions are there', v_gone, cardinality(p_seq)
            USING ERRCODE = 'MG005', HINT = 'somebody else erased some; try again';
    END IF;
END
$erase$;

REVOKE ALL ON FUNCTION audit.ship, audit.count_erasable, audit.erasable, audit.erase, audit.refuse_untold,
    audit.refuse_erasure, audit.refuse_held, audit.take_openings FROM PUBLIC;
