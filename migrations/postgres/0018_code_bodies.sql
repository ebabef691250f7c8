-- Smaller decisions: bodies are coded by dictionaries, names of a few are letters, columns lie without gaps, and indexes hold
-- instants in steps, so that entries of one step share a key.
--
-- What this leaves out it does not lose: `audit.plain` gives back the canonical bytes, the leaf beside them is over these,
-- and whoever reads a record compares it with every column as before.
--
-- Every row is written anew, into tables of the same names and in one transaction: while it runs, nobody reads or ships, and
-- there must be room for all decisions twice, and for as much write-ahead log. It takes some 30 locks a day that is stored:
-- where `max_locks_per_transaction` does not allow them it says so before anything else. Rows from before keep their bodies as
-- they are; those that are shipped from now on are coded.

DO $room$
DECLARE
    v_days bigint := (SELECT count(*) FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'audit.decision'::regclass);
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint);
BEGIN
    IF v_days * 30 > v_locks THEN
        RAISE EXCEPTION 'there are % days of decisions, and % locks for all transactions are too few to write them anew',
            v_days, v_locks
            USING ERRCODE = 'configuration_limit_exceeded', HINT = format(
                'set max_locks_per_transaction to %s or more, restart the server, and migrate again',
                v_days * 30 * current_setting('max_locks_per_transaction')::bigint / v_locks + 1);
    END IF;
END
$room$;

-- Bytes that records of a day are coded by: what others like them said. They tell as much as records do, and go with their day.
CREATE TABLE audit.dictionary (
    id   integer NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    day  date    NOT NULL,
    body bytea   NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 8192)
);

CREATE INDEX dictionary_by_day ON audit.dictionary (day);

-- A dictionary goes in the transaction that takes its day out.
CREATE FUNCTION audit.refuse_unexpired() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_unexpired$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM audit.expiry e WHERE e.txid = pg_current_xact_id()) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% on audit.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', DETAIL = 'records are coded by it';
END
$refuse_unexpired$;

CREATE FUNCTION audit.take_dictionaries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $take_dictionaries$
BEGIN
    DELETE FROM audit.dictionary d WHERE d.day = NEW.day;
    RETURN NULL;
END
$take_dictionaries$;

-- That it is out, nobody holds it, and it was this transaction, is looked at when the transaction ends, of each dictionary:
-- whoever takes out one day takes no dictionary of another one.
CREATE FUNCTION audit.require_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $require_gone$
BEGIN
    IF NOT EXISTS (SELECT FROM audit.expiry e WHERE e.day = OLD.day AND e.txid = pg_current_xact_id())
        OR audit.is_held(OLD.day)
        OR to_regclass('audit.decision_' || to_char(OLD.day, 'YYYYMMDD')) IS NOT NULL
    THEN
        RAISE EXCEPTION 'DELETE on audit.dictionary is refused'
            USING ERRCODE = 'insufficient_privilege', DETAIL = format('records of %s are coded by it', OLD.day);
    END IF;
    RETURN NULL;
END
$require_gone$;

CREATE CONSTRAINT TRIGGER require_gone AFTER DELETE ON audit.dictionary DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION audit.require_gone();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.dictionary
    EXECUTE FUNCTION audit.refuse_unexpired();
CREATE TRIGGER take_dictionaries AFTER INSERT ON audit.expiry FOR EACH ROW
    EXECUTE FUNCTION audit.take_dictionaries();
ALTER TABLE audit.dictionary ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.dictionary ENABLE ALWAYS TRIGGER require_gone;
ALTER TABLE audit.expiry ENABLE ALWAYS TRIGGER take_dictionaries;

-- Keeps a dictionary for records of a day, and returns its id; NULL where none is kept, since the day was taken out, or no
-- partition is made for it: what was taken out leaves nothing behind.
CREATE FUNCTION audit.keep_dictionary(p_day date, p_body bytea) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_dictionary$
DECLARE
    v_id integer;
BEGIN
    IF EXISTS (SELECT FROM audit.expiry e WHERE e.day = p_day) THEN
        RETURN NULL;
    END IF;
    BEGIN
        PERFORM audit.require_days(ARRAY[(p_day - DATE '1970-01-01')::bigint * 86400000000]);
        -- Whoever takes the day out waits until this is committed, or has taken it out.
        EXECUTE format('LOCK TABLE audit.%I IN ROW EXCLUSIVE MODE', 'decision_' || to_char(p_day, 'YYYYMMDD'));
    EXCEPTION WHEN undefined_table OR SQLSTATE 'MG003' THEN
        RETURN NULL;
    END;
    INSERT INTO audit.dictionary (day, body) VALUES (p_day, p_body) RETURNING id INTO v_id;
    RETURN v_id;
