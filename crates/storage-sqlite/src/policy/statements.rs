//! Every statement on the policy file.
//!
//! Lists travel as one JSON array, so that a statement is the same text for one row and for ten thousand.

use crate::statements::statements;

/// An entity with its direct parents, from the rows that `$rows` and `$parent_rows` choose.
macro_rules! entity {
    ($from:literal, $parent_rows:literal, $rows:literal) => {
        concat!(
            "SELECT e.type, e.id, e.attributes, (SELECT json_group_array(json_array(p.parent_type, p.parent_id)) ",
            "FROM entity_parent p WHERE p.type = e.type AND p.id = e.id AND ",
            $parent_rows,
            ") FROM ",
            $from,
            " WHERE ",
            $rows,
            " ORDER BY e.type, e.id"
        )
    };
}

/// Live entities that match the optional fields of a filter, from ?2 on.
macro_rules! matching_entities {
    ($from:literal) => {
        concat!(
            entity!(
                $from,
                "p.valid_to IS NULL",
                "e.valid_to IS NULL
                    AND (?2 IS NULL OR e.type = ?2)
                    AND (?3 IS NULL OR EXISTS (
                        SELECT 1 FROM entity_parent p WHERE p.type = e.type AND p.id = e.id
                            AND p.parent_type = ?3 AND p.parent_id = ?4 AND p.valid_to IS NULL))
                    AND (?5 IS NULL OR EXISTS (
                        SELECT 1 FROM json_tree(e.attributes) n
                        WHERE n.type = 'object' AND n.parent IS NOT NULL
                            AND n.value ->> '$.__entity.type' = ?5 AND n.value ->> '$.__entity.id' = ?6
                            AND (SELECT count(*) FROM json_each(n.value)) = 1))
                    AND (?7 IS NULL OR (e.type, e.id) > (?7, ?8))"
            ),
            " LIMIT ?9"
        )
    };
}

/// Grants from the rows that `$rows` chooses.
macro_rules! grant {
    ($rows:expr) => {
        concat!(
            "SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, scope, not_before, ",
            "expires_at, reason FROM grant_range WHERE ",
            $rows,
            " ORDER BY id"
        )
    };
}

/// Live grants that match the optional fields of a filter, from ?2 on.
macro_rules! matching_grants {
    ($listed:literal) => {
        concat!(
            grant!(concat!(
                $listed,
                " AND valid_to IS NULL
                AND (?2 IS NULL OR (holder_type = ?2 AND holder_id = ?3))
                AND (?4 IS NULL OR (role_type = ?4 AND role_id = ?5))
                AND (?6 IS NULL OR scope = ?6)
                AND (?7 IS NULL OR (resource_type = ?7 AND resource_id = ?8))
                AND (?9 IS NULL
                    OR ((not_before IS NULL OR not_before <= ?9) AND (expires_at IS NULL OR ?9 < expires_at)))
                AND (?10 IS NULL OR expires_at < ?10)
                AND (?11 IS NULL OR id > ?11)"
            )),
            " LIMIT ?12"
        )
    };
}

/// How many rows of a table were live at a revision.
macro_rules! as_of {
    ($table:literal) => {
        concat!("(SELECT count(*) FROM ", $table, " WHERE valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1))")
    };
}

