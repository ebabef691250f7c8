-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
-- Nothing of a row ever changes but its end, which is set once.
CREATE TABLE entity (
    type       TEXT NOT NULL,
    id         TEXT NOT NULL,
    attributes TEXT NOT NULL,
    valid_from INTEGER NOT NULL CHECK (valid_from > 0),
    valid_to   INTEGER CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, valid_from)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX entity_live ON entity (type, id) WHERE valid_to IS NULL;

CREATE TABLE entity_parent (
    type        TEXT NOT NULL,
    id          TEXT NOT NULL,
    parent_type TEXT NOT NULL,
    parent_id   TEXT NOT NULL,
    valid_from  INTEGER NOT NULL CHECK (valid_from > 0),
    valid_to    INTEGER CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, parent_type, parent_id, valid_from)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX entity_parent_live ON entity_parent (type, id, parent_type, parent_id) WHERE valid_to IS NULL;

CREATE INDEX entity_parent_children ON entity_parent (parent_type, parent_id) WHERE valid_to IS NULL;

CREATE TRIGGER entity_refuses_delete BEFORE DELETE ON entity
BEGIN
    SELECT RAISE(ABORT, 'the history of entities is never deleted');
END;

CREATE TRIGGER entity_only_ends BEFORE UPDATE ON entity
WHEN OLD.valid_to IS NOT NULL
    OR NEW.valid_to IS NOT (SELECT value FROM revision)
    OR NEW.type IS NOT OLD.type
    OR NEW.id IS NOT OLD.id
    OR NEW.attributes IS NOT OLD.attributes
    OR NEW.valid_from IS NOT OLD.valid_from
BEGIN
    SELECT RAISE(ABORT, 'a row of entity only ends, once, at the current revision');
END;

CREATE TRIGGER entity_only_begins BEFORE INSERT ON entity
WHEN NEW.valid_from IS NOT (SELECT value FROM revision)
    OR NEW.valid_to IS NOT NULL
    OR EXISTS (
        SELECT 1 FROM entity
        WHERE type = NEW.type AND id = NEW.id
            AND (valid_to IS NULL OR valid_from = NEW.valid_from)
    )
BEGIN
    SELECT RAISE(ABORT, 'a row of entity begins at the current revision, where none is live');
END;

CREATE TRIGGER entity_parent_refuses_delete BEFORE DELETE ON entity_parent
BEGIN
    SELECT RAISE(ABORT, 'the history of parents is never deleted');
END;

CREATE TRIGGER entity_parent_only_ends BEFORE UPDATE ON entity_parent
WHEN OLD.valid_to IS NOT NULL
    OR NEW.valid_to IS NOT (SELECT value FROM revision)
    OR NEW.type IS NOT OLD.type
    OR NEW.id IS NOT OLD.id
    OR NEW.parent_type IS NOT OLD.parent_type
    OR NEW.parent_id IS NOT OLD.parent_id
    OR NEW.valid_from IS NOT OLD.valid_from
BEGIN
    SELECT RAISE(ABORT, 'a row of entity_parent only ends, once, at the current revision');
END;

CREATE TRIGGER entity_parent_only_begins BEFORE INSERT ON entity_parent
WHEN NEW.valid_from IS NOT (SELECT value FROM revision)
    OR NEW.valid_to IS NOT NULL
    OR EXISTS (
        SELECT 1 FROM entity_parent
        WHERE type = NEW.type AND id = NEW.id AND parent_type = NEW.parent_type AND parent_id = NEW.parent_id
            AND (valid_to IS NULL OR valid_from = NEW.valid_from)
    )
BEGIN
    SELECT RAISE(ABORT, 'a row of entity_parent begins at the current revision, where none is live');
END;
