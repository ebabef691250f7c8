-- What a stream says of itself, one header chained to the next. `header` is canonical; every other column is derived from
-- it and compared with it on reading.
CREATE TABLE header (
    stream    BLOB    NOT NULL CHECK (length(stream) = 16),
    number    INTEGER NOT NULL CHECK (number > 0),
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    count     INTEGER NOT NULL CHECK (count >= 0),
    root      BLOB    NOT NULL CHECK (length(root) = 32),
    header    BLOB    NOT NULL,
    PRIMARY KEY (stream, number)
) STRICT, WITHOUT ROWID;

-- Signed notes over the headers of a stream.
CREATE TABLE checkpoint (
    origin TEXT    NOT NULL,
    size   INTEGER NOT NULL CHECK (size >= 0),
    root   BLOB    NOT NULL CHECK (length(root) = 32),
    note   TEXT    NOT NULL,
    PRIMARY KEY (origin, size)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER header_refuses_update BEFORE UPDATE ON header
BEGIN
    SELECT RAISE(ABORT, 'headers are never changed');
END;

CREATE TRIGGER header_refuses_delete BEFORE DELETE ON header
BEGIN
    SELECT RAISE(ABORT, 'headers are never deleted');
END;

CREATE TRIGGER header_refuses_replace BEFORE INSERT ON header
WHEN EXISTS (SELECT 1 FROM header WHERE stream = NEW.stream AND number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'headers are never replaced');
END;

CREATE TRIGGER checkpoint_refuses_update BEFORE UPDATE ON checkpoint
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never changed');
END;

CREATE TRIGGER checkpoint_refuses_delete BEFORE DELETE ON checkpoint
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never deleted');
END;

CREATE TRIGGER checkpoint_refuses_replace BEFORE INSERT ON checkpoint
WHEN EXISTS (SELECT 1 FROM checkpoint WHERE origin = NEW.origin AND size = NEW.size)
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never replaced');
END;
