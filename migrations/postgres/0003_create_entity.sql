-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
-- Nothing of a row ever changes but its end, which is set once.
CREATE TABLE magistrate.entity (
    type       text   COLLATE "C" NOT NULL,
    id         text   COLLATE "C" NOT NULL,
    attributes text   COLLATE "C" NOT NULL,
    valid_from bigint NOT NULL CHECK (valid_from > 0),
    valid_to   bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, valid_from)
);

CREATE UNIQUE INDEX entity_live ON magistrate.entity (type, id) WHERE valid_to IS NULL;

CREATE TABLE magistrate.entity_parent (
    type        text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    parent_type text   COLLATE "C" NOT NULL,
    parent_id   text   COLLATE "C" NOT NULL,
    valid_from  bigint NOT NULL CHECK (valid_from > 0),
    valid_to    bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, parent_type, parent_id, valid_from)
);

CREATE UNIQUE INDEX entity_parent_live ON magistrate.entity_parent (type, id, parent_type, parent_id)
    WHERE valid_to IS NULL;

CREATE INDEX entity_parent_children ON magistrate.entity_parent (parent_type, parent_id) WHERE valid_to IS NULL;

CREATE TRIGGER entity_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.entity
    EXECUTE FUNCTION magistrate.refuse_change('the history of entities is never deleted');
CREATE TRIGGER entity_begins AFTER INSERT ON magistrate.entity
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER entity_ends AFTER UPDATE ON magistrate.entity
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER entity_only_ends BEFORE UPDATE ON magistrate.entity FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.type, OLD.id, OLD.attributes, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.type, NEW.id, NEW.attributes, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.entity ENABLE ALWAYS TRIGGER entity_refuses_change;
ALTER TABLE magistrate.entity ENABLE ALWAYS TRIGGER entity_begins;
ALTER TABLE magistrate.entity ENABLE ALWAYS TRIGGER entity_ends;
ALTER TABLE magistrate.entity ENABLE ALWAYS TRIGGER entity_only_ends;

CREATE TRIGGER entity_parent_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.entity_parent
    EXECUTE FUNCTION magistrate.refuse_change('the history of parents is never deleted');
CREATE TRIGGER entity_parent_begins AFTER INSERT ON magistrate.entity_parent
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_beginning();
CREATE TRIGGER entity_parent_ends AFTER UPDATE ON magistrate.entity_parent
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION magistrate.require_ending();
CREATE TRIGGER entity_parent_only_ends BEFORE UPDATE ON magistrate.entity_parent FOR EACH ROW
    WHEN (OLD.valid_to IS NOT NULL
        OR (OLD.type, OLD.id, OLD.parent_type, OLD.parent_id, OLD.valid_from)
        IS DISTINCT FROM
        (NEW.type, NEW.id, NEW.parent_type, NEW.parent_id, NEW.valid_from))
    EXECUTE FUNCTION magistrate.refuse_change('a row only ends, once, at the current revision');

ALTER TABLE magistrate.entity_parent ENABLE ALWAYS TRIGGER entity_parent_refuses_change;
ALTER TABLE magistrate.entity_parent ENABLE ALWAYS TRIGGER entity_parent_begins;
ALTER TABLE magistrate.entity_parent ENABLE ALWAYS TRIGGER entity_parent_ends;
ALTER TABLE magistrate.entity_parent ENABLE ALWAYS TRIGGER entity_parent_only_ends;
