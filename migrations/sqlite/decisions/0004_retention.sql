-- Retention: days that are taken out of the store, and what keeps them in it.

-- Days that are not to be taken out, from the first to the last; without a last one all to come. Counted from 1970-01-01.
CREATE TABLE hold (
    name      TEXT    NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    first_day INTEGER NOT NULL,
    last_day  INTEGER CHECK (last_day >= first_day),
    act       BLOB    NOT NULL CHECK (length(act) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold_release (
    name TEXT NOT NULL PRIMARY KEY REFERENCES hold (name),
    act  BLOB NOT NULL CHECK (length(act) = 16)
) STRICT, WITHOUT ROWID;

-- Days that were taken out, once for each time.
CREATE TABLE expiry (
    act     BLOB    NOT NULL PRIMARY KEY CHECK (length(act) = 16),
    day     INTEGER NOT NULL,
    records INTEGER NOT NULL CHECK (records >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX expiry_by_day ON expiry (day);

-- The highest place of each stream that was taken out: what is shipped again up to there was stored, and does not come back.
CREATE TABLE expired_place (
    stream   BLOB    NOT NULL PRIMARY KEY CHECK (length(stream) = 16),
    last_seq INTEGER NOT NULL CHECK (last_seq > 0)
) STRICT, WITHOUT ROWID;

-- Leaves of records that were taken out and share what covers them with others: those are verified with these.
CREATE TABLE kept_leaf (
    stream BLOB    NOT NULL CHECK (length(stream) = 16),
    seq    INTEGER NOT NULL CHECK (seq > 0),
    leaf   BLOB    NOT NULL CHECK (length(leaf) = 32),
    PRIMARY KEY (stream, seq)
) STRICT, WITHOUT ROWID;

-- The day that is being taken out, within one transaction.
CREATE TABLE expiring (day INTEGER NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

DROP TRIGGER decision_refuses_delete;

CREATE TRIGGER decision_refuses_delete BEFORE DELETE ON decision
WHEN NOT EXISTS (SELECT 1 FROM expiring WHERE day = OLD.day)
BEGIN
    SELECT RAISE(ABORT, 'decisions are never deleted');
END;

CREATE TRIGGER decision_stays_out BEFORE INSERT ON decision
WHEN EXISTS (SELECT 1 FROM expiry WHERE day = NEW.day)
    AND EXISTS (SELECT 1 FROM expired_place WHERE stream = NEW.stream AND last_seq >= NEW.seq)
BEGIN
    SELECT RAISE(IGNORE);
END;

CREATE TRIGGER expiring_refuses_held BEFORE INSERT ON expiring
WHEN NOT EXISTS (SELECT 1 FROM expiry WHERE day = NEW.day)
    OR EXISTS (
        SELECT 1 FROM hold
        WHERE NEW.day >= first_day AND (last_day IS NULL OR NEW.day <= last_day)
            AND name NOT IN (SELECT name FROM hold_release))
BEGIN
    SELECT RAISE(ABORT, 'a day is taken out after its act, and not while it is held');
END;

CREATE TRIGGER hold_refuses_update BEFORE UPDATE ON hold
BEGIN
    SELECT RAISE(ABORT, 'holds are never changed');
END;

CREATE TRIGGER hold_refuses_delete BEFORE DELETE ON hold
BEGIN
    SELECT RAISE(ABORT, 'holds are never deleted');
END;

CREATE TRIGGER hold_refuses_replace BEFORE INSERT ON hold
WHEN EXISTS (SELECT 1 FROM hold WHERE name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'holds are never replaced');
END;

CREATE TRIGGER hold_release_refuses_update BEFORE UPDATE ON hold_release
BEGIN
    SELECT RAISE(ABORT, 'releases are never changed');
END;

CREATE TRIGGER hold_release_refuses_delete BEFORE DELETE ON hold_release
BEGIN
    SELECT RAISE(ABORT, 'releases are never deleted');
END;

CREATE TRIGGER hold_release_refuses_replace BEFORE INSERT ON hold_release
WHEN EXISTS (SELECT 1 FROM hold_release WHERE name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'releases are never replaced');
END;

CREATE TRIGGER expiry_refuses_update BEFORE UPDATE ON expiry
BEGIN
    SELECT RAISE(ABORT, 'expiries are never changed');
END;

CREATE TRIGGER expiry_refuses_delete BEFORE DELETE ON expiry
BEGIN
    SELECT RAISE(ABORT, 'expiries are never deleted');
END;

CREATE TRIGGER expiry_refuses_replace BEFORE INSERT ON expiry
WHEN EXISTS (SELECT 1 FROM expiry WHERE act = NEW.act)
BEGIN
    SELECT RAISE(ABORT, 'expiries are never replaced');
END;

CREATE TRIGGER expired_place_refuses_return BEFORE UPDATE ON expired_place
WHEN NEW.stream <> OLD.stream OR NEW.last_seq < OLD.last_seq
BEGIN
    SELECT RAISE(ABORT, 'places only advance');
END;

CREATE TRIGGER expired_place_refuses_delete BEFORE DELETE ON expired_place
BEGIN
    SELECT RAISE(ABORT, 'places are never deleted');
END;

CREATE TRIGGER kept_leaf_refuses_update BEFORE UPDATE ON kept_leaf
BEGIN
    SELECT RAISE(ABORT, 'leaves are never changed');
END;

CREATE TRIGGER kept_leaf_refuses_delete BEFORE DELETE ON kept_leaf
BEGIN
    SELECT RAISE(ABORT, 'leaves are never deleted');
END;

CREATE TRIGGER kept_leaf_refuses_replace BEFORE INSERT ON kept_leaf
WHEN EXISTS (SELECT 1 FROM kept_leaf WHERE stream = NEW.stream AND seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'leaves are never replaced');
END;
