-- The global log: one tree over the headers of all streams, the changes and the acts, appended to by one process at a time.

-- What was done to the ledger, or learned from it, in the order of the commits. `body` is canonical; every other column but
-- the place is derived from it and compared with it on reading.
CREATE TABLE act (
    place INTEGER NOT NULL PRIMARY KEY CHECK (place > 0),
    id    BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    kind  TEXT    NOT NULL,
    leaf  BLOB    NOT NULL CHECK (length(leaf) = 32),
    body  BLOB    NOT NULL CHECK (length(body) <= 32768)
) STRICT, WITHOUT ROWID;

CREATE INDEX act_by_kind ON act (kind, place);

-- The entries. `body` is canonical; every other column but the place is derived from it.
CREATE TABLE log (
    place     INTEGER NOT NULL PRIMARY KEY CHECK (place >= 0),
    kind      TEXT    NOT NULL CHECK (kind IN ('header', 'change', 'act')),
    reference TEXT    NOT NULL,
    leaf      BLOB    NOT NULL CHECK (length(leaf) = 32),
    body      BLOB    NOT NULL,
    UNIQUE (kind, reference)
) STRICT, WITHOUT ROWID;

CREATE INDEX log_by_kind ON log (kind, place);

-- The roots of complete groups: 256 leaves at level 8, 256 such groups at level 16, and so on.
CREATE TABLE log_root (
    level INTEGER NOT NULL CHECK (level > 0 AND level % 8 = 0),
    place INTEGER NOT NULL CHECK (place >= 0),
    root  BLOB    NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;

-- One row, made when the log begins: which log it is, and who may append to it, until when in microseconds.
CREATE TABLE sequencer (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    log        BLOB    NOT NULL CHECK (length(log) = 16),
    term       INTEGER NOT NULL CHECK (term >= 0),
    holder     BLOB    NOT NULL CHECK (length(holder) = 16),
    held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER act_refuses_update BEFORE UPDATE ON act
BEGIN
    SELECT RAISE(ABORT, 'acts are never changed');
END;

CREATE TRIGGER act_refuses_delete BEFORE DELETE ON act
BEGIN
    SELECT RAISE(ABORT, 'acts are never deleted');
END;

CREATE TRIGGER log_refuses_update BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'entries of the log are never changed');
END;

CREATE TRIGGER log_refuses_delete BEFORE DELETE ON log
BEGIN
    SELECT RAISE(ABORT, 'entries of the log are never deleted');
END;

CREATE TRIGGER log_root_refuses_update BEFORE UPDATE ON log_root
BEGIN
    SELECT RAISE(ABORT, 'roots of the log are never changed');
END;

CREATE TRIGGER log_root_refuses_delete BEFORE DELETE ON log_root
BEGIN
    SELECT RAISE(ABORT, 'roots of the log are never deleted');
END;

-- Each comes behind the last one, and so replaces none.
CREATE TRIGGER act_follows BEFORE INSERT ON act
WHEN NEW.place <> (SELECT coalesce(max(place), 0) + 1 FROM act) OR EXISTS (SELECT 1 FROM act WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'acts follow each other');
END;

CREATE TRIGGER log_follows BEFORE INSERT ON log
WHEN NEW.place <> (SELECT coalesce(max(place) + 1, 0) FROM log)
    OR EXISTS (SELECT 1 FROM log WHERE kind = NEW.kind AND reference = NEW.reference)
BEGIN
    SELECT RAISE(ABORT, 'entries of the log follow each other');
END;

CREATE TRIGGER log_root_refuses_replace BEFORE INSERT ON log_root
WHEN EXISTS (SELECT 1 FROM log_root WHERE level = NEW.level AND place = NEW.place)
BEGIN
    SELECT RAISE(ABORT, 'roots of the log are never replaced');
END;

CREATE TRIGGER sequencer_refuses_return BEFORE UPDATE ON sequencer
WHEN NEW.id <> OLD.id OR NEW.log <> OLD.log OR NEW.term < OLD.term
BEGIN
    SELECT RAISE(ABORT, 'a log stays what it is, and terms only advance');
END;

CREATE TRIGGER sequencer_refuses_delete BEFORE DELETE ON sequencer
BEGIN
    SELECT RAISE(ABORT, 'a log is never given up');
END;

CREATE TRIGGER sequencer_refuses_replace BEFORE INSERT ON sequencer
WHEN EXISTS (SELECT 1 FROM sequencer)
BEGIN
    SELECT RAISE(ABORT, 'there is one log');
END;
