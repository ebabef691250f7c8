//! Every statement on administrative state.
//!
//! Lists travel as arrays or as one JSON array, so that a statement is the same text for one row and for ten
//! thousand.

use crate::statements::statements;

/// An entity with its direct parents, from the rows that `$rows` and `$parent_rows` choose.
macro_rules! entity {
    ($from:literal, $parent_rows:literal, $rows:expr) => {
        concat!(
            "SELECT e.type, e.id, e.attributes, coalesce((SELECT json_agg(json_build_array(p.parent_type, p.parent_id))
                FROM magistrate.entity_parent p WHERE p.type = e.type AND p.id = e.id AND ",
            $parent_rows,
            ")::text, '[]') FROM ",
            $from,
            " WHERE ",
            $rows,
            " ORDER BY e.type, e.id"
        )
    };
}

/// Live entities that match the optional fields of a filter, from $3 on. An attribute that names an entity
/// holds exactly the text $6, and not as the whole of the attributes.
macro_rules! matching_entities {
    ($from:literal, $listed:literal) => {
        concat!(
            entity!(
                $from,
                "p.valid_to IS NULL",
                concat!(
                    $listed,
                    " AND e.valid_to IS NULL
                    AND ($3::text IS NULL OR e.type = $3)
                    AND ($4::text IS NULL OR EXISTS (
                        SELECT 1 FROM magistrate.entity_parent p WHERE p.type = e.type AND p.id = e.id
                            AND p.parent_type = $4 AND p.parent_id = $5 AND p.valid_to IS NULL))
                    AND ($6::text IS NULL OR position($6 IN e.attributes) > 1)
                    AND ($7::text IS NULL OR (e.type, e.id) > ($7, $8))"
                )
            ),
            " LIMIT $9"
        )
    };
}

/// Grants from the rows that `$rows` chooses.
macro_rules! grant {
    ($rows:expr) => {
        concat!(
            "SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, scope, not_before,
                expires_at, reason FROM magistrate.grant_range WHERE ",
            $rows,
            " ORDER BY id"
        )
    };
}

/// Live grants that match the optional fields of a filter, from $2 on.
macro_rules! matching_grants {
    ($listed:literal) => {
        concat!(
            grant!(concat!(
                $listed,
                " AND valid_to IS NULL
                AND ($2::text IS NULL OR (holder_type = $2 AND holder_id = $3))
                AND ($4::text IS NULL OR (role_type = $4 AND role_id = $5))
                AND ($6::text IS NULL OR scope = $6)
                AND ($7::text IS NULL OR (resource_type = $7 AND resource_id = $8))
                AND ($9::bigint IS NULL
                    OR ((not_before IS NULL OR not_before <= $9) AND (expires_at IS NULL OR $9 < expires_at)))
                AND ($10::bigint IS NULL OR expires_at < $10)
                AND ($11::text IS NULL OR id > $11)"
            )),
            " LIMIT $12"
        )
    };
}

/// How many rows of a table were live at a revision.
macro_rules! as_of {
    ($table:literal) => {
        concat!("(SELECT count(*) FROM ", $table, " WHERE valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1))")
    };
}

