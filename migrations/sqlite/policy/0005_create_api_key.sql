-- Keys are kept as hashes only, all of them end, and none is ever deleted.
CREATE TABLE api_key (
    id             TEXT    NOT NULL PRIMARY KEY,
    caller         TEXT    NOT NULL,
    hash           BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    kind           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL CHECK (expires_at > created_at),
    created_by     TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    revoked_at     INTEGER,
    revoked_by     TEXT,
    revoked_reason TEXT
) STRICT;

CREATE TRIGGER api_key_is_never_deleted BEFORE DELETE ON api_key
BEGIN
    SELECT RAISE(ABORT, 'the history of keys is never deleted');
END;

CREATE TRIGGER api_key_is_only_revoked BEFORE UPDATE ON api_key
WHEN OLD.revoked_at IS NOT NULL
    OR NEW.revoked_at IS NULL OR NEW.revoked_by IS NULL OR NEW.revoked_reason IS NULL
    OR (OLD.id, OLD.caller, OLD.hash, OLD.kind, OLD.created_at, OLD.expires_at, OLD.created_by, OLD.reason)
    IS NOT (NEW.id, NEW.caller, NEW.hash, NEW.kind, NEW.created_at, NEW.expires_at, NEW.created_by, NEW.reason)
BEGIN
    SELECT RAISE(ABORT, 'a key is only revoked, once');
END;
