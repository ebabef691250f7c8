-- Retention: days that are taken out of the store, and what keeps them in it.

-- Days that are not to be taken out, from the first to the last; without a last one all to come.
CREATE TABLE audit.hold (
    name      text  COLLATE "C" NOT NULL PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    first_day date  NOT NULL,
    last_day  date  CHECK (last_day >= first_day),
    act       bytea NOT NULL CHECK (octet_length(act) = 16)
);

CREATE TABLE audit.hold_release (
    name text  COLLATE "C" NOT NULL PRIMARY KEY REFERENCES audit.hold (name),
    act  bytea NOT NULL CHECK (octet_length(act) = 16)
);

-- Days that were taken out, once for each time.
CREATE TABLE audit.expiry (
    day     date   NOT NULL,
    act     bytea  NOT NULL PRIMARY KEY CHECK (octet_length(act) = 16),
    records bigint NOT NULL CHECK (records >= 0),
    txid    xid8   NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);

CREATE INDEX expiry_by_day ON audit.expiry (day);

-- The highest place of each stream that was taken out: what is shipped again up to there was stored, and does not come back.
CREATE TABLE audit.expired_place (
    stream   bytea  NOT NULL PRIMARY KEY CHECK (octet_length(stream) = 16),
    last_seq bigint NOT NULL CHECK (last_seq > 0)
);

