//! How parameters travel.

use magistrate_model::EntityUid;

/// How many rows a statement may return; PostgreSQL reads NULL as all.
pub(crate) fn limit(limit: Option<u32>) -> Option<i64> {
    limit.map(i64::from)
}

pub(crate) fn type_of(uid: &EntityUid) -> &str {
    uid.type_name().as_str()
}

pub(crate) fn id_of(uid: &EntityUid) -> &str {
    uid.id().as_str()
}
