-- Immutable policy sets, addressed by the digest of what they mean.
CREATE TABLE magistrate.policy_set (
    digest bytea NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    schema text  COLLATE "C" NOT NULL
);

CREATE TABLE magistrate.policy (
    set_digest bytea NOT NULL REFERENCES magistrate.policy_set (digest),
    id         text  COLLATE "C" NOT NULL,
    text       text  COLLATE "C" NOT NULL,
    PRIMARY KEY (set_digest, id)
);

-- The result of the newest migration is the live set.
CREATE TABLE magistrate.policy_migration (
    number        bigint NOT NULL PRIMARY KEY CHECK (number > 0),
    name          text   COLLATE "C" NOT NULL,
    base_digest   bytea  REFERENCES magistrate.policy_set (digest),
    result_digest bytea  NOT NULL REFERENCES magistrate.policy_set (digest),
    revision      bigint NOT NULL CHECK (revision > 0),
    actor         text   COLLATE "C" NOT NULL,
    reason        text   COLLATE "C" NOT NULL,
    at            bigint NOT NULL
);

CREATE INDEX policy_migration_by_revision ON magistrate.policy_migration (revision);

-- A set is complete before the migration that applies it exists; from then on nothing joins it.
CREATE FUNCTION magistrate.require_open_set() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_open_set$
BEGIN
    IF EXISTS (
        SELECT FROM written w JOIN magistrate.policy_migration m ON m.result_digest = w.set_digest
    ) THEN
        RAISE EXCEPTION 'INSERT on magistrate.policy is refused'
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'no policy joins a set that was applied';
    END IF;
    RETURN NULL;
END
$require_open_set$;

CREATE FUNCTION magistrate.require_dense_migrations() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_dense_migrations$
BEGIN
    IF (SELECT max(m.number) <> count(*) FROM magistrate.policy_migration m) THEN
        RAISE EXCEPTION 'INSERT on magistrate.policy_migration is refused'
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'policy migrations are numbered without a gap';
    END IF;
    RETURN NULL;
END
$require_dense_migrations$;

CREATE TRIGGER policy_set_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.policy_set
    EXECUTE FUNCTION magistrate.refuse_change('policy sets are never changed');

CREATE TRIGGER policy_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.policy
    EXECUTE FUNCTION magistrate.refuse_change('policies of a set are never changed');
CREATE TRIGGER policy_joins_open_set AFTER INSERT ON magistrate.policy
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_open_set();

CREATE TRIGGER policy_migration_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.policy_migration
    EXECUTE FUNCTION magistrate.refuse_change('policy migrations are never changed');
CREATE TRIGGER policy_migration_grows AFTER INSERT ON magistrate.policy_migration
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_current_revision();
CREATE TRIGGER policy_migration_is_dense AFTER INSERT ON magistrate.policy_migration
    EXECUTE FUNCTION magistrate.require_dense_migrations();

ALTER TABLE magistrate.policy_set ENABLE ALWAYS TRIGGER policy_set_refuses_change;
ALTER TABLE magistrate.policy ENABLE ALWAYS TRIGGER policy_refuses_change;
ALTER TABLE magistrate.policy ENABLE ALWAYS TRIGGER policy_joins_open_set;
ALTER TABLE magistrate.policy_migration ENABLE ALWAYS TRIGGER policy_migration_refuses_change;
ALTER TABLE magistrate.policy_migration ENABLE ALWAYS TRIGGER policy_migration_grows;
ALTER TABLE magistrate.policy_migration ENABLE ALWAYS TRIGGER policy_migration_is_dense;
