//! Rows of entities and their parents.

use std::collections::BTreeSet;

use magistrate_model::{EntityData, EntityUid, Revision, TypeName, json};
use magistrate_pap::EntityFilter;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::revision::stored;
use super::rows::{id_of, limit, run, type_of};
use super::statements::{
    BEGIN_ENTITIES, BEGIN_PARENTS, END_ENTITIES, END_PARENTS, ENTITIES, ENTITIES_AS_OF, ENTITIES_LISTED,
};
use super::tracked::Tracked;

/// Type, id, attributes, and parents as an array of `[type, id]`.
type Row = (String, String, String, String);

/// Live entities that match, in (type, id) order.
pub(crate) async fn matching(
    connection: &mut SqliteConnection,
    filter: &EntityFilter,
) -> Result<Vec<EntityData>, ReadError> {
    let statement = filter.uids.as_ref().map_or(ENTITIES, |_| ENTITIES_LISTED);
    let (parent, naming, after) = (filter.parent.as_ref(), filter.naming.as_ref(), filter.after.as_ref());
    let rows: Vec<Row> = sqlx::query_as(statement)
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
    rows.iter().map(entity_from).collect()
}

/// Entities as of a revision, in (type, id) order.
pub(crate) async fn as_of(connection: &mut SqliteConnection, revision: Revision) -> Result<Vec<EntityData>, ReadError> {
    let rows: Vec<Row> = sqlx::query_as(ENTITIES_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    rows.iter().map(entity_from).collect()
}

/// Writes what a revision changes about entities and their parents.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    revision: Revision,
    entities: &Tracked<EntityUid, EntityData>,
) -> Result<(), ReadError> {
    let ended = entities.ended().map(|entity| pair(&entity.uid));
    let begun = entities.begun().map(|entity| {
        let attributes = json::record(&entity.attributes).to_string();
        json!([type_of(&entity.uid), id_of(&entity.uid), attributes])
    });
    let (old_parents, new_parents) = (edges(entities.ended()), edges(entities.begun()));
    let lost = old_parents.difference(&new_parents).map(edge);
    let gained = new_parents.difference(&old_parents).map(edge);
    run(connection, END_ENTITIES, ended, revision).await?;
    run(connection, END_PARENTS, lost, revision).await?;
    run(connection, BEGIN_ENTITIES, begun, revision).await?;
    run(connection, BEGIN_PARENTS, gained, revision).await
}

/// Uids as the JSON list of `[type, id]` that statements take.
fn list(uids: &BTreeSet<EntityUid>) -> String {
    Value::Array(uids.iter().map(pair).collect()).to_string()
}

fn pair(uid: &EntityUid) -> Value {
    json!([type_of(uid), id_of(uid)])
}

fn edges<'a>(entities: impl Iterator<Item = &'a EntityData>) -> BTreeSet<(&'a EntityUid, &'a EntityUid)> {
    entities.flat_map(|entity| entity.parents.iter().map(|parent| (&entity.uid, parent))).collect()
}

fn edge((child, parent): &(&EntityUid, &EntityUid)) -> Value {
    json!([type_of(child), id_of(child), type_of(parent), id_of(parent)])
}

fn entity_from((type_name, id, attributes, parents): &Row) -> Result<EntityData, ReadError> {
    let refused =
        |why: &dyn std::fmt::Display| ReadError::inconsistent("entity", &format!("{type_name}::\"{id}\""), why);
    let attributes = json::parse(attributes).and_then(|json| json::record_from(&json, "attributes"));
    let parents: Vec<(String, String)> = serde_json::from_str(parents).map_err(|why| refused(&why))?;
    let parents = parents.iter().map(|(parent, id)| EntityUid::from_parts(parent, id));
    Ok(EntityData {
        uid: EntityUid::from_parts(type_name, id).map_err(|why| refused(&why))?,
        attributes: attributes.map_err(|why| refused(&why))?,
        parents: parents.collect::<Result<_, _>>().map_err(|why| refused(&why))?,
    })
}
