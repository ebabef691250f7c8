-- Recorded decisions. `body` is the canonical record; every other column is derived from it and compared
-- with it on reading. Without rowid: a REPLACE that names another row's rowid has nothing to hit.
CREATE TABLE decision (
    day         INTEGER NOT NULL,
    stream      BLOB    NOT NULL CHECK (length(stream) = 16),
    seq         INTEGER NOT NULL CHECK (seq > 0),
    leaf        BLOB    NOT NULL CHECK (length(leaf) = 32),
    recorded_at INTEGER NOT NULL,
    class       TEXT    NOT NULL CHECK (class IN ('process', 'disk', 'database')),
    principal   TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    resource    TEXT    NOT NULL,
    decision    TEXT    NOT NULL CHECK (decision IN ('allow', 'deny')),
    cause       TEXT    NOT NULL,
    request_id  TEXT,
    body        BLOB    NOT NULL,
    PRIMARY KEY (day, stream, seq),
    -- The UTC day of the instant, in microseconds, rounded down.
    CHECK (day * 86400000000 <= recorded_at AND recorded_at < (day + 1) * 86400000000)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX decision_by_place ON decision (stream, seq);
CREATE INDEX decision_by_time ON decision (recorded_at, stream, seq);
CREATE INDEX decision_by_principal ON decision (principal, recorded_at, stream, seq);
CREATE INDEX decision_by_resource ON decision (resource, recorded_at, stream, seq);

CREATE TRIGGER decision_refuses_update BEFORE UPDATE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are never changed');
END;

CREATE TRIGGER decision_refuses_delete BEFORE DELETE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are never deleted');
END;

-- REPLACE fires no delete trigger, and an upsert becomes an update only after this has been asked.
-- A primary key that exists has a (stream, seq) that exists.
CREATE TRIGGER decision_refuses_replace BEFORE INSERT ON decision
WHEN EXISTS (SELECT 1 FROM decision WHERE stream = NEW.stream AND seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'decisions are never replaced');
END;
