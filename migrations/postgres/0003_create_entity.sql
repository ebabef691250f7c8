-- Rows hold from `valid_from` until just before `valid_to`, both revisions; a row is live while it has no end.
-- Nothing of a row ever changes but its end, which is set once.
CREATE TABLE magistrate.entity (
    type       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    attributes text   NOT NULL,
    valid_from bigint NOT NULL CHECK (valid_from > 0),
    valid_to   bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, valid_from)
);

CREATE UNIQUE INDEX entity_live ON magistrate.entity (type, id) WHERE valid_to IS NULL;

CREATE TABLE magistrate.entity_parent (
    type        text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    parent_type text COLLATE "C" NOT NULL,
    parent_id   text COLLATE "C" NOT NULL,
    valid_from  bigint NOT NULL CHECK (valid_from > 0),
    valid_to    bigint CHECK (valid_to > valid_from),
    PRIMARY KEY (type, id, parent_type, parent_id, valid_from)
);

CREATE UNIQUE INDEX entity_parent_live ON magistrate.entity_parent (type, id, parent_type, parent_id)
    WHERE valid_to IS NULL;
CREATE INDEX entity_parent_children ON magistrate.entity_parent (parent_type, parent_id) WHERE valid_to IS NULL;
