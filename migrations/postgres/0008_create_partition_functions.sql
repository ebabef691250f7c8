-- Makes the partition of a day unless there is one, and tells whether it did.
--
-- The table is made aside and then attached: that lets everyone go on reading and inserting meanwhile, where
-- CREATE … PARTITION OF would wait for them and make all others wait.
CREATE FUNCTION audit.prepare_day(p_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $prepare_day$
DECLARE
    v_name text := 'decision_' || to_char(p_day, 'YYYYMMDD');
    v_is_partition boolean;
BEGIN
    FOR v_round IN 1..2 LOOP
        SELECT EXISTS (
            SELECT FROM pg_inherits i
            WHERE i.inhrelid = c.oid AND i.inhparent = 'audit.decision'::regclass AND NOT i.inhdetachpending
                AND c.relkind = 'r')
        INTO v_is_partition FROM pg_class c WHERE c.oid = to_regclass(format('audit.%I', v_name));
        IF v_is_partition THEN
            RETURN false;
        END IF;
        -- One at a time; whoever waited looks again.
        LOCK TABLE audit.decision IN SHARE UPDATE EXCLUSIVE MODE;
    END LOOP;
    IF v_is_partition IS NOT NULL THEN
        RAISE EXCEPTION 'the table audit.% is there but not a plain partition of audit.decision', v_name
            USING ERRCODE = 'MG003', HINT = 'find out who detached it and attach it again';
    END IF;
    EXECUTE format('CREATE TABLE audit.%I (LIKE audit.decision INCLUDING ALL)', v_name);
    EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit.%I '
        'FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()', v_name);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit.%I '
        'EXECUTE FUNCTION audit.refuse_change()', v_name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER refuse_change, '
        'ENABLE ALWAYS TRIGGER refuse_truncate', v_name);
    EXECUTE format('ALTER TABLE audit.decision ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
        v_name, p_day, p_day + 1);
    RETURN true;
END
$prepare_day$;

-- Makes the partitions from yesterday's until so many days ahead, and tells how many it made.
CREATE FUNCTION audit.prepare_days(p_ahead integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $prepare_days$
DECLARE
    v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_made integer := 0;
BEGIN
    IF p_ahead IS NULL OR p_ahead NOT BETWEEN 0 AND 31 THEN
        RAISE EXCEPTION 'partitions can be prepared 0 to 31 days ahead, not %', p_ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR v_offset IN -1..p_ahead LOOP
        IF audit.prepare_day(v_today + v_offset) THEN
            v_made := v_made + 1;
        END IF;
    END LOOP;
    RETURN v_made;
END
$prepare_days$;

REVOKE ALL ON FUNCTION audit.prepare_day FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.prepare_days FROM PUBLIC;
