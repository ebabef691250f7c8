-- Headers of streams, and checkpoints over them. `audit.batch`, which nothing was ever put into, had no room for a header
-- that covers no record.
DROP TABLE audit.batch;

-- What a stream says of itself, one header chained to the next. `header` is canonical; every other column is derived from
-- it and compared with it on reading.
CREATE TABLE audit.header (
    stream    bytea  NOT NULL CHECK (octet_length(stream) = 16),
    number    bigint NOT NULL CHECK (number > 0),
    first_seq bigint NOT NULL CHECK (first_seq > 0),
    count     bigint NOT NULL CHECK (count >= 0),
    root      bytea  NOT NULL CHECK (octet_length(root) = 32),
    header    bytea  NOT NULL,
    PRIMARY KEY (stream, number)
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.header
    EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.header ENABLE ALWAYS TRIGGER refuse_change;

-- Keeps headers of one stream. One that is there already, with exactly these bytes, is accepted again; another one at its
-- number is refused.
CREATE FUNCTION audit.seal(
    p_stream bytea, p_number bigint[], p_first_seq bigint[], p_count bigint[], p_root bytea[], p_header bytea[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $seal$
DECLARE
    v_number bigint;
BEGIN
    IF (cardinality(p_number) = ALL (ARRAY[cardinality(p_first_seq), cardinality(p_count), cardinality(p_root),
        cardinality(p_header)])) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the columns of the headers of stream % are not of one length', encode(p_stream, 'hex')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO audit.header (stream, number, first_seq, count, root, header)
    SELECT p_stream, r.* FROM unnest(p_number, p_first_seq, p_count, p_root, p_header) AS r
    ON CONFLICT DO NOTHING;
    SELECT min(r.number) INTO v_number
    FROM unnest(p_number, p_first_seq, p_count, p_root, p_header) AS r (number, first_seq, count, root, header)
    WHERE NOT EXISTS (
        SELECT FROM audit.header h WHERE h.stream = p_stream AND h.number = r.number AND h.first_seq = r.first_seq
            AND h.count = r.count AND h.root = r.root AND h.header = r.header);
    IF v_number IS NOT NULL THEN
        RAISE EXCEPTION 'header % of stream % is not stored as it is shipped', v_number, encode(p_stream, 'hex')
            USING ERRCODE = 'MG002';
    END IF;
END
$seal$;

-- Keeps a checkpoint. Another one of the same log and size is refused: a log has one root for each size.
CREATE FUNCTION audit.keep_checkpoint(p_origin text, p_size bigint, p_root bytea, p_note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $keep_checkpoint$
BEGIN
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO audit.checkpoint (origin, size, root, note) VALUES (p_origin, p_size, p_root, p_note)
    ON CONFLICT DO NOTHING;
    IF NOT EXISTS (
        SELECT FROM audit.checkpoint c
        WHERE c.origin = p_origin AND c.size = p_size AND c.root = p_root AND c.note = p_note)
    THEN
        RAISE EXCEPTION 'another checkpoint of % with the size % is stored', p_origin, p_size USING ERRCODE = 'MG002';
    END IF;
END
$keep_checkpoint$;

-- The number of the last header of a stream, NULL if it has none.
CREATE FUNCTION audit.last_header(p_stream bytea) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $last_header$
    SELECT max(h.number) FROM audit.header h WHERE h.stream = p_stream;
$last_header$;

REVOKE ALL ON FUNCTION audit.seal, audit.keep_checkpoint, audit.last_header FROM PUBLIC;
