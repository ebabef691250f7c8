-- Private values of decisions, beside the records that commit to them: here they can be erased.

CREATE TABLE opening (
    stream BLOB    NOT NULL CHECK (length(stream) = 16),
    seq    INTEGER NOT NULL CHECK (seq > 0),
    day    INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (stream, seq)
) STRICT, WITHOUT ROWID;

-- Acts that erased, each once.
CREATE TABLE erasure (
    act       BLOB    NOT NULL PRIMARY KEY REFERENCES act (id),
    decisions INTEGER NOT NULL CHECK (decisions > 0)
) STRICT, WITHOUT ROWID;

-- The act by which is being erased, within one transaction.
CREATE TABLE erasing (act BLOB NOT NULL PRIMARY KEY REFERENCES act (id)) STRICT, WITHOUT ROWID;

-- An opening comes before its record: one that was erased does not come back, nor does one whose day was taken out.
CREATE TRIGGER opening_precedes BEFORE INSERT ON opening
WHEN EXISTS (SELECT 1 FROM decision WHERE stream = NEW.stream AND seq = NEW.seq)
    OR EXISTS (SELECT 1 FROM opening WHERE stream = NEW.stream AND seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'private values come with their record');
END;

CREATE TRIGGER opening_stays_out BEFORE INSERT ON opening
WHEN EXISTS (SELECT 1 FROM expiry WHERE day = NEW.day)
    AND EXISTS (SELECT 1 FROM expired_place WHERE stream = NEW.stream AND last_seq >= NEW.seq)
BEGIN
    SELECT RAISE(IGNORE);
END;

CREATE TRIGGER opening_refuses_update BEFORE UPDATE ON opening
BEGIN
    SELECT RAISE(ABORT, 'private values are never changed');
END;

CREATE TRIGGER opening_refuses_delete BEFORE DELETE ON opening
WHEN NOT EXISTS (SELECT 1 FROM erasing) AND NOT EXISTS (SELECT 1 FROM expiring WHERE day = OLD.day)
BEGIN
    SELECT RAISE(ABORT, 'private values go with an act that says so');
END;

CREATE TRIGGER opening_refuses_held BEFORE DELETE ON opening
WHEN EXISTS (
    SELECT 1 FROM hold
    WHERE OLD.day >= first_day AND (last_day IS NULL OR OLD.day <= last_day)
        AND name NOT IN (SELECT name FROM hold_release))
BEGIN
    SELECT RAISE(ABORT, 'private values of days that are held stay');
END;

-- The values of a day go with its records.
CREATE TRIGGER opening_goes_with_decision AFTER DELETE ON decision
BEGIN
    DELETE FROM opening WHERE stream = OLD.stream AND seq = OLD.seq;
END;

CREATE TRIGGER erasing_follows BEFORE INSERT ON erasing
WHEN NOT EXISTS (
    SELECT 1 FROM act JOIN erasure ON erasure.act = act.id
    WHERE act.id = NEW.act AND act.kind = 'erasure' AND act.place = (SELECT max(place) FROM act))
BEGIN
    SELECT RAISE(ABORT, 'values are erased after the act that says so');
END;

CREATE TRIGGER erasing_refuses_update BEFORE UPDATE ON erasing
BEGIN
    SELECT RAISE(ABORT, 'values are erased by one act at a time');
END;

CREATE TRIGGER erasure_refuses_update BEFORE UPDATE ON erasure
BEGIN
    SELECT RAISE(ABORT, 'erasures are never changed');
END;

CREATE TRIGGER erasure_refuses_delete BEFORE DELETE ON erasure
BEGIN
    SELECT RAISE(ABORT, 'erasures are never deleted');
END;

CREATE TRIGGER erasure_refuses_replace BEFORE INSERT ON erasure
WHEN EXISTS (SELECT 1 FROM erasure WHERE act = NEW.act)
BEGIN
    SELECT RAISE(ABORT, 'an act erases once');
END;
