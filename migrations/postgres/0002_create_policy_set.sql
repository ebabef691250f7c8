-- Immutable policy sets, addressed by the digest of what they mean.
CREATE TABLE magistrate.policy_set (
    digest bytea NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    schema text  NOT NULL
);

CREATE TABLE magistrate.policy (
    set_digest bytea NOT NULL REFERENCES magistrate.policy_set (digest),
    id         text COLLATE "C" NOT NULL,
    text       text  NOT NULL,
    PRIMARY KEY (set_digest, id)
);

-- The result of the newest migration is the live set.
CREATE TABLE magistrate.policy_migration (
    number        bigint NOT NULL PRIMARY KEY CHECK (number > 0),
    name          text   NOT NULL,
    base_digest   bytea  REFERENCES magistrate.policy_set (digest),
    result_digest bytea  NOT NULL REFERENCES magistrate.policy_set (digest),
    revision      bigint NOT NULL CHECK (revision > 0),
    actor         text   NOT NULL,
    reason        text   NOT NULL,
    at            bigint NOT NULL
);

CREATE INDEX policy_migration_by_revision ON magistrate.policy_migration (revision);
