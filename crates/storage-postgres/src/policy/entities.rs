//! Reading entities and their parents.

use std::collections::HashMap;

use magistrate_model::{EntityData, EntityUid, Revision, TypeName, Value, json};
use magistrate_pap::EntityFilter;
use magistrate_pap::rows::{self, EntityRow, Reader, stored};

use super::copy;
use super::read_error::ReadError;
use super::rows::{id_of, limit, type_of};
use super::statements::{ENTITIES, ENTITIES_AS_OF, ENTITIES_LISTED, LIVE_ENTITIES, LIVE_PARENTS};
use crate::connect::Session;

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

/// Gives all live entities.
pub(crate) async fn live(session: &mut Session, mut give: impl FnMut(EntityData)) -> Result<(), ReadError> {
    let mut reader = Reader::default();
    let mut parents: HashMap<EntityUid, Vec<EntityUid>> = HashMap::new();
    copy::each_row(session, LIVE_PARENTS, |fields| {
        let child = reader.entity_uid(fields.text()?, fields.text()?)?;
        let parent = reader.parent(&child, fields.text()?, fields.text()?)?;
        parents.entry(child).or_insert_with(|| Vec::with_capacity(1)).push(parent);
        Ok(())
    })
    .await?;
    copy::each_row(session, LIVE_ENTITIES, |fields| {
        let mut entity = reader.entity(fields.text()?, fields.text()?, fields.text()?)?;
        entity.parents.extend(parents.remove(&entity.uid).into_iter().flatten());
        give(entity);
        Ok(())
    })
    .await
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
