//! Reading entities and their parents.

use magistrate_model::{EntityData, EntityUid, Revision, TypeName, Value, json};
use magistrate_pap::EntityFilter;
use magistrate_pap::rows::{self, EntityRow, stored};

use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{ENTITIES, ENTITIES_AFTER, ENTITIES_AS_OF, ENTITIES_LISTED};
use crate::connect::Session;

/// Rows that are held at once while everything is read.
const CHUNK: i64 = 10_000;

/// Live entities that match, in (type, id) order.
pub(crate) async fn matching(session: &mut Session, filter: &EntityFilter) -> Result<Vec<EntityData>, ReadError> {
    let statement = filter.uids.as_ref().map_or(ENTITIES, |_| ENTITIES_LISTED);
    let (parent, after) = (filter.parent.as_ref(), filter.after.as_ref());
    let listed = |part: fn(&EntityUid) -> &str| filter.uids.as_ref().map(|uids| uids.iter().map(part).collect());
    let rows: Vec<EntityRow> = sqlx::query_as(statement)
        .persistent(session.prepares)
        .bind::<Option<Vec<&str>>>(listed(type_of))
        .bind::<Option<Vec<&str>>>(listed(id_of))
        .bind(filter.type_name.as_ref().map(TypeName::as_str))
        .bind(parent.map(type_of))
        .bind(parent.map(id_of))
        .bind(filter.naming.as_ref().map(reference))
        .bind(after.map(type_of))
        .bind(after.map(id_of))
        .bind(limit(filter.limit))
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.iter().map(rows::entity).collect::<Result<_, _>>()?)
}

/// All live entities, in (type, id) order. They are read piece by piece.
pub(crate) async fn live(session: &mut Session) -> Result<Vec<EntityData>, ReadError> {
    let mut entities: Vec<EntityData> = Vec::new();
    loop {
        let after = entities.last().map(|last| (type_of(&last.uid), id_of(&last.uid)));
        let (type_name, id) = after.unwrap_or_default();
        let rows: Vec<EntityRow> = sqlx::query_as(ENTITIES_AFTER)
            .persistent(session.prepares)
            .bind(type_name)
            .bind(id)
            .bind(CHUNK)
            .fetch_all(&mut session.connection)
            .await?;
        for row in &rows {
            entities.push(rows::entity(row)?);
        }
        if rows.is_empty() {
            entities.shrink_to_fit();
            return Ok(entities);
        }
    }
}

/// Entities as of a revision, in (type, id) order.
pub(crate) async fn as_of(session: &mut Session, revision: Revision) -> Result<Vec<EntityData>, ReadError> {
    let rows: Vec<EntityRow> = sqlx::query_as(ENTITIES_AS_OF)
        .persistent(session.prepares)
        .bind(stored(revision)?)
        .fetch_all(&mut session.connection)
        .await?;
    Ok(rows.iter().map(rows::entity).collect::<Result<_, _>>()?)
}

/// How an attribute that names an entity is written in stored JSON. Within a string its quotes would be escaped,
/// so it is found as a value only; a record of that one attribute would be read as the reference.
fn reference(uid: &EntityUid) -> String {
    json::value(&Value::Entity(uid.clone())).to_string()
}