statements! {
    /// Where the store stands.
    HEAD = "SELECT value, lineage FROM revision WHERE id = 1";
    /// Takes the next revision; the first statement of every administrative transaction.
    ADVANCE = "UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value, lineage";
    /// Takes the write lock and changes nothing: fails where nothing can be written.
    PROBE = "UPDATE revision SET value = value WHERE false";
    /// Every key.
    KEYS = "SELECT id, caller, hash, kind, created_at, expires_at, revoked_at FROM api_key ORDER BY created_at, id";
    /// Every key without its hash.
    LISTED_KEYS = "SELECT id, caller, kind, created_at, expires_at, created_by, reason, revoked_at, revoked_by,
            revoked_reason
        FROM api_key ORDER BY created_at, id";
    /// Keeps a key.
    ISSUE_KEY = "INSERT INTO api_key (id, caller, hash, kind, created_at, expires_at, created_by, reason)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    /// Ends a key that has not been revoked.
    REVOKE_KEY = "UPDATE api_key SET revoked_at = ?2, revoked_by = ?3, revoked_reason = ?4
        WHERE id = ?1 AND revoked_at IS NULL";
    /// Sets the lineage of the revision just taken.
    SET_LINEAGE = "UPDATE revision SET lineage = ?1 WHERE id = 1";

    /// Appends change log rows given as `[ordinal, kind, key, before, after]`.
    APPEND_LOG = "INSERT INTO change_log (revision, ordinal, kind, key, before, after, actor, reason, at)
        SELECT ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?3, ?4, ?5 FROM json_each(?1)";
    /// The change log after a revision, up to another one.
    LOG = "SELECT revision, ordinal, kind, key, before, after, actor, reason, at FROM change_log
        WHERE revision > ?1 AND revision <= ?2 ORDER BY revision, ordinal";
    /// How many entities and grants there were at a revision, and changes up to it.
    SIZE_AS_OF = concat!(
        "SELECT ", as_of!("entity"), " + ", as_of!("role_assignment"), " + ", as_of!("scope_assignment"),
        " + (SELECT count(*) FROM change_log WHERE revision <= ?1)"
    );
    /// How many changes were made after a revision.
    COUNT_LOG = "SELECT count(*) FROM change_log WHERE revision > ?1";

    /// Live entities by filter.
    ENTITIES = matching_entities!("entity e INDEXED BY entity_live");
    /// Live entities by filter, among those listed.
    ENTITIES_LISTED = matching_entities!(
        "(SELECT DISTINCT value ->> 0 AS type, value ->> 1 AS id FROM json_each(?1)) w
            CROSS JOIN entity e ON e.type = w.type AND e.id = w.id"
    );
    /// Entities as of a revision.
    ENTITIES_AS_OF = entity!(
        "entity e",
        "p.valid_from <= ?1 AND (p.valid_to IS NULL OR p.valid_to > ?1)",
        "e.valid_from <= ?1 AND (e.valid_to IS NULL OR e.valid_to > ?1)"
    );
    /// Ends the live rows of the entities listed.
    END_ENTITIES = "UPDATE entity SET valid_to = ?2 WHERE valid_to IS NULL
        AND (type, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
    /// Begins rows given as `[type, id, attributes]`.
    BEGIN_ENTITIES = "INSERT INTO entity (type, id, attributes, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?1)";
    /// Ends the live rows of parents listed as `[type, id, parent type, parent id]`.
    END_PARENTS = "UPDATE entity_parent SET valid_to = ?2 WHERE valid_to IS NULL
        AND (type, id, parent_type, parent_id) IN (
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1))";
    /// Begins rows of parents given in the same form.
    BEGIN_PARENTS = "INSERT INTO entity_parent (type, id, parent_type, parent_id, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2 FROM json_each(?1)";

    /// Live scopes.
    SCOPES = "SELECT name, action_group, description FROM scope WHERE valid_to IS NULL ORDER BY name";
    /// Scopes as of a revision.
    SCOPES_AS_OF = "SELECT name, action_group, description FROM scope
        WHERE valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1) ORDER BY name";
    /// Ends the live rows of the scopes listed.
    END_SCOPES = "UPDATE scope SET valid_to = ?2 WHERE valid_to IS NULL
        AND name IN (SELECT value FROM json_each(?1))";
    /// Begins rows given as `[name, action group, description]`.
    BEGIN_SCOPES = "INSERT INTO scope (name, action_group, description, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?1)";

    /// Live grants by filter.
    GRANTS = matching_grants!("?1 IS NULL");
    /// Live grants by filter, among those listed.
    GRANTS_LISTED = matching_grants!("id IN (SELECT value FROM json_each(?1))");
    /// Grants as of a revision.
    GRANTS_AS_OF = grant!("valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1)");
    /// Ends the live role assignments listed.
    END_ROLES = "UPDATE role_assignment SET valid_to = ?2 WHERE valid_to IS NULL
        AND id IN (SELECT value FROM json_each(?1))";
    /// Ends the live scope assignments listed.
    END_SCOPE_ASSIGNMENTS = "UPDATE scope_assignment SET valid_to = ?2 WHERE valid_to IS NULL
        AND id IN (SELECT value FROM json_each(?1))";
    /// Begins role assignments; the order of the fields is that of the columns.
    BEGIN_ROLES = "INSERT INTO role_assignment (id, holder_type, holder_id, not_before, expires_at, reason,
            role_type, role_id, resource_type, resource_id, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
            value ->> 6, value ->> 7, value ->> 8, value ->> 9, ?2 FROM json_each(?1)";
    /// Begins scope assignments; the order of the fields is that of the columns.
    BEGIN_SCOPE_ASSIGNMENTS = "INSERT INTO scope_assignment (id, holder_type, holder_id, not_before, expires_at,
            reason, scope, valid_from)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, ?2
        FROM json_each(?1)";

    /// The policy set that was live at a revision.
    POLICY_SET_AS_OF = "SELECT digest, schema FROM policy_set WHERE digest = (
            SELECT result_digest FROM policy_migration WHERE revision <= ?1 ORDER BY number DESC LIMIT 1)";
    /// The policies of a set.
    POLICIES = "SELECT id, text FROM policy WHERE set_digest = ?1 ORDER BY id";
    /// Stores a set unless it is stored already; nothing is returned in that case.
    ADD_POLICY_SET = "INSERT INTO policy_set (digest, schema) SELECT ?1, ?2
        WHERE NOT EXISTS (SELECT 1 FROM policy_set WHERE digest = ?1) RETURNING digest";
    /// Stores a policy of a set.
    ADD_POLICY = "INSERT INTO policy (set_digest, id, text) VALUES (?1, ?2, ?3)";
    /// The policy migrations, oldest first.
    MIGRATIONS = "SELECT number, name, base_digest, result_digest, revision, actor, reason, at
        FROM policy_migration ORDER BY number";
    /// Records a migration; its number and what it is based on follow from those before it.
    ADD_MIGRATION = "INSERT INTO policy_migration
            (number, name, base_digest, result_digest, revision, actor, reason, at)
        SELECT coalesce(max(number), 0) + 1, ?1,
            (SELECT result_digest FROM policy_migration ORDER BY number DESC LIMIT 1), ?2, ?3, ?4, ?5, ?6
        FROM policy_migration";
}