statements! {
    /// Where the store stands, and its clock in microseconds.
    STANDING = "SELECT value, lineage, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        FROM magistrate.revision WHERE id = 1";
    /// The lineage after an earlier revision.
    LINEAGE = "SELECT lineage FROM magistrate.revision_lineage WHERE revision = $1";
    /// Where the store stands, the lineage after an earlier revision, and how many changes were made after that one,
    /// counted no further than asked.
    SINCE = "SELECT r.value, r.lineage, (SELECT l.lineage FROM magistrate.revision_lineage l WHERE l.revision = $1), (
            SELECT count(*) FROM (
                SELECT 1 FROM magistrate.change_log WHERE revision > $1 ORDER BY revision LIMIT $2) l)
        FROM magistrate.revision r WHERE r.id = 1";
    /// Makes a revision of its log; the policy sets it applies come beside it.
    COMMIT = "SELECT revision, lineage FROM magistrate.commit($1, $2::text::json, $3::text::json, $4, $5, $6)";

    /// The change log after a revision, up to another one.
    LOG = "SELECT l.revision, l.ordinal::bigint, l.kind, l.key, l.before, l.after, l.actor, l.reason, l.at
        FROM magistrate.change_log l WHERE l.revision > $1 AND l.revision <= $2 ORDER BY l.revision, l.ordinal";

    /// How many entities and grants there were at a revision, and changes up to it.
    SIZE_AS_OF = concat!(
        "SELECT ", as_of!("magistrate.entity"), " + ", as_of!("magistrate.role_assignment"), " + ", as_of!("magistrate.scope_assignment"),
        " + (SELECT count(*) FROM magistrate.change_log WHERE revision <= $1)"
    );
    /// Live entities by filter.
    ENTITIES = matching_entities!("magistrate.entity e", "$1::text[] IS NULL AND $2::text[] IS NULL");
    /// Live entities by filter, among those listed.
    ENTITIES_LISTED = matching_entities!(
        "(SELECT DISTINCT type COLLATE \"C\" AS type, id COLLATE \"C\" AS id
            FROM unnest($1::text[], $2::text[]) AS w (type, id)) w
            JOIN magistrate.entity e ON e.type = w.type AND e.id = w.id", "true"
    );
    /// All live entities, without their parents: joined, they would have to be sorted first.
    LIVE_ENTITIES = "SELECT type, id, attributes FROM magistrate.entity WHERE valid_to IS NULL";
    /// The parents of all live entities.
    LIVE_PARENTS = "SELECT type, id, parent_type, parent_id FROM magistrate.entity_parent WHERE valid_to IS NULL";
    /// Entities as of a revision.
    ENTITIES_AS_OF = entity!(
        "magistrate.entity e",
        "p.valid_from <= $1 AND (p.valid_to IS NULL OR p.valid_to > $1)",
        "e.valid_from <= $1 AND (e.valid_to IS NULL OR e.valid_to > $1)"
    );

    /// Live scopes.
    SCOPES = "SELECT name, action_group, description FROM magistrate.scope WHERE valid_to IS NULL ORDER BY name";
    /// Scopes as of a revision.
    SCOPES_AS_OF = "SELECT name, action_group, description FROM magistrate.scope
        WHERE valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1) ORDER BY name";

    /// Live grants by filter.
    GRANTS = matching_grants!("$1::text[] IS NULL");
    /// Live grants by filter, among those listed.
    GRANTS_LISTED = matching_grants!("id = ANY ($1::text[])");
    /// All live grants.
    LIVE_GRANTS = "SELECT id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, scope,
            not_before, expires_at, reason
        FROM magistrate.grant_range WHERE valid_to IS NULL";
    /// Grants as of a revision.
    GRANTS_AS_OF = grant!("valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1)");

    /// The policy set that was live at a revision, its policies as two arrays: ten thousand rows take longer.
    POLICY_SET_AS_OF = "SELECT s.digest, s.schema,
            ARRAY(SELECT p.id FROM magistrate.policy p WHERE p.set_digest = s.digest ORDER BY p.id),
            ARRAY(SELECT p.text FROM magistrate.policy p WHERE p.set_digest = s.digest ORDER BY p.id)
        FROM magistrate.policy_set s WHERE s.digest = (
            SELECT result_digest FROM magistrate.policy_migration WHERE revision <= $1 ORDER BY number DESC LIMIT 1)";
    /// The policy migrations, oldest first.
    MIGRATIONS = "SELECT number, name, base_digest, result_digest, revision, actor, reason, at
        FROM magistrate.policy_migration ORDER BY number";

    /// Tells what a node serves.
    REPORT = "SELECT magistrate.report_node($1, $2, $3, $4, $5, $6, $7)";
    /// Every key, for nodes.
    KEYS = "SELECT id, caller, hash, kind, created_at, expires_at, revoked_at
        FROM magistrate.api_key ORDER BY created_at, id";
    /// Every key without its hash.
    LISTED_KEYS = "SELECT id, caller, kind, created_at, expires_at, created_by, reason, revoked_at, revoked_by,
            revoked_reason
        FROM magistrate.list_api_keys()";
    /// Keeps a key.
    ISSUE_KEY = "SELECT magistrate.issue_api_key($1, $2, $3, $4, $5, $6, $7, $8)";
    /// Ends a key that has not been revoked.
    REVOKE_KEY = "SELECT magistrate.revoke_api_key($1, $2, $3, $4)";
    /// What every node serves.
    NODES = "SELECT stream, name, version, revision, policy_set, started_at, reported_at
        FROM magistrate.node ORDER BY name, started_at, stream";
}
