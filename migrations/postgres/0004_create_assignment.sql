-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
-- Nothing of a row ever changes but its end, which is set once.
CREATE TABLE magistrate.scope (
    name         text   COLLATE "C" NOT NULL,
    action_group text   COLLATE "C" NOT NULL,
    description  text   COLLATE "C" NOT NULL,
    valid_from   bigint NOT NULL CHECK (valid_from > 0),
    valid_to     bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (name, valid_from)
);

CREATE UNIQUE INDEX scope_live ON magistrate.scope (name) WHERE valid_to IS NULL;

CREATE TABLE magistrate.role_assignment (
    id            text   COLLATE "C" NOT NULL,
    holder_type   text   COLLATE "C" NOT NULL,
    holder_id     text   COLLATE "C" NOT NULL,
    role_type     text   COLLATE "C" NOT NULL,
    role_id       text   COLLATE "C" NOT NULL,
    resource_type text   COLLATE "C",
    resource_id   text   COLLATE "C",
    not_before    bigint,
    expires_at    bigint,
    reason        text   COLLATE "C" NOT NULL,
    valid_from    bigint NOT NULL CHECK (valid_from > 0),
    valid_to      bigint CHECK (valid_to > valid_from),
    CHECK ((resource_type IS NULL) = (resource_id IS NULL)),
    CHECK (not_before < expires_at),
    PRIMARY KEY (id, valid_from)
);

CREATE UNIQUE INDEX role_assignment_live ON magistrate.role_assignment (id) WHERE valid_to IS NULL;
CREATE INDEX role_assignment_held ON magistrate.role_assignment (holder_type, holder_id) WHERE valid_to IS NULL;
CREATE INDEX role_assignment_of ON magistrate.role_assignment (role_type, role_id) WHERE valid_to IS NULL;
CREATE INDEX role_assignment_on ON magistrate.role_assignment (resource_type, resource_id) WHERE valid_to IS NULL;

CREATE TABLE magistrate.scope_assignment (
    id          text   COLLATE "C" NOT NULL,
    holder_type text   COLLATE "C" NOT NULL,
    holder_id   text   COLLATE "C" NOT NULL,
    scope       text   COLLATE "C" NOT NULL,
    not_before  bigint,
    expires_at  bigint,
    reason      text   COLLATE "C" NOT NULL,
    valid_from  bigint NOT NULL CHECK (valid_from > 0),
    valid_to    bigint CHECK (valid_to > valid_from),
    CHECK (not_before < expires_at),
    PRIMARY KEY (id, valid_from)
);

CREATE UNIQUE INDEX scope_assignment_live ON magistrate.scope_assignment (id) WHERE valid_to IS NULL;
CREATE INDEX scope_assignment_held ON magistrate.scope_assignment (holder_type, holder_id) WHERE valid_to IS NULL;

-- Both kinds of assignment as grants; the id is one namespace.
CREATE VIEW magistrate.grant_range AS
SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, NULL::text COLLATE "C" AS scope,
    not_before, expires_at, reason, valid_from, valid_to
FROM magistrate.role_assignment
UNION ALL
SELECT id, holder_type, holder_id, NULL::text COLLATE "C", NULL::text COLLATE "C", NULL::text COLLATE "C",
    NULL::text COLLATE "C", scope, not_before, expires_at, reason, valid_from, valid_to
FROM magistrate.scope_assignment;

CREATE TRIGGER scope_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.scope
    EXECUTE FUNCTION magistrate.refuse_change('the history of scopes is never deleted');
CREATE TRIGGER scope_begins AFTER INSERT ON magistrate.scope
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER scope_ends AFTER UPDATE ON magistrate.scope
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER scope_only_ends BEFORE UPDATE ON magistrate.scope FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.name, OLD.action_group, OLD.description, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.name, NEW.action_group, NEW.description, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.scope ENABLE ALWAYS TRIGGER scope_refuses_change;
ALTER TABLE magistrate.scope ENABLE ALWAYS TRIGGER scope_begins;
ALTER TABLE magistrate.scope ENABLE ALWAYS TRIGGER scope_ends;
ALTER TABLE magistrate.scope ENABLE ALWAYS TRIGGER scope_only_ends;

CREATE TRIGGER role_assignment_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.role_assignment
    EXECUTE FUNCTION magistrate.refuse_change('the history of grants is never deleted');
CREATE TRIGGER role_assignment_begins AFTER INSERT ON magistrate.role_assignment
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER role_assignment_ends AFTER UPDATE ON magistrate.role_assignment
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER role_assignment_only_ends BEFORE UPDATE ON magistrate.role_assignment FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.id, OLD.holder_type, OLD.holder_id, OLD.role_type, OLD.role_id, OLD.resource_type,
            OLD.resource_id, OLD.not_before, OLD.expires_at, OLD.reason, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.id, NEW.holder_type, NEW.holder_id, NEW.role_type, NEW.role_id, NEW.resource_type,
            NEW.resource_id, NEW.not_before, NEW.expires_at, NEW.reason, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.role_assignment ENABLE ALWAYS TRIGGER role_assignment_refuses_change;
ALTER TABLE magistrate.role_assignment ENABLE ALWAYS TRIGGER role_assignment_begins;
ALTER TABLE magistrate.role_assignment ENABLE ALWAYS TRIGGER role_assignment_ends;
ALTER TABLE magistrate.role_assignment ENABLE ALWAYS TRIGGER role_assignment_only_ends;

CREATE TRIGGER scope_assignment_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.scope_assignment
    EXECUTE FUNCTION magistrate.refuse_change('the history of grants is never deleted');
CREATE TRIGGER scope_assignment_begins AFTER INSERT ON magistrate.scope_assignment
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER scope_assignment_ends AFTER UPDATE ON magistrate.scope_assignment
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER scope_assignment_only_ends BEFORE UPDATE ON magistrate.scope_assignment FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.id, OLD.holder_type, OLD.holder_id, OLD.scope,
            OLD.not_before, OLD.expires_at, OLD.reason, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.id, NEW.holder_type, NEW.holder_id, NEW.scope,
            NEW.not_before, NEW.expires_at, NEW.reason, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.scope_assignment ENABLE ALWAYS TRIGGER scope_assignment_refuses_change;
ALTER TABLE magistrate.scope_assignment ENABLE ALWAYS TRIGGER scope_assignment_begins;
ALTER TABLE magistrate.scope_assignment ENABLE ALWAYS TRIGGER scope_assignment_ends;
ALTER TABLE magistrate.scope_assignment ENABLE ALWAYS TRIGGER scope_assignment_only_ends;