END
$keep_dictionary$;

-- The canonical bytes of a record; NULL where they cannot be had, of what was altered. Coded are steps: how many bytes are new;
-- these bytes; how many are copied; and from how far behind the place in the dictionary where the copy before would have gone
-- on, had the new bytes been there as well. The last step may end with its new bytes. Numbers are in groups of seven bits, the
-- lowest first; a distance is doubled, or where it is before that place doubled and one less than its opposite.
CREATE FUNCTION audit.plain(p_dictionary integer, p_body bytea) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $plain$
DECLARE
    v_dictionary bytea;
    v_plain bytea := '';
    v_size integer := octet_length(p_body);
    v_at integer := 0;
    v_from integer := 0;
    v_step integer[];
    v_number integer;
    v_byte integer;
    v_shift integer;
BEGIN
    IF p_dictionary = 0 THEN
        RETURN p_body;
    END IF;
    SELECT d.body INTO v_dictionary FROM audit.dictionary d WHERE d.id = p_dictionary;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WHILE v_at < v_size LOOP
        v_step := '{}';
        FOR v_part IN 1..3 LOOP
            v_number := 0;
            v_shift := 0;
            LOOP
                v_byte := get_byte(p_body, v_at);
                v_at := v_at + 1;
                v_number := v_number | ((v_byte & 127) << v_shift);
                EXIT WHEN v_byte < 128;
                v_shift := v_shift + 7;
                IF v_shift > 21 THEN
                    RETURN NULL;
                END IF;
            END LOOP;
            v_step := v_step || v_number;
            IF v_part = 1 THEN
                IF v_at + v_number > v_size THEN
                    RETURN NULL;
                END IF;
                v_plain := v_plain || substr(p_body, v_at + 1, v_number);
                v_at := v_at + v_number;
                EXIT WHEN v_at >= v_size;
            END IF;
        END LOOP;
        EXIT WHEN cardinality(v_step) < 3;
        v_from := v_from + v_step[1] + ((v_step[3] >> 1) # -(v_step[3] & 1));
        IF v_from < 0 OR v_from + v_step[2] > octet_length(v_dictionary) OR octet_length(v_plain) > 16777216 THEN
            RETURN NULL;
        END IF;
        v_plain := v_plain || substr(v_dictionary, v_from + 1, v_step[2]);
        v_from := v_from + v_step[2];
    END LOOP;
    RETURN v_plain;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$plain$;

-- The letter that the column holds for the name of a class, of a decision, of a cause; NULL for any other name.
CREATE FUNCTION audit.class_letter(p_name text) RETURNS "char"
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $class_letter$
    SELECT CASE p_name WHEN 'process' THEN 'p' WHEN 'disk' THEN 'd' WHEN 'database' THEN 'b' END::"char";
$class_letter$;

CREATE FUNCTION audit.decision_letter(p_name text) RETURNS "char"
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $decision_letter$
    SELECT CASE p_name WHEN 'allow' THEN 'a' WHEN 'deny' THEN 'd' END::"char";
$decision_letter$;

CREATE FUNCTION audit.cause_letter(p_name text) RETURNS "char"
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $cause_letter$
    SELECT CASE p_name
        WHEN 'permitted' THEN 'p' WHEN 'forbidden' THEN 'f' WHEN 'no_permit' THEN 'n' WHEN 'forbid_errored' THEN 'e'
        WHEN 'unknown_principal' THEN 'P' WHEN 'unknown_resource' THEN 'R' WHEN 'unknown_entity' THEN 'E'
        WHEN 'scope_ceiling' THEN 's' END::"char";
$cause_letter$;

-- The table of decisions anew: as 0007 has it, but that columns of a fixed size come first, class, decision and cause are
-- letters, and an absent request id is the empty text. `dictionary` says what the body is coded by, 0 that it is not.
DROP VIEW audit.decision_readable;
ALTER TABLE audit.decision RENAME TO decision_before;
ALTER TABLE audit.decision_before RENAME CONSTRAINT decision_pkey TO decision_before_pkey;
DROP INDEX audit.decision_by_time;
DROP INDEX audit.decision_by_principal;
DROP INDEX audit.decision_by_resource;

CREATE TABLE audit.decision (
    seq         bigint  NOT NULL CHECK (seq > 0),
    recorded_at bigint  NOT NULL,
    day         date    NOT NULL,
    dictionary  integer NOT NULL,
    class       "char"  NOT NULL CHECK (class IN ('p', 'd', 'b')),
    decision    "char"  NOT NULL CHECK (decision IN ('a', 'd')),
    cause       "char"  NOT NULL,
    stream      bytea   NOT NULL CHECK (octet_length(stream) = 16),
    leaf        bytea   NOT NULL CHECK (octet_length(leaf) = 32),
    principal   text    COLLATE "C" NOT NULL,
    action      text    COLLATE "C" NOT NULL,
    resource    text    COLLATE "C" NOT NULL,
    request_id  text    COLLATE "C" NOT NULL,
    body        bytea   NOT NULL,
    PRIMARY KEY (day, stream, seq) WITH (fillfactor = 100),
    -- The UTC day of the instant, in microseconds, rounded down.
    CONSTRAINT decision_day_is_of_instant CHECK (
        (day - DATE '1970-01-01')::bigint * 86400000000 <= recorded_at
        AND recorded_at < ((day - DATE '1970-01-01')::bigint + 1) * 86400000000)
) PARTITION BY RANGE (day);

-- An instant within its day, in steps of 10 ms: records of one step share a key, and are put into order when they are read.
CREATE INDEX decision_by_time ON audit.decision
    (day, (((recorded_at - (day - DATE '1970-01-01')::bigint * 86400000000) / 10000)::integer)) WITH (fillfactor = 100);
-- In steps of a second, of a name's hash: the one that hash indexes rely on.
CREATE INDEX decision_by_principal ON audit.decision (hashtext(principal), day,
    (((recorded_at - (day - DATE '1970-01-01')::bigint * 86400000000) / 1000000)::integer));
CREATE INDEX decision_by_resource ON audit.decision (hashtext(resource), day,
    (((recorded_at - (day - DATE '1970-01-01')::bigint * 86400000000) / 1000000)::integer));

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.decision
    EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.decision ENABLE ALWAYS TRIGGER refuse_change;

-- A cause that is none, and a request id that is the empty text, were altered before, and are found to be afterwards.
DO $carry_over$
DECLARE
    v_name text;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit.decision_before'::regclass ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE audit.%I RENAME TO decision_moved', v_name);
        PERFORM audit.prepare_day(to_date(substr(v_name, 10), 'YYYYMMDD'));
        EXECUTE format($move$
            INSERT INTO audit.%I (seq, recorded_at, day, dictionary, class, decision, cause, stream, leaf, principal,
                action, resource, request_id, body)
            SELECT seq, recorded_at, day, 0, audit.class_letter(class), audit.decision_letter(decision),
                coalesce(audit.cause_letter(cause), '?'),
                stream, leaf, principal, action, resource, CASE request_id WHEN '' THEN ' ' ELSE coalesce(request_id, '') END, body
            FROM audit.decision_moved
        $move$, v_name);
        DROP TABLE audit.decision_moved;
    END LOOP;