-- Leaves of records that were taken out and share what covers them with others: those are verified with these.
CREATE TABLE audit.kept_leaf (
    stream bytea  NOT NULL CHECK (octet_length(stream) = 16),
    seq    bigint NOT NULL CHECK (seq > 0),
    leaf   bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    PRIMARY KEY (stream, seq)
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.hold
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.hold_release
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.expiry
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.kept_leaf
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON audit.expired_place
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_return BEFORE UPDATE ON audit.expired_place FOR EACH ROW
    WHEN (NEW.stream <> OLD.stream OR NEW.last_seq < OLD.last_seq)
    EXECUTE FUNCTION audit.refuse_change();

ALTER TABLE audit.hold ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.hold_release ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.expiry ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.kept_leaf ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.expired_place ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.expired_place ENABLE ALWAYS TRIGGER refuse_return;

-- Whether a day is not to be taken out.
CREATE FUNCTION audit.is_held(p_day date) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $is_held$
    SELECT EXISTS (
        SELECT FROM audit.hold h
        WHERE p_day >= h.first_day AND (h.last_day IS NULL OR p_day <= h.last_day)
            AND NOT EXISTS (SELECT FROM audit.hold_release r WHERE r.name = h.name));
$is_held$;

-- A day goes, and is held or released, with an act of that kind; a hold with the newest one, which nothing else was done by.
CREATE FUNCTION audit.refuse_unrecorded() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_unrecorded$
BEGIN
    IF NOT EXISTS (
        SELECT FROM audit.act a
        WHERE a.id = NEW.act AND a.kind = CASE TG_TABLE_NAME WHEN 'expiry' THEN 'retention' ELSE 'hold' END
            AND (TG_TABLE_NAME = 'expiry' OR a.place = (SELECT max(n.place) FROM audit.act n)))
    THEN
        RAISE EXCEPTION 'no act says what is put into audit.%', TG_TABLE_NAME USING ERRCODE = 'MG005';
    END IF;
    RETURN NEW;
END
$refuse_unrecorded$;

-- A day goes when it is over for a whole day, and not while it is held. What is held is read as it is now: a transaction that
-- reads an older state is refused.
CREATE FUNCTION audit.refuse_expiry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_expiry$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR NEW.txid <> pg_current_xact_id() THEN
        RAISE EXCEPTION 'days go in a transaction of their own that is READ COMMITTED' USING ERRCODE = 'MG005';
    END IF;
    IF NEW.day >= (clock_timestamp() AT TIME ZONE 'UTC')::date - 1 THEN
        RAISE EXCEPTION 'the day % is not over for a whole day', NEW.day USING ERRCODE = 'MG005';
    END IF;
    IF audit.is_held(NEW.day) THEN
        RAISE EXCEPTION 'the day % is held', NEW.day
            USING ERRCODE = 'MG005', HINT = 'whoever placed the hold releases it';
    END IF;
    RETURN NEW;
END
$refuse_expiry$;

CREATE TRIGGER refuse_expiry BEFORE INSERT ON audit.expiry FOR EACH ROW
    EXECUTE FUNCTION audit.refuse_expiry();
CREATE TRIGGER refuse_unrecorded BEFORE INSERT ON audit.expiry FOR EACH ROW
    EXECUTE FUNCTION audit.refuse_unrecorded();
CREATE TRIGGER refuse_unrecorded BEFORE INSERT ON audit.hold FOR EACH ROW
    EXECUTE FUNCTION audit.refuse_unrecorded();
CREATE TRIGGER refuse_unrecorded BEFORE INSERT ON audit.hold_release FOR EACH ROW
    EXECUTE FUNCTION audit.refuse_unrecorded();
ALTER TABLE audit.expiry ENABLE ALWAYS TRIGGER refuse_expiry;
ALTER TABLE audit.expiry ENABLE ALWAYS TRIGGER refuse_unrecorded;
ALTER TABLE audit.hold ENABLE ALWAYS TRIGGER refuse_unrecorded;
ALTER TABLE audit.hold_release ENABLE ALWAYS TRIGGER refuse_unrecorded;

-- Holds days, or releases what held them, together with the act that says so.
CREATE FUNCTION audit.hold_days(p_name text, p_first date, p_last date, p_act bytea, p_leaf bytea, p_body bytea)
    RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $hold_days$
BEGIN
    -- Whoever takes out a day meanwhile is waited for.
    LOCK TABLE audit.hold IN SHARE ROW EXCLUSIVE MODE;
    PERFORM audit.record_act(p_act, 'hold', p_leaf, p_body);
    INSERT INTO audit.hold (name, first_day, last_day, act) VALUES (p_name, p_first, p_last, p_act);
END
$hold_days$;

CREATE FUNCTION audit.release_days(p_name text, p_act bytea, p_leaf bytea, p_body bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $release_days$
BEGIN
    LOCK TABLE audit.hold IN SHARE ROW EXCLUSIVE MODE;
    PERFORM audit.record_act(p_act, 'hold', p_leaf, p_body);
    INSERT INTO audit.hold_release (name, act) VALUES (p_name, p_act);
END
$release_days$;

-- Takes the records of a day out, after the acts that say so, and keeps the leaves of those whose places are given.
--
-- Refused are days that are held, that are not over for a whole day, whose records are others than were counted, and such
-- as hold a record that neither lies under a header within the entries that a stored checkpoint of the log covers, nor
-- leaves its leaf.
CREATE FUNCTION audit.expire_day(
    p_day date, p_records bigint, p_act bytea[], p_leaf bytea[], p_body bytea[], p_covered bigint, p_kept_stream bytea[],
    p_kept_seq bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $expire_day$
DECLARE
    v_name text := 'decision_' || to_char(p_day, 'YYYYMMDD');
    v_part regclass := to_regclass(format('audit.%I', v_name));
    v_found bigint;
    v_bare text;
BEGIN
    IF (cardinality(p_act) > 0 AND cardinality(p_act) = ALL (ARRAY[cardinality(p_leaf), cardinality(p_body)])
        AND cardinality(p_kept_stream) = cardinality(p_kept_seq)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'a day is taken out with at least one act, whole' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- What is read under the locks must be what is there then.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'days go in a transaction that is READ COMMITTED' USING ERRCODE = 'MG005';
    END IF;
    IF p_day IS NULL OR p_day >= (clock_timestamp() AT TIME ZONE 'UTC')::date - 1 THEN
        RAISE EXCEPTION 'the day % is not over for a whole day', p_day USING ERRCODE = 'MG005';
    END IF;
    -- What is held from here on is held after this.
    LOCK TABLE audit.hold IN SHARE MODE;
    IF audit.is_held(p_day) THEN
        RAISE EXCEPTION 'the day % is held', p_day
            USING ERRCODE = 'MG005', HINT = 'whoever placed the hold releases it';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_inherits i WHERE i.inhrelid = v_part AND i.inhparent = 'audit.decision'::regclass
            AND NOT i.inhdetachpending)
    THEN
        RAISE EXCEPTION 'there are no records of the day %', p_day USING ERRCODE = 'MG005';
    END IF;
    EXECUTE format('LOCK TABLE audit.%I IN SHARE ROW EXCLUSIVE MODE', v_name);
    EXECUTE format('SELECT count(*) FROM audit.%I', v_name) INTO v_found;
    IF v_found <> p_records THEN
        RAISE EXCEPTION 'there are % records of the day %, not %', v_found, p_day, p_records
            USING ERRCODE = 'MG005', HINT = 'some came meanwhile; try again';
    END IF;
    IF NOT EXISTS (
        SELECT FROM audit.checkpoint c, audit.sequencer s
        WHERE c.origin = 'magistrate/log/' || encode(s.log, 'hex') AND c.size = p_covered)
    THEN
        RAISE EXCEPTION 'no checkpoint of the log that covers % entries is stored', p_covered USING ERRCODE = 'MG005';
    END IF;
    EXECUTE format($kept$
        INSERT INTO audit.kept_leaf (stream, seq, leaf)
        SELECT d.stream, d.seq, d.leaf
        FROM unnest($1, $2) AS k (stream, seq) JOIN audit.%I d ON d.day = $3 AND d.stream = k.stream AND d.seq = k.seq
    $kept$, v_name) USING p_kept_stream, p_kept_seq, p_day;
    EXECUTE format($bare$
        SELECT encode(d.stream, 'hex') || '-' || d.seq
        FROM audit.%I d JOIN (
            SELECT p.stream, coalesce((
                -- The log has the headers of a stream in their order: from the newest on, one of the first is there.
                SELECT h.first_seq + h.count FROM audit.header h
                WHERE h.stream = p.stream AND EXISTS (
                    SELECT FROM audit.log g
                    WHERE g.kind = 'header' AND g.reference = encode(h.stream, 'hex') || '/' || h.number AND g.place < $1)
                ORDER BY h.number DESC LIMIT 1), 0) AS next_seq
            FROM (SELECT DISTINCT stream FROM audit.%1$I) p) covered ON covered.stream = d.stream
        WHERE d.seq >= covered.next_seq
            AND NOT EXISTS (SELECT FROM audit.kept_leaf k WHERE k.stream = d.stream AND k.seq = d.seq)
        LIMIT 1
    $bare$, v_name) INTO v_bare USING p_covered;
    IF v_bare IS NOT NULL THEN
        RAISE EXCEPTION 'no header that the checkpoint covers is over the record %', v_bare USING ERRCODE = 'MG005';
    END IF;
    PERFORM audit.record_act(r.act, 'retention', r.leaf, r.body)
    FROM unnest(p_act, p_leaf, p_body) AS r (act, leaf, body);
    INSERT INTO audit.expiry (day, act, records)
    SELECT p_day, r.act, CASE WHEN r.ordinal = 1 THEN p_records ELSE 0 END
    FROM unnest(p_act) WITH ORDINALITY AS r (act, ordinal);
    EXECUTE format($places$
        INSERT INTO audit.expired_place (stream, last_seq) SELECT d.stream, max(d.seq) FROM audit.%I d GROUP BY d.stream
        ON CONFLICT (stream) DO UPDATE SET last_seq = greatest(audit.expired_place.last_seq, excluded.last_seq)
    $places$, v_name);
    -- So written, strict hardening knows it.
    EXECUTE 'DROP TABLE audit.' || v_name;
END
$expire_day$;

-- A shipment that is made again may hold records that were taken out meanwhile: they were stored, and do not come back.
CREATE OR REPLACE FUNCTION audit.ship(
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
    UPDATE audit.stream s SET last_seq = p_seq[v_count] WHERE s.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last place of stream % was not kept', encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.stream';
    END IF;
    RETURN v_stored;
END
$ship$;

REVOKE ALL ON FUNCTION audit.is_held, audit.refuse_unrecorded, audit.refuse_expiry, audit.hold_days, audit.release_days, audit.expire_day FROM PUBLIC;
