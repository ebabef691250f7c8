-- The global log: one tree over the headers of all streams, the changes and the acts, appended to by one node at a time.

-- What was done to the ledger, or learned from it. Places are given one after the other, in the order of the commits.
-- `body` is canonical; every other column but the place is derived from it and compared with it on reading.
CREATE TABLE audit.act (
    place bigint NOT NULL PRIMARY KEY CHECK (place > 0),
    id    bytea  NOT NULL UNIQUE CHECK (octet_length(id) = 16),
    kind  text   COLLATE "C" NOT NULL,
    leaf  bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    body  bytea  NOT NULL CHECK (octet_length(body) <= 32768)
);

CREATE INDEX act_by_kind ON audit.act (kind, place);

-- The entries. `body` is canonical; every other column but the place is derived from it.
CREATE TABLE audit.log (
    place     bigint NOT NULL PRIMARY KEY CHECK (place >= 0),
    kind      text   COLLATE "C" NOT NULL CHECK (kind IN ('header', 'change', 'act')),
    reference text   COLLATE "C" NOT NULL,
    leaf      bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    body      bytea  NOT NULL,
    UNIQUE (kind, reference)
);

CREATE INDEX log_by_kind ON audit.log (kind, place);

-- The roots of complete groups: 256 leaves at level 8, 256 such groups at level 16, and so on.
CREATE TABLE audit.log_root (
    level integer NOT NULL CHECK (level > 0 AND level % 8 = 0),
    place bigint  NOT NULL CHECK (place >= 0),
    root  bytea   NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (level, place)
);

-- One row, made when the log begins: which log it is, and who may append to it, until when.
CREATE TABLE audit.sequencer (
    id         integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    log        bytea       NOT NULL CHECK (octet_length(log) = 16),
    term       bigint      NOT NULL CHECK (term >= 0),
    holder     bytea       NOT NULL CHECK (octet_length(holder) = 16),
    held_until timestamptz NOT NULL
) WITH (fillfactor = 20);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.act
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.log
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.log_root
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON audit.sequencer
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_return BEFORE UPDATE ON audit.sequencer FOR EACH ROW
    WHEN (NEW.log <> OLD.log OR NEW.term < OLD.term)
    EXECUTE FUNCTION audit.refuse_change();

ALTER TABLE audit.act ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.log ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.log_root ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.sequencer ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.sequencer ENABLE ALWAYS TRIGGER refuse_return;

-- Keeps an act and returns its place. One that is there already, with exactly these bytes, is accepted again.
CREATE FUNCTION audit.record_act(p_id bytea, p_kind text, p_leaf bytea, p_body bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $record_act$
DECLARE
    v_place bigint;
BEGIN
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- One at a time: whoever reads up to a place has everything before it.
    LOCK TABLE audit.act IN SHARE ROW EXCLUSIVE MODE;
    SELECT a.place INTO v_place FROM audit.act a
    WHERE a.id = p_id AND a.kind = p_kind AND a.leaf = p_leaf AND a.body = p_body;
    IF FOUND THEN
        RETURN v_place;
    END IF;
    IF EXISTS (SELECT FROM audit.act a WHERE a.id = p_id) THEN
        RAISE EXCEPTION 'another act is stored as %', encode(p_id, 'hex') USING ERRCODE = 'MG002';
    END IF;
    SELECT coalesce(max(a.place), 0) + 1 INTO v_place FROM audit.act a;
    INSERT INTO audit.act (place, id, kind, leaf, body) VALUES (v_place, p_id, p_kind, p_leaf, p_body);
    RETURN v_place;
END
$record_act$;

-- Asks to append to the log for a while, by the clock of this server. The first to ask begins the log. A holder that asks
-- in time goes on in its term; else a new term begins. Without time the holder lets go.
CREATE FUNCTION audit.lease_log(p_holder bytea, p_log bytea, p_millis integer)
    RETURNS TABLE (log bytea, term bigint, held boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $lease_log$
DECLARE
    v_row audit.sequencer;
    v_now timestamptz;
BEGIN
    IF (p_millis BETWEEN 0 AND 60000) IS NOT TRUE THEN
        RAISE EXCEPTION 'the log is leased for up to a minute, not % ms', p_millis
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT s.* INTO v_row FROM audit.sequencer s WHERE s.id = 1 FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit.sequencer (id, log, term, holder, held_until) VALUES (1, p_log, 0, p_holder, '-infinity')
        ON CONFLICT DO NOTHING;
        SELECT s.* INTO v_row FROM audit.sequencer s WHERE s.id = 1 FOR UPDATE;
    END IF;
    v_now := clock_timestamp();
    IF v_row.holder = p_holder AND v_row.held_until > v_now THEN
        held := true;
    ELSIF v_row.held_until <= v_now AND p_millis > 0 THEN
        v_row.term := v_row.term + 1;
        held := true;
    ELSE
        held := false;
    END IF;
    IF held THEN
        UPDATE audit.sequencer s
        SET term = v_row.term, holder = p_holder, held_until = v_now + p_millis * INTERVAL '1 millisecond'
        WHERE s.id = 1;
    END IF;
    log := v_row.log;
    term := v_row.term;
    held := held AND p_millis > 0;
    RETURN NEXT;
END
$lease_log$;

-- Appends entries, and the roots of the groups that they complete: all of them or none. Only under the newest term, and
-- only behind the last entry.
CREATE FUNCTION audit.append_log(
    p_term bigint, p_first bigint, p_kind text[], p_reference text[], p_leaf bytea[], p_body bytea[], p_level integer[],
    p_place bigint[], p_root bytea[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $append_log$
DECLARE
    v_term bigint;
    v_next bigint;
    v_stored bigint;
BEGIN
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT s.term INTO v_term FROM audit.sequencer s WHERE s.id = 1 FOR UPDATE;
    IF v_term IS DISTINCT FROM p_term THEN
        RAISE EXCEPTION 'the log is in term %, and this is of term %', v_term, p_term USING ERRCODE = 'MG002';
    END IF;
    SELECT coalesce(max(l.place) + 1, 0) INTO v_next FROM audit.log l;
    IF v_next IS DISTINCT FROM p_first THEN
        RAISE EXCEPTION 'the next place of the log is %, not %', v_next, p_first USING ERRCODE = 'MG002';
    END IF;
    INSERT INTO audit.log (place, kind, reference, leaf, body)
    SELECT p_first + r.ordinal - 1, r.kind, r.reference, r.leaf, r.body
    FROM unnest(p_kind, p_reference, p_leaf, p_body) WITH ORDINALITY AS r (kind, reference, leaf, body, ordinal);
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    -- A rule or a trigger that somebody added may have taken rows away.
    IF v_stored <> cardinality(p_kind) THEN
        RAISE EXCEPTION '% of % entries were stored', v_stored, cardinality(p_kind)
            USING ERRCODE = 'data_exception', HINT = 'look for rules and triggers on audit.log';
    END IF;
    INSERT INTO audit.log_root (level, place, root)
    SELECT r.level, r.place, r.root FROM unnest(p_level, p_place, p_root) AS r (level, place, root);
END
$append_log$;

REVOKE ALL ON FUNCTION audit.record_act, audit.lease_log, audit.append_log FROM PUBLIC;