END
$carry_over$;

DROP TABLE audit.decision_before;

CREATE VIEW audit.decision_readable AS
SELECT day, encode(stream, 'hex') AS stream, seq, encode(leaf, 'hex') AS leaf,
    TIMESTAMPTZ '1970-01-01 00:00:00+00' + (recorded_at / 1000000) * INTERVAL '1 second'
        + (recorded_at % 1000000) * INTERVAL '1 microsecond' AS recorded_at,
    CASE class WHEN 'p' THEN 'process' WHEN 'd' THEN 'disk' WHEN 'b' THEN 'database' END AS class,
    principal, action, resource, CASE decision WHEN 'a' THEN 'allow' WHEN 'd' THEN 'deny' END AS decision,
    CASE cause WHEN 'p' THEN 'permitted' WHEN 'f' THEN 'forbidden' WHEN 'n' THEN 'no_permit' WHEN 'e' THEN 'forbid_errored'
        WHEN 'P' THEN 'unknown_principal' WHEN 'R' THEN 'unknown_resource' WHEN 'E' THEN 'unknown_entity'
        WHEN 's' THEN 'scope_ceiling' END AS cause,
    nullif(request_id, '') AS request_id, encode(audit.plain(dictionary, body), 'hex') AS body
FROM audit.decision;

