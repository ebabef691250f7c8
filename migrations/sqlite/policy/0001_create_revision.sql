-- One row: where the store stands. The first statement of every administrative transaction advances it.
CREATE TABLE revision (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    value   INTEGER NOT NULL CHECK (value >= 0),
    lineage BLOB    NOT NULL CHECK (length(lineage) = 32)
) STRICT;

INSERT INTO revision (id, value, lineage) VALUES (1, 0, zeroblob(32));

CREATE TRIGGER revision_refuses_second_row BEFORE INSERT ON revision
BEGIN
    SELECT RAISE(ABORT, 'the revision is one row');
END;

CREATE TRIGGER revision_refuses_delete BEFORE DELETE ON revision
BEGIN
    SELECT RAISE(ABORT, 'the revision is never deleted');
END;

CREATE TRIGGER revision_is_dense BEFORE UPDATE ON revision
WHEN NEW.id IS NOT OLD.id OR NEW.value NOT IN (OLD.value, OLD.value + 1)
BEGIN
    SELECT RAISE(ABORT, 'the revision only advances by one');
END;

-- What each revision changed, with what was there before and after as JSON.
CREATE TABLE change_log (
    revision INTEGER NOT NULL CHECK (revision > 0),
    ordinal  INTEGER NOT NULL CHECK (ordinal >= 0),
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    before   TEXT,
    after    TEXT,
    actor    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (revision, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER change_log_refuses_update BEFORE UPDATE ON change_log
BEGIN
    SELECT RAISE(ABORT, 'the change log is never changed');
END;

CREATE TRIGGER change_log_refuses_delete BEFORE DELETE ON change_log
BEGIN
    SELECT RAISE(ABORT, 'the change log is never deleted');
END;

-- REPLACE fires no delete trigger, so an existing key is refused before the conflict is resolved.
CREATE TRIGGER change_log_only_grows BEFORE INSERT ON change_log
WHEN NEW.revision IS NOT (SELECT value FROM revision)
    OR EXISTS (SELECT 1 FROM change_log WHERE revision = NEW.revision AND ordinal = NEW.ordinal)
BEGIN
    SELECT RAISE(ABORT, 'the change log only grows at the current revision');
END;
