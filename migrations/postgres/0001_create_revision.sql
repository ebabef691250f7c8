-- Which roles this installation uses; written once by the first migration.
CREATE TABLE magistrate.installation (
    id          smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    role_prefix text     NOT NULL
);

-- One row: where the store stands. The first statement of every administrative transaction advances it.
CREATE TABLE magistrate.revision (
    id      smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    value   bigint   NOT NULL CHECK (value >= 0),
    lineage bytea    NOT NULL CHECK (octet_length(lineage) = 32)
);

INSERT INTO magistrate.revision (id, value, lineage) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- The digest over all changes up to each revision: whoever served an earlier one can tell whether this is
-- still the history it followed.
CREATE TABLE magistrate.revision_lineage (
    revision bigint NOT NULL PRIMARY KEY CHECK (revision > 0),
    lineage  bytea  NOT NULL CHECK (octet_length(lineage) = 32)
);

-- What each revision changed, with what was there before and after as JSON. Instants are microseconds.
CREATE TABLE magistrate.change_log (
    revision bigint  NOT NULL CHECK (revision > 0),
    ordinal  integer NOT NULL CHECK (ordinal >= 0),
    kind     text COLLATE "C" NOT NULL,
    key      text COLLATE "C" NOT NULL,
    before   text,
    after    text,
    actor    text    NOT NULL,
    reason   text    NOT NULL,
    at       bigint  NOT NULL,
    PRIMARY KEY (revision, ordinal)
);

CREATE FUNCTION magistrate.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is history: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION magistrate.revision_is_dense() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.value NOT IN (OLD.value, OLD.value + 1) THEN
        RAISE EXCEPTION 'the revision only advances by one' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER revision_is_dense BEFORE UPDATE ON magistrate.revision
    FOR EACH ROW EXECUTE FUNCTION magistrate.revision_is_dense();
ALTER TABLE magistrate.revision ENABLE ALWAYS TRIGGER revision_is_dense;
