-- Which revision each node serves, as it tells itself. A stream is one process run.
CREATE TABLE magistrate.node (
    stream      bytea  NOT NULL PRIMARY KEY CHECK (octet_length(stream) = 16),
    name        text   NOT NULL,
    version     text   NOT NULL,
    revision    bigint NOT NULL CHECK (revision >= 0),
    policy_set  bytea  CHECK (octet_length(policy_set) = 32),
    started_at  bigint NOT NULL,
    reported_at bigint NOT NULL
);

-- Tells what a node serves; those silent for a day are forgotten.
CREATE FUNCTION magistrate.report_node(
    p_stream bytea, p_name text, p_version text, p_revision bigint, p_policy_set bytea, p_started_at bigint,
    p_reported_at bigint
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO magistrate.node AS n (stream, name, version, revision, policy_set, started_at, reported_at)
        VALUES (p_stream, p_name, p_version, p_revision, p_policy_set, p_started_at, p_reported_at)
        ON CONFLICT (stream) DO UPDATE SET name = p_name, version = p_version, revision = p_revision,
            policy_set = p_policy_set, reported_at = p_reported_at;
    DELETE FROM magistrate.node WHERE reported_at < p_reported_at - 86400000000;
$$;

-- Who may ask: filled when callers have identities.
CREATE TABLE magistrate.caller (
    id         text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    identity   text COLLATE "C" NOT NULL,
    rights     text   NOT NULL,
    valid_from bigint NOT NULL CHECK (valid_from > 0),
    valid_to   bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (id, valid_from)
);

CREATE UNIQUE INDEX caller_live ON magistrate.caller (id) WHERE valid_to IS NULL;

CREATE TABLE magistrate.api_key (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    caller     text COLLATE "C" NOT NULL,
    hash       bytea  NOT NULL CHECK (octet_length(hash) = 32),
    kind       text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL CHECK (expires_at > created_at),
    revoked_at bigint
);

CREATE TABLE magistrate.signing_key (
    kid        text COLLATE "C" NOT NULL PRIMARY KEY,
    purpose    text COLLATE "C" NOT NULL,
    algorithm  text COLLATE "C" NOT NULL,
    public_key bytea  NOT NULL,
    not_before bigint NOT NULL,
    expires_at bigint NOT NULL CHECK (expires_at > not_before),
    revoked_at bigint
);

CREATE TABLE magistrate.token_revocation (
    jti        text COLLATE "C" NOT NULL PRIMARY KEY,
    subject    text COLLATE "C" NOT NULL,
    revoked_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    reason     text   NOT NULL
);
