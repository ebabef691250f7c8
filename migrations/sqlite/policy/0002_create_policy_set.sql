-- Immutable policy sets, addressed by the digest of what they mean.
CREATE TABLE policy_set (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    schema TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
    set_digest BLOB NOT NULL REFERENCES policy_set (digest),
    id         TEXT NOT NULL,
    text       TEXT NOT NULL,
    PRIMARY KEY (set_digest, id)
) STRICT, WITHOUT ROWID;

-- The result of the newest migration is the live set.
CREATE TABLE policy_migration (
    number        INTEGER NOT NULL PRIMARY KEY CHECK (number > 0),
    name          TEXT    NOT NULL,
    base_digest   BLOB    REFERENCES policy_set (digest),
    result_digest BLOB    NOT NULL REFERENCES policy_set (digest),
    revision      INTEGER NOT NULL CHECK (revision > 0),
    actor         TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    at            INTEGER NOT NULL
) STRICT;

CREATE TRIGGER policy_set_refuses_update BEFORE UPDATE ON policy_set
BEGIN
    SELECT RAISE(ABORT, 'policy sets are never changed');
END;

CREATE TRIGGER policy_set_refuses_delete BEFORE DELETE ON policy_set
BEGIN
    SELECT RAISE(ABORT, 'policy sets are never deleted');
END;

CREATE TRIGGER policy_set_refuses_replace BEFORE INSERT ON policy_set
WHEN EXISTS (SELECT 1 FROM policy_set WHERE digest = NEW.digest)
BEGIN
    SELECT RAISE(ABORT, 'policy sets are never replaced');
END;

CREATE TRIGGER policy_refuses_update BEFORE UPDATE ON policy
BEGIN
    SELECT RAISE(ABORT, 'policies of a set are never changed');
END;

CREATE TRIGGER policy_refuses_delete BEFORE DELETE ON policy
BEGIN
    SELECT RAISE(ABORT, 'policies of a set are never deleted');
END;

-- A set is complete before the migration that applies it exists; from then on nothing joins it.
CREATE TRIGGER policy_refuses_replace BEFORE INSERT ON policy
WHEN EXISTS (SELECT 1 FROM policy WHERE set_digest = NEW.set_digest AND id = NEW.id)
    OR EXISTS (SELECT 1 FROM policy_migration WHERE result_digest = NEW.set_digest)
BEGIN
    SELECT RAISE(ABORT, 'policies of a set are never replaced or added');
END;

CREATE TRIGGER policy_migration_refuses_update BEFORE UPDATE ON policy_migration
BEGIN
    SELECT RAISE(ABORT, 'policy migrations are never changed');
END;

CREATE TRIGGER policy_migration_refuses_delete BEFORE DELETE ON policy_migration
BEGIN
    SELECT RAISE(ABORT, 'policy migrations are never deleted');
END;

CREATE TRIGGER policy_migration_only_grows BEFORE INSERT ON policy_migration
WHEN NEW.revision IS NOT (SELECT value FROM revision)
    OR NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM policy_migration)
BEGIN
    SELECT RAISE(ABORT, 'policy migrations only grow at the current revision');
END;
