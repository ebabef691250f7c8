//! Reading entities and their parents.

use std::collections::BTreeSet;

use magistrate_model::{EntityData, EntityUid, Revision, TypeName};
use magistrate_pap::EntityFilter;
use magistrate_pap::rows::{self, EntityRow, stored};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{ENTITIES, ENTITIES_AS_OF, ENTITIES_LISTED};

/// Live entities that match, in (type, id) order.
pub(crate) async fn matching(
    connection: &mut SqliteConnection,
    filter: &EntityFilter,
) -> Result<Vec<EntityData>, ReadError> {
    let statement = filter.uids.as_ref().map_or(ENTITIES, |_| ENTITIES_LISTED);
    let (parent, naming, after) = (filter.parent.as_ref(), filter.naming.as_ref(), filter.after.as_ref());
    let rows: Vec<EntityRow> = sqlx::query_as(statement)
        .bind(filter.uids.as_ref().map(list))
        .bind(filter.type_name.as_ref().map(TypeName::as_str))
        .bind(parent.map(type_of))
        .bind(parent.map(id_of))
        .bind(naming.map(type_of))
        .bind(naming.map(id_of))
        .bind(after.map(type_of))
        .bind(after.map(id_of))
        .bind(limit(filter.limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(rows::entity).collect::<Result<_, _>>()?)
}

/// Entities as of a revision, in (type, id) order.
pub(crate) async fn as_of(connection: &mut SqliteConnection, revision: Revision) -> Result<Vec<EntityData>, ReadError> {
    let rows: Vec<EntityRow> = sqlx::query_as(ENTITIES_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    Ok(rows.iter().map(rows::entity).collect::<Result<_, _>>()?)
}

/// Uids as the JSON list of `[type, id]` that statements take.
fn list(uids: &BTreeSet<EntityUid>) -> String {
    Value::Array(uids.iter().map(pair).collect()).to_string()
}

fn pair(uid: &EntityUid) -> Value {
    json!([type_of(uid), id_of(uid)])
}
