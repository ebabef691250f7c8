-- Recorded decisions, one partition a UTC day. `body` is the canonical record; every other column is derived
-- from it and compared with it on reading.
CREATE TABLE audit.decision (
    day         date   NOT NULL,
    stream      bytea  NOT NULL CHECK (octet_length(stream) = 16),
    seq         bigint NOT NULL CHECK (seq > 0),
    leaf        bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    recorded_at bigint NOT NULL,
    class       text   COLLATE "C" NOT NULL CHECK (class IN ('process', 'disk', 'database')),
    principal   text   COLLATE "C" NOT NULL,
    action      text   COLLATE "C" NOT NULL,
    resource    text   COLLATE "C" NOT NULL,
    decision    text   COLLATE "C" NOT NULL CHECK (decision IN ('allow', 'deny')),
    cause       text   COLLATE "C" NOT NULL,
    request_id  text   COLLATE "C",
    body        bytea  NOT NULL,
    PRIMARY KEY (day, stream, seq),
    -- The UTC day of the instant, in microseconds, rounded down.
    CONSTRAINT decision_day_is_of_instant CHECK (
        (day - DATE '1970-01-01')::bigint * 86400000000 <= recorded_at
        AND recorded_at < ((day - DATE '1970-01-01')::bigint + 1) * 86400000000)
) PARTITION BY RANGE (day);

-- The day leads, or follows what is searched for, so that an ordered reading goes from partition to partition.
CREATE INDEX decision_by_time ON audit.decision (day, recorded_at, stream, seq);
CREATE INDEX decision_by_principal ON audit.decision (principal, day, recorded_at, stream, seq);
CREATE INDEX decision_by_resource ON audit.decision (resource, day, recorded_at, stream, seq);

-- The highest place of each stream that was committed; 0 before the first. Locked by whoever ships to it.
CREATE TABLE audit.stream (
    stream   bytea  NOT NULL PRIMARY KEY CHECK (octet_length(stream) = 16),
    last_seq bigint NOT NULL CHECK (last_seq >= 0)
) WITH (fillfactor = 20);

-- Sealed batches of a stream and what commits to them.
CREATE TABLE audit.batch (
    stream    bytea   NOT NULL CHECK (octet_length(stream) = 16),
    batch_no  bigint  NOT NULL CHECK (batch_no > 0),
    first_seq bigint  NOT NULL CHECK (first_seq > 0),
    count     integer NOT NULL CHECK (count > 0),
    root      bytea   NOT NULL CHECK (octet_length(root) = 32),
    header    bytea   NOT NULL,
    PRIMARY KEY (stream, batch_no)
);

CREATE TABLE audit.checkpoint (
    origin text   COLLATE "C" NOT NULL,
    size   bigint NOT NULL CHECK (size >= 0),
    root   bytea  NOT NULL CHECK (octet_length(root) = 32),
    note   text   COLLATE "C" NOT NULL,
    PRIMARY KEY (origin, size)
);

-- For people: times as times, bytes as hexadecimal digits.
CREATE VIEW audit.decision_readable AS
SELECT day, encode(stream, 'hex') AS stream, seq, encode(leaf, 'hex') AS leaf,
    TIMESTAMPTZ '1970-01-01 00:00:00+00' + (recorded_at / 1000000) * INTERVAL '1 second'
        + (recorded_at % 1000000) * INTERVAL '1 microsecond' AS recorded_at,
    class, principal, action, resource, decision, cause, request_id, encode(body, 'hex') AS body
FROM audit.decision;

-- The guards. They are enabled ALWAYS, so that `session_replication_role` does not pass them by. A statement on
-- the parent meets the parent's, one on a partition the partition's: see `prepare_day`.
CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_change$
BEGIN
    RAISE EXCEPTION '% on audit.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', DETAIL = 'what is recorded is never changed';
END
$refuse_change$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.decision
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON audit.stream
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_return BEFORE UPDATE ON audit.stream FOR EACH ROW
    WHEN (NEW.stream <> OLD.stream OR NEW.last_seq <= OLD.last_seq)
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.batch
    EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.checkpoint
    EXECUTE FUNCTION audit.refuse_change();

ALTER TABLE audit.decision ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.stream ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.stream ENABLE ALWAYS TRIGGER refuse_return;
ALTER TABLE audit.batch ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE audit.checkpoint ENABLE ALWAYS TRIGGER refuse_change;
