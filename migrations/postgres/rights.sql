-- What each role may do, all of it: applied again by every migration. Names in braces stand for role names.
REVOKE ALL ON SCHEMA magistrate, audit FROM PUBLIC, {app}, {admin}, {auditor}, {retention};
REVOKE ALL ON ALL TABLES IN SCHEMA magistrate, audit FROM PUBLIC, {app}, {admin}, {auditor}, {retention};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA magistrate, audit FROM PUBLIC, {app}, {admin}, {auditor}, {retention};

GRANT USAGE ON SCHEMA magistrate TO {app}, {admin}, {auditor}, {retention};
GRANT USAGE ON SCHEMA audit TO {app}, {admin}, {auditor}, {retention};

GRANT SELECT ON magistrate._sqlx_migrations, magistrate.installation, magistrate.revision, magistrate.revision_lineage,
    magistrate.change_log, magistrate.policy_set, magistrate.policy, magistrate.policy_migration, magistrate.entity,
    magistrate.entity_parent, magistrate.scope, magistrate.role_assignment, magistrate.scope_assignment,
    magistrate.grant_range, magistrate.caller, magistrate.signing_key, magistrate.token_revocation, magistrate.node
    TO {app}, {admin}, {auditor}, {retention};
GRANT SELECT ON magistrate.api_key TO {app};

-- A decision is written by one function, and not read by whoever writes it.
GRANT EXECUTE ON FUNCTION audit.append, audit.keep_dictionary, audit.ship, audit.seal, audit.keep_checkpoint, audit.last_header, audit.last_seq, audit.prepare_days, magistrate.report_node TO {app};

GRANT EXECUTE ON FUNCTION magistrate.commit, magistrate.issue_api_key, magistrate.revoke_api_key TO {admin};
GRANT EXECUTE ON FUNCTION magistrate.list_api_keys TO {app}, {admin}, {auditor}, {retention};

GRANT SELECT ON audit.decision, audit.decision_readable, audit.stream, audit.header, audit.checkpoint, audit.hold,
    audit.hold_release, audit.expiry, audit.expired_place, audit.kept_leaf TO {auditor}, {retention};
GRANT SELECT ON audit.opening, audit.erasure, audit.dictionary TO {auditor}, {retention};
GRANT EXECUTE ON FUNCTION audit.plain TO {auditor}, {retention};

-- Whoever reads history or changes keys says so; whoever sequences the log reads what it is over.
GRANT EXECUTE ON FUNCTION audit.record_act TO {app}, {admin}, {auditor}, {retention};
GRANT EXECUTE ON FUNCTION audit.lease_log, audit.append_log TO {app};
GRANT SELECT ON audit.header, audit.checkpoint, audit.act, audit.log, audit.log_root, audit.sequencer
    TO {app}, {auditor}, {retention};

-- Days are taken out, and held, by one role through three functions.
GRANT EXECUTE ON FUNCTION audit.is_held TO {auditor}, {retention};
GRANT EXECUTE ON FUNCTION audit.hold_days, audit.release_days, audit.expire_day TO {retention};

-- The same role erases private values.
GRANT EXECUTE ON FUNCTION audit.count_erasable, audit.erasable, audit.erase TO {retention};
