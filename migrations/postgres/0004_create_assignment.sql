-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
CREATE TABLE magistrate.scope (
    name         text COLLATE "C" NOT NULL,
    action_group text COLLATE "C" NOT NULL,
    description  text   NOT NULL,
    valid_from   bigint NOT NULL CHECK (valid_from > 0),
    valid_to     bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (name, valid_from)
);

CREATE UNIQUE INDEX scope_live ON magistrate.scope (name) WHERE valid_to IS NULL;

CREATE TABLE magistrate.role_assignment (
    id            text COLLATE "C" NOT NULL,
    holder_type   text COLLATE "C" NOT NULL,
    holder_id     text COLLATE "C" NOT NULL,
    role_type     text COLLATE "C" NOT NULL,
    role_id       text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C",
    resource_id   text COLLATE "C",
    not_before    bigint,
    expires_at    bigint,
    reason        text   NOT NULL,
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
    id          text COLLATE "C" NOT NULL,
    holder_type text COLLATE "C" NOT NULL,
    holder_id   text COLLATE "C" NOT NULL,
    scope       text COLLATE "C" NOT NULL,
    not_before  bigint,
    expires_at  bigint,
    reason      text   NOT NULL,
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
SELECT id, holder_type, holder_id, NULL, NULL, NULL, NULL, scope,
    not_before, expires_at, reason, valid_from, valid_to
FROM magistrate.scope_assignment;