-- Stores the decisions of one stream and returns how many were not stored yet. Coded ones are of one day, and their dictionary
-- must be there as whoever ships knows it.
--
-- Places up to the watermark must be stored already, with exactly these columns: shipping again is harmless, and no place is
-- ever filled twice, or later. Places above it are stored; they may leave gaps. What was taken out, and private values that
-- were erased, do not come back.
CREATE FUNCTION audit.append(
    p_stream bytea, p_seq bigint[], p_leaf bytea[], p_recorded_at bigint[], p_class "char"[], p_principal text[],
    p_action text[], p_resource text[], p_decision "char"[], p_cause "char"[], p_request_id text[], p_body bytea[],
    p_opening bytea[], p_dictionary integer, p_digest bytea
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $append$
DECLARE
    v_count integer := cardinality(p_seq);
    v_first_day date;
    v_last_day date;
    v_last bigint;
    v_conflict bigint;
    v_known integer := 0;
    v_stored bigint;
    v_private bigint;
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
    SELECT DATE '1970-01-01' + floor(min(r) / 86400000000.0)::integer,
        DATE '1970-01-01' + floor(max(r) / 86400000000.0)::integer
    INTO v_first_day, v_last_day FROM unnest(p_recorded_at) AS r;
    v_last := audit.lock_stream(p_stream);
    IF p_dictionary <> 0 THEN
        PERFORM FROM audit.dictionary d
        WHERE d.id = p_dictionary AND d.day = v_first_day AND d.day = v_last_day AND sha256(d.body) = p_digest;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the dictionary % of % is not the one that records were coded by', p_dictionary, v_first_day
                USING ERRCODE = 'MG004', HINT = 'records can be shipped without one';
        END IF;
    END IF;
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
                        AND d.decision = r.decision AND d.cause = r.cause AND d.request_id = r.request_id
                        AND (d.dictionary = $16 AND d.body = r.body
                            OR audit.plain(d.dictionary, d.body) = audit.plain($16, r.body))
                    OFFSET 0) s ON true
            WHERE r.seq <= $13
        $known$ INTO v_conflict, v_known
        USING p_stream, p_seq, p_leaf, p_recorded_at, p_class, p_principal, p_action, p_resource, p_decision, p_cause,
            p_request_id, p_body, v_last, v_first_day, v_last_day, p_dictionary;
        IF v_conflict IS NOT NULL THEN
            RAISE EXCEPTION 'place % of stream % is not stored as it is shipped', v_conflict, encode(p_stream, 'hex')
                USING ERRCODE = 'MG002', DETAIL = format('places up to %s are taken', v_last);
        END IF;
    END IF;
    IF v_known = v_count THEN
        RETURN 0;
    END IF;
    PERFORM audit.require_days(p_recorded_at[v_known + 1:]);
    INSERT INTO audit.decision (seq, recorded_at, day, dictionary, class, decision, cause, stream, leaf, principal, action,
        resource, request_id, body)
    SELECT r.seq, r.recorded_at,
        CASE v_first_day WHEN v_last_day THEN v_first_day
            ELSE DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer END,
        p_dictionary, r.class, r.decision, r.cause, p_stream, r.leaf, r.principal, r.action, r.resource, r.request_id, r.body
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
    IF p_dictionary <> 0 THEN
        -- Whoever takes out its day waits until this is committed; the day's partition is locked before, as by them.
        PERFORM FROM audit.dictionary d WHERE d.id = p_dictionary FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the dictionary % of % was taken out', p_dictionary, v_first_day
                USING ERRCODE = 'MG004', HINT = 'records can be shipped without one';
        END IF;
    END IF;
    SELECT count(r.opening) INTO v_private FROM unnest(p_seq, p_opening) AS r (seq, opening) WHERE r.seq > v_last;
    IF v_private > 0 THEN
        INSERT INTO audit.opening (day, stream, seq, body)
        SELECT DATE '1970-01-01' + floor(r.recorded_at / 86400000000.0)::integer, p_stream, r.seq, r.opening
        FROM unnest(p_seq, p_recorded_at, p_opening) AS r (seq, recorded_at, opening)
        WHERE r.seq > v_last AND r.opening IS NOT NULL;
        GET DIAGNOSTICS v_stored = ROW_COUNT;
        IF v_stored <> v_private THEN
            RAISE EXCEPTION 'the private values of decisions of stream % were not all stored', encode(p_stream, 'hex')
                USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.opening';
        END IF;
    END IF;
    UPDATE audit.stream s SET last_seq = p_seq[v_count] WHERE s.stream = p_stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last place of stream % was not kept', encode(p_stream, 'hex')
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.stream';
    END IF;
    RETURN v_count - v_known;
