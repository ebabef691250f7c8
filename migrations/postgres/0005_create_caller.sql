-- Who may call, and with what. Rows of `caller` hold from `valid_from` until just before `valid_to`, both revisions.
CREATE TABLE magistrate.caller (
    id         text   COLLATE "C" NOT NULL,
    kind       text   COLLATE "C" NOT NULL,
    identity   text   COLLATE "C" NOT NULL,
    rights     text   COLLATE "C" NOT NULL,
    valid_from bigint NOT NULL CHECK (valid_from > 0),
    valid_to   bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (id, valid_from)
);

CREATE UNIQUE INDEX caller_live ON magistrate.caller (id) WHERE valid_to IS NULL;

-- Keys are kept as hashes only, and all of them end.
CREATE TABLE magistrate.api_key (
    id         text   COLLATE "C" NOT NULL PRIMARY KEY,
    caller     text   COLLATE "C" NOT NULL,
    hash       bytea  NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    kind       text   COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL CHECK (expires_at > created_at),
    revoked_at bigint
);

-- Public halves only.
CREATE TABLE magistrate.signing_key (
    kid        text   COLLATE "C" NOT NULL PRIMARY KEY,
    purpose    text   COLLATE "C" NOT NULL,
    algorithm  text   COLLATE "C" NOT NULL,
    public_key bytea  NOT NULL,
    not_before bigint NOT NULL,
    expires_at bigint NOT NULL CHECK (expires_at > not_before),
    revoked_at bigint
);

CREATE TABLE magistrate.token_revocation (
    jti        text   COLLATE "C" NOT NULL PRIMARY KEY,
    subject    text   COLLATE "C" NOT NULL,
    revoked_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    reason     text   COLLATE "C" NOT NULL
);

CREATE TRIGGER caller_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.caller
    EXECUTE FUNCTION magistrate.refuse_change('the history of callers is never deleted');
CREATE TRIGGER caller_begins AFTER INSERT ON magistrate.caller
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER caller_ends AFTER UPDATE ON magistrate.caller
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER caller_only_ends BEFORE UPDATE ON magistrate.caller FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.id, OLD.kind, OLD.identity, OLD.rights, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.id, NEW.kind, NEW.identity, NEW.rights, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.caller ENABLE ALWAYS TRIGGER caller_refuses_change;
ALTER TABLE magistrate.caller ENABLE ALWAYS TRIGGER caller_begins;
ALTER TABLE magistrate.caller ENABLE ALWAYS TRIGGER caller_ends;
ALTER TABLE magistrate.caller ENABLE ALWAYS TRIGGER caller_only_ends;
