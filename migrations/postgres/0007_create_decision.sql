-- Recorded decisions, a partition for each UTC day. `body` is the canonical record; every other column is
-- derived from it and compared with it on reading. Instants are microseconds since 1970.
CREATE FUNCTION audit.day_of(at bigint) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN date '1970-01-01' + (CASE WHEN at >= 0 THEN at / 86400000000 ELSE (at + 1) / 86400000000 - 1 END)::integer;

CREATE TABLE audit.decision (
    day         date   NOT NULL,
    stream      bytea  NOT NULL CHECK (octet_length(stream) = 16),
    seq         bigint NOT NULL CHECK (seq > 0),
    leaf        bytea  NOT NULL CHECK (octet_length(leaf) = 32),
    recorded_at bigint NOT NULL,
    class       text COLLATE "C" NOT NULL CHECK (class IN ('process', 'disk', 'database')),
    principal   text COLLATE "C" NOT NULL,
    action      text COLLATE "C" NOT NULL,
    resource    text COLLATE "C" NOT NULL,
    decision    text COLLATE "C" NOT NULL CHECK (decision IN ('allow', 'deny')),
    cause       text COLLATE "C" NOT NULL,
    request_id  text COLLATE "C",
    body        bytea  NOT NULL,
    PRIMARY KEY (day, stream, seq),
    CHECK (day = audit.day_of(recorded_at))
) PARTITION BY RANGE (day);

-- The day leads, or follows what is asked for: a page of history is read from one partition after another.
CREATE INDEX decision_by_time ON audit.decision (day, recorded_at, stream, seq);
CREATE INDEX decision_by_principal ON audit.decision (principal, day, recorded_at, stream, seq);
CREATE INDEX decision_by_resource ON audit.decision (resource, day, recorded_at, stream, seq);

-- How far each stream has come: makes a place unique across days, and a batch that is sent twice one batch.
CREATE TABLE audit.stream (
    stream   bytea  NOT NULL PRIMARY KEY CHECK (octet_length(stream) = 16),
    last_seq bigint NOT NULL CHECK (last_seq >= 0)
) WITH (fillfactor = 20);

-- Sealed batches of records and signed checkpoints over them.
CREATE TABLE audit.batch (
    stream    bytea  NOT NULL CHECK (octet_length(stream) = 16),
    number    bigint NOT NULL CHECK (number > 0),
    first_seq bigint NOT NULL CHECK (first_seq > 0),
    count     integer NOT NULL CHECK (count >= 0),
    root      bytea  NOT NULL CHECK (octet_length(root) = 32),
    header    bytea  NOT NULL,
    PRIMARY KEY (stream, number)
);

CREATE TABLE audit.checkpoint (
    size bigint NOT NULL PRIMARY KEY CHECK (size > 0),
    root bytea  NOT NULL CHECK (octet_length(root) = 32),
    note text   NOT NULL,
    at   bigint NOT NULL
);

-- For people with SQL.
CREATE VIEW audit.decision_readable AS
SELECT encode(stream, 'hex') || '-' || seq AS decision_id,
    timestamptz 'epoch' + recorded_at * interval '1 microsecond' AS recorded_at,
    principal, action, resource, decision, cause, class, request_id, encode(leaf, 'hex') AS leaf, day
FROM audit.decision;

CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'decisions are never changed: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- What is written to the partitioned table itself. Its statement triggers do not reach statements on a
-- partition: each partition has its own.
CREATE TRIGGER decision_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.decision
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.decision ENABLE ALWAYS TRIGGER decision_is_kept;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['batch', 'checkpoint'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.%I
            FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', t || '_is_kept', t);
        EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER %I', t, t || '_is_kept');
    END LOOP;
END $$;

CREATE TRIGGER stream_is_kept BEFORE DELETE OR TRUNCATE ON audit.stream
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.stream ENABLE ALWAYS TRIGGER stream_is_kept;

-- A stream only goes on.
CREATE FUNCTION audit.stream_goes_on() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.stream <> OLD.stream OR NEW.last_seq < OLD.last_seq THEN
        RAISE EXCEPTION 'a stream only goes on' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER stream_goes_on BEFORE UPDATE ON audit.stream
    FOR EACH ROW EXECUTE FUNCTION audit.stream_goes_on();
ALTER TABLE audit.stream ENABLE ALWAYS TRIGGER stream_goes_on;
