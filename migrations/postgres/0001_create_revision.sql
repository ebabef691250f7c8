-- Everything here belongs to the owner role; services reach tables by SELECT and by functions only.

-- Which roles this database was made for.
CREATE TABLE magistrate.installation (
    id          integer NOT NULL PRIMARY KEY CHECK (id = 1),
    role_prefix text    COLLATE "C" NOT NULL CHECK (role_prefix <> '')
);

-- Locked for the length of a migration, so that two never run at once.
CREATE TABLE magistrate.migration_lock (
    id integer NOT NULL PRIMARY KEY CHECK (id = 1)
);

INSERT INTO magistrate.migration_lock (id) VALUES (1);

-- One row: where the store stands. The first statement of every administrative transaction advances it.
CREATE TABLE magistrate.revision (
    id      integer NOT NULL PRIMARY KEY CHECK (id = 1),
    value   bigint  NOT NULL CHECK (value >= 0),
    lineage bytea   NOT NULL CHECK (octet_length(lineage) = 32)
) WITH (fillfactor = 10);

INSERT INTO magistrate.revision (id, value, lineage) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- The lineage after each revision, the beginning included.
CREATE TABLE magistrate.revision_lineage (
    revision bigint NOT NULL PRIMARY KEY CHECK (revision >= 0),
    lineage  bytea  NOT NULL CHECK (octet_length(lineage) = 32)
);

INSERT INTO magistrate.revision_lineage (revision, lineage) SELECT value, lineage FROM magistrate.revision;

-- What each revision changed, with what was there before and after as JSON.
CREATE TABLE magistrate.change_log (
    revision bigint  NOT NULL CHECK (revision > 0),
    ordinal  integer NOT NULL CHECK (ordinal >= 0),
    kind     text    COLLATE "C" NOT NULL,
    key      text    COLLATE "C" NOT NULL,
    before   text    COLLATE "C",
    after    text    COLLATE "C",
    actor    text    COLLATE "C" NOT NULL,
    reason   text    COLLATE "C" NOT NULL,
    at       bigint  NOT NULL,
    PRIMARY KEY (revision, ordinal)
);

-- The guards. They are enabled ALWAYS, so that `session_replication_role` does not pass them by.

CREATE FUNCTION magistrate.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse_change$
BEGIN
    RAISE EXCEPTION '% on magistrate.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', DETAIL = TG_ARGV[0];
END
$refuse_change$;

-- For tables whose rows belong to the revision that wrote them; `written` are the new rows.
CREATE FUNCTION magistrate.require_current_revision() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_current_revision$
BEGIN
    IF EXISTS (SELECT FROM written w WHERE w.revision <> (SELECT r.value FROM magistrate.revision r)) THEN
        RAISE EXCEPTION 'INSERT on magistrate.% is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'it only grows at the current revision';
    END IF;
    RETURN NULL;
END
$require_current_revision$;

-- For tables whose rows hold from one revision until another.
CREATE FUNCTION magistrate.require_beginning() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_beginning$
BEGIN
    IF EXISTS (
        SELECT FROM written w
        WHERE w.valid_to IS NOT NULL OR w.valid_from <> (SELECT r.value FROM magistrate.revision r)
    ) THEN
        RAISE EXCEPTION 'INSERT on magistrate.% is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'a row begins at the current revision, without an end';
    END IF;
    RETURN NULL;
END
$require_beginning$;

CREATE FUNCTION magistrate.require_ending() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_ending$
BEGIN
    IF EXISTS (
        SELECT FROM written w WHERE w.valid_to IS DISTINCT FROM (SELECT r.value FROM magistrate.revision r)
    ) THEN
        RAISE EXCEPTION 'UPDATE on magistrate.% is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'a row only ends, once, at the current revision';
    END IF;
    RETURN NULL;
END
$require_ending$;

-- Advancing keeps the lineage; then it is set, once: while the revision has none on record.
CREATE FUNCTION magistrate.require_advance() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_advance$
BEGIN
    IF NEW.id = OLD.id AND NEW.value = OLD.value + 1 AND NEW.lineage = OLD.lineage THEN
        RETURN NEW;
    END IF;
    IF NEW.id = OLD.id AND NEW.value = OLD.value
        AND NOT EXISTS (SELECT FROM magistrate.revision_lineage l WHERE l.revision = NEW.value)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'UPDATE on magistrate.revision is refused'
        USING ERRCODE = 'insufficient_privilege', DETAIL = 'the revision only advances by one';
END
$require_advance$;

CREATE FUNCTION magistrate.require_lineage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $require_lineage$
BEGIN
    IF EXISTS (
        SELECT FROM written w
        WHERE NOT EXISTS (
            SELECT FROM magistrate.revision r WHERE r.value = w.revision AND r.lineage = w.lineage)
    ) THEN
        RAISE EXCEPTION 'INSERT on magistrate.revision_lineage is refused'
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'it records the lineage of the current revision';
    END IF;
    RETURN NULL;
END
$require_lineage$;

CREATE TRIGGER installation_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.installation
    EXECUTE FUNCTION magistrate.refuse_change('the role prefix is set once');

CREATE TRIGGER revision_refuses_rows BEFORE INSERT OR DELETE OR TRUNCATE ON magistrate.revision
    EXECUTE FUNCTION magistrate.refuse_change('the revision is one row, for ever');
CREATE TRIGGER revision_advances BEFORE UPDATE ON magistrate.revision
    FOR EACH ROW EXECUTE FUNCTION magistrate.require_advance();

CREATE TRIGGER revision_lineage_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.revision_lineage
    EXECUTE FUNCTION magistrate.refuse_change('lineages are never changed');
CREATE TRIGGER revision_lineage_grows AFTER INSERT ON magistrate.revision_lineage
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_lineage();

CREATE TRIGGER change_log_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON magistrate.change_log
    EXECUTE FUNCTION magistrate.refuse_change('the change log is never changed');
CREATE TRIGGER change_log_grows AFTER INSERT ON magistrate.change_log
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_current_revision();

ALTER TABLE magistrate.installation ENABLE ALWAYS TRIGGER installation_refuses_change;
ALTER TABLE magistrate.revision ENABLE ALWAYS TRIGGER revision_refuses_rows;
ALTER TABLE magistrate.revision ENABLE ALWAYS TRIGGER revision_advances;
ALTER TABLE magistrate.revision_lineage ENABLE ALWAYS TRIGGER revision_lineage_refuses_change;
ALTER TABLE magistrate.revision_lineage ENABLE ALWAYS TRIGGER revision_lineage_grows;
ALTER TABLE magistrate.change_log ENABLE ALWAYS TRIGGER change_log_refuses_change;
ALTER TABLE magistrate.change_log ENABLE ALWAYS TRIGGER change_log_grows;