END
$append$;

-- The same with names and plain bodies, for nodes of an earlier version.
CREATE OR REPLACE FUNCTION audit.ship(
    p_stream bytea, p_seq bigint[], p_leaf bytea[], p_recorded_at bigint[], p_class text[], p_principal text[],
    p_action text[], p_resource text[], p_decision text[], p_cause text[], p_request_id text[], p_body bytea[],
    p_opening bytea[] DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ship$
BEGIN
    RETURN audit.append(p_stream, p_seq, p_leaf, p_recorded_at,
        ARRAY(SELECT audit.class_letter(n.name) FROM unnest(p_class) WITH ORDINALITY AS n (name, at) ORDER BY n.at),
        p_principal, p_action, p_resource,
        ARRAY(SELECT audit.decision_letter(n.name) FROM unnest(p_decision) WITH ORDINALITY AS n (name, at) ORDER BY n.at),
        ARRAY(SELECT audit.cause_letter(n.name) FROM unnest(p_cause) WITH ORDINALITY AS n (name, at) ORDER BY n.at),
        ARRAY(SELECT coalesce(n.id, '') FROM unnest(p_request_id) WITH ORDINALITY AS n (id, at) ORDER BY n.at),
        p_body, p_opening, 0, NULL);
END
$ship$;

-- Both as 0017 has them, by the hash that indexes hold now.
-- How many decisions have private values, of a principal, on a resource and within a time, as far as these are given; and
-- how many of them lie in days that are held.
CREATE OR REPLACE FUNCTION audit.count_erasable(p_principal text, p_resource text, p_since bigint, p_until bigint)
    RETURNS TABLE (erasable bigint, held bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $count_erasable$
BEGIN
    -- Planned for these values.
    RETURN QUERY EXECUTE $count$
        SELECT count(*) FILTER (WHERE NOT h.held), count(*) FILTER (WHERE h.held)
        FROM audit.decision d JOIN audit.opening o ON o.day = d.day AND o.stream = d.stream AND o.seq = d.seq
            CROSS JOIN LATERAL (SELECT audit.is_held(d.day) AS held OFFSET 0) h
        WHERE ($1 IS NULL OR d.principal = $1 AND hashtext(d.principal) = hashtext($1 COLLATE "C"))
            AND ($2 IS NULL OR d.resource = $2 AND hashtext(d.resource) = hashtext($2 COLLATE "C"))
            AND ($3 IS NULL OR d.recorded_at >= $3 AND d.day >= DATE '1970-01-01' + floor($3 / 86400000000.0)::integer)
            AND ($4 IS NULL OR d.recorded_at < $4 AND d.day <= DATE '1970-01-01' + floor($4 / 86400000000.0)::integer)
    $count$ USING p_principal, p_resource, p_since, p_until;
END
$count_erasable$;

-- Places of such decisions, but for those in days that are held, at most so many.
CREATE OR REPLACE FUNCTION audit.erasable(p_principal text, p_resource text, p_since bigint, p_until bigint, p_limit bigint)
    RETURNS TABLE (day date, stream bytea, seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $erasable$
BEGIN
    RETURN QUERY EXECUTE $places$
        SELECT d.day, d.stream, d.seq
        FROM audit.decision d JOIN audit.opening o ON o.day = d.day AND o.stream = d.stream AND o.seq = d.seq
        WHERE ($1 IS NULL OR d.principal = $1 AND hashtext(d.principal) = hashtext($1 COLLATE "C"))
            AND ($2 IS NULL OR d.resource = $2 AND hashtext(d.resource) = hashtext($2 COLLATE "C"))
            AND ($3 IS NULL OR d.recorded_at >= $3 AND d.day >= DATE '1970-01-01' + floor($3 / 86400000000.0)::integer)
            AND ($4 IS NULL OR d.recorded_at < $4 AND d.day <= DATE '1970-01-01' + floor($4 / 86400000000.0)::integer)
            AND NOT audit.is_held(d.day)
        LIMIT $5
    $places$ USING p_principal, p_resource, p_since, p_until, p_limit;
END
$erasable$;

REVOKE ALL ON FUNCTION audit.append, audit.ship, audit.keep_dictionary, audit.plain, audit.class_letter,
    audit.decision_letter, audit.cause_letter, audit.refuse_unexpired, audit.require_gone, audit.take_dictionaries FROM PUBLIC;
