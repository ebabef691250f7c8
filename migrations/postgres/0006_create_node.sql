-- What each running node last said of itself.
CREATE TABLE magistrate.node (
    stream      bytea  NOT NULL PRIMARY KEY CHECK (octet_length(stream) = 16),
    name        text   COLLATE "C" NOT NULL,
    version     text   COLLATE "C" NOT NULL,
    revision    bigint NOT NULL CHECK (revision >= 0),
    policy_set  bytea  CHECK (octet_length(policy_set) = 32),
    started_at  bigint NOT NULL,
    reported_at bigint NOT NULL
) WITH (fillfactor = 50);

-- Takes a node's report and forgets nodes that have not reported for a day, by the clock that is further behind.
CREATE FUNCTION magistrate.report_node(
    p_stream bytea, p_name text, p_version text, p_revision bigint, p_policy_set bytea, p_started_at bigint,
    p_reported_at bigint
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $report_node$
DECLARE
    v_now bigint := least(p_reported_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
BEGIN
    INSERT INTO magistrate.node AS n (stream, name, version, revision, policy_set, started_at, reported_at)
    VALUES (p_stream, p_name, p_version, p_revision, p_policy_set, p_started_at, p_reported_at)
    ON CONFLICT (stream) DO UPDATE SET
        name = excluded.name, version = excluded.version, revision = excluded.revision,
        policy_set = excluded.policy_set, started_at = excluded.started_at, reported_at = excluded.reported_at;
    -- Rows that another node is deleting are left to it.
    DELETE FROM magistrate.node n WHERE n.stream IN (
        SELECT o.stream FROM magistrate.node o WHERE o.reported_at < v_now - 86400000000 AND o.stream <> p_stream
        FOR UPDATE SKIP LOCKED);
END
$report_node$;

REVOKE ALL ON FUNCTION magistrate.report_node FROM PUBLIC;
