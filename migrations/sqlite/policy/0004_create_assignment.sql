-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
-- Nothing of a row ever changes but its end, which is set once.
CREATE TABLE scope (
    name         TEXT NOT NULL,
    action_group TEXT NOT NULL,
    description  TEXT NOT NULL,
    valid_from   INTEGER NOT NULL CHECK (valid_from > 0),
    valid_to     INTEGER CHECK (valid_to > valid_from),
    PRIMARY KEY (name, valid_from)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX scope_live ON scope (name) WHERE valid_to IS NULL;

CREATE TABLE role_assignment (
    id            TEXT NOT NULL,
    holder_type   TEXT NOT NULL,
    holder_id     TEXT NOT NULL,
    role_type     TEXT NOT NULL,
    role_id       TEXT NOT NULL,
    resource_type TEXT,
    resource_id   TEXT,
    not_before    INTEGER,
    expires_at    INTEGER,
    reason        TEXT NOT NULL,
    valid_from    INTEGER NOT NULL CHECK (valid_from > 0),
    valid_to      INTEGER CHECK (valid_to > valid_from),
    CHECK ((resource_type IS NULL) = (resource_id IS NULL)),
    CHECK (not_before < expires_at),
    PRIMARY KEY (id, valid_from)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX role_assignment_live ON role_assignment (id) WHERE valid_to IS NULL;

CREATE TABLE scope_assignment (
    id          TEXT NOT NULL,
    holder_type TEXT NOT NULL,
    holder_id   TEXT NOT NULL,
    scope       TEXT NOT NULL,
    not_before  INTEGER,
    expires_at  INTEGER,
    reason      TEXT NOT NULL,
    valid_from  INTEGER NOT NULL CHECK (valid_from > 0),
    valid_to    INTEGER CHECK (valid_to > valid_from),
    CHECK (not_before < expires_at),
    PRIMARY KEY (id, valid_from)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX scope_assignment_live ON scope_assignment (id) WHERE valid_to IS NULL;

-- Both kinds of assignment as grants; the id is one namespace.
CREATE VIEW grant_range AS
SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, NULL AS scope,
    not_before, expires_at, reason, valid_from, valid_to
FROM role_assignment
UNION ALL
SELECT id, holder_type, holder_id, NULL, NULL, NULL, NULL, scope,
    not_before, expires_at, reason, valid_from, valid_to
FROM scope_assignment;

CREATE TRIGGER scope_refuses_delete BEFORE DELETE ON scope
BEGIN
    SELECT RAISE(ABORT, 'the history of scopes is never deleted');
END;

CREATE TRIGGER scope_only_ends BEFORE UPDATE ON scope
WHEN OLD.valid_to IS NOT NULL
    OR NEW.valid_to IS NOT (SELECT value FROM revision)
    OR NEW.name IS NOT OLD.name
    OR NEW.action_group IS NOT OLD.action_group
    OR NEW.description IS NOT OLD.description
    OR NEW.valid_from IS NOT OLD.valid_from
BEGIN
    SELECT RAISE(ABORT, 'a row of scope only ends, once, at the current revision');
END;

CREATE TRIGGER scope_only_begins BEFORE INSERT ON scope
WHEN NEW.valid_from IS NOT (SELECT value FROM revision)
    OR NEW.valid_to IS NOT NULL
    OR EXISTS (
        SELECT 1 FROM scope
        WHERE name = NEW.name
            AND (valid_to IS NULL OR valid_from = NEW.valid_from)
    )
BEGIN
    SELECT RAISE(ABORT, 'a row of scope begins at the current revision, where none is live');
END;

CREATE TRIGGER role_assignment_refuses_delete BEFORE DELETE ON role_assignment
BEGIN
    SELECT RAISE(ABORT, 'the history of grants is never deleted');
END;

CREATE TRIGGER role_assignment_only_ends BEFORE UPDATE ON role_assignment
WHEN OLD.valid_to IS NOT NULL
    OR NEW.valid_to IS NOT (SELECT value FROM revision)
    OR NEW.id IS NOT OLD.id
    OR NEW.holder_type IS NOT OLD.holder_type
    OR NEW.holder_id IS NOT OLD.holder_id
    OR NEW.role_type IS NOT OLD.role_type
    OR NEW.role_id IS NOT OLD.role_id
    OR NEW.resource_type IS NOT OLD.resource_type
    OR NEW.resource_id IS NOT OLD.resource_id
    OR NEW.not_before IS NOT OLD.not_before
    OR NEW.expires_at IS NOT OLD.expires_at
    OR NEW.reason IS NOT OLD.reason
    OR NEW.valid_from IS NOT OLD.valid_from
BEGIN
    SELECT RAISE(ABORT, 'a row of role_assignment only ends, once, at the current revision');
END;

CREATE TRIGGER role_assignment_only_begins BEFORE INSERT ON role_assignment
WHEN NEW.valid_from IS NOT (SELECT value FROM revision)
    OR NEW.valid_to IS NOT NULL
    OR EXISTS (
        SELECT 1 FROM role_assignment
        WHERE id = NEW.id
            AND (valid_to IS NULL OR valid_from = NEW.valid_from)
    )
BEGIN
    SELECT RAISE(ABORT, 'a row of role_assignment begins at the current revision, where none is live');
END;

CREATE TRIGGER scope_assignment_refuses_delete BEFORE DELETE ON scope_assignment
BEGIN
    SELECT RAISE(ABORT, 'the history of grants is never deleted');
END;

CREATE TRIGGER scope_assignment_only_ends BEFORE UPDATE ON scope_assignment
WHEN OLD.valid_to IS NOT NULL
    OR NEW.valid_to IS NOT (SELECT value FROM revision)
    OR NEW.id IS NOT OLD.id
    OR NEW.holder_type IS NOT OLD.holder_type
    OR NEW.holder_id IS NOT OLD.holder_id
    OR NEW.scope IS NOT OLD.scope
    OR NEW.not_before IS NOT OLD.not_before
    OR NEW.expires_at IS NOT OLD.expires_at
    OR NEW.reason IS NOT OLD.reason
    OR NEW.valid_from IS NOT OLD.valid_from
BEGIN
    SELECT RAISE(ABORT, 'a row of scope_assignment only ends, once, at the current revision');
END;

CREATE TRIGGER scope_assignment_only_begins BEFORE INSERT ON scope_assignment
WHEN NEW.valid_from IS NOT (SELECT value FROM revision)
    OR NEW.valid_to IS NOT NULL
    OR EXISTS (
        SELECT 1 FROM scope_assignment
        WHERE id = NEW.id
            AND (valid_to IS NULL OR valid_from = NEW.valid_from)
    )
BEGIN
    SELECT RAISE(ABORT, 'a row of scope_assignment begins at the current revision, where none is live');
END;
