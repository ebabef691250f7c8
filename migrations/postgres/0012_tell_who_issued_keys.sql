-- Who made and who revoked a key, and why, is told to those who list keys; and what is no key is not kept: one row
-- that no node can read would keep all keys from being read.
DROP FUNCTION magistrate.list_api_keys();
DROP FUNCTION magistrate.issue_api_key(text, text, bytea, text, bigint, bigint, text, text);

-- A key ends within 366 days of now: when it says it was made is a claim. A day more is for clocks that differ.
CREATE FUNCTION magistrate.issue_api_key(
    p_id text, p_caller text, p_hash bytea, p_kind text, p_created_at bigint, p_expires_at bigint, p_actor text,
    p_reason text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $issue_api_key$
DECLARE
    v_now bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    IF (p_id ~ '^[a-z0-9]{16}$' AND p_kind IN ('check', 'admin', 'audit') AND octet_length(p_caller) BETWEEN 1 AND 128
        AND p_actor <> '' AND p_reason <> '' AND p_expires_at <= v_now + 367 * 86400000000) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'this is no API key' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO magistrate.api_key (id, caller, hash, kind, created_at, expires_at, created_by, reason)
    VALUES (p_id, p_caller, p_hash, p_kind, p_created_at, p_expires_at, p_actor, p_reason);
END
$issue_api_key$;

-- All but the hashes, which nodes alone read.
CREATE FUNCTION magistrate.list_api_keys() RETURNS TABLE (
    id text, caller text, kind text, created_at bigint, expires_at bigint, created_by text, reason text,
    revoked_at bigint, revoked_by text, revoked_reason text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $list_api_keys$
    SELECT k.id, k.caller, k.kind, k.created_at, k.expires_at, k.created_by, k.reason, k.revoked_at, k.revoked_by,
        k.revoked_reason
    FROM magistrate.api_key k ORDER BY k.created_at, k.id;
$list_api_keys$;

REVOKE ALL ON FUNCTION magistrate.issue_api_key, magistrate.list_api_keys FROM PUBLIC;
