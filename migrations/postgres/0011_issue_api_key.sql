-- Keys are made and revoked by functions, with who did it and why, and never deleted.
ALTER TABLE magistrate.api_key
    ADD COLUMN created_by     text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN reason         text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN revoked_by     text COLLATE "C",
    ADD COLUMN revoked_reason text COLLATE "C";

CREATE TRIGGER api_key_refuses_change BEFORE DELETE OR TRUNCATE ON magistrate.api_key
    EXECUTE FUNCTION magistrate.refuse_change('the history of keys is never deleted');
CREATE TRIGGER api_key_is_only_revoked BEFORE UPDATE ON magistrate.api_key FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL OR NEW.revoked_at IS NULL
        OR (OLD.id, OLD.caller, OLD.hash, OLD.kind, OLD.created_at, OLD.expires_at, OLD.created_by, OLD.reason)
        IS DISTINCT FROM
        (NEW.id, NEW.caller, NEW.hash, NEW.kind, NEW.created_at, NEW.expires_at, NEW.created_by, NEW.reason))
    EXECUTE FUNCTION magistrate.refuse_change('a key is only revoked, once');

ALTER TABLE magistrate.api_key ENABLE ALWAYS TRIGGER api_key_refuses_change;
ALTER TABLE magistrate.api_key ENABLE ALWAYS TRIGGER api_key_is_only_revoked;

CREATE FUNCTION magistrate.issue_api_key(
    p_id text, p_caller text, p_hash bytea, p_kind text, p_created_at bigint, p_expires_at bigint, p_actor text,
    p_reason text
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $issue_api_key$
    INSERT INTO magistrate.api_key (id, caller, hash, kind, created_at, expires_at, created_by, reason)
    VALUES (p_id, p_caller, p_hash, p_kind, p_created_at, p_expires_at, p_actor, p_reason);
$issue_api_key$;

-- Whether the key was in force.
CREATE FUNCTION magistrate.revoke_api_key(p_id text, p_at bigint, p_actor text, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $revoke_api_key$
BEGIN
    UPDATE magistrate.api_key k SET revoked_at = p_at, revoked_by = p_actor, revoked_reason = p_reason
    WHERE k.id = p_id AND k.revoked_at IS NULL;
    RETURN FOUND;
END
$revoke_api_key$;

-- All but the hashes, which nodes alone read.
CREATE FUNCTION magistrate.list_api_keys() RETURNS TABLE (
    id text, caller text, kind text, created_at bigint, expires_at bigint, revoked_at bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $list_api_keys$
    SELECT k.id, k.caller, k.kind, k.created_at, k.expires_at, k.revoked_at FROM magistrate.api_key k
    ORDER BY k.created_at, k.id;
$list_api_keys$;

REVOKE ALL ON FUNCTION magistrate.issue_api_key, magistrate.revoke_api_key, magistrate.list_api_keys FROM PUBLIC;
