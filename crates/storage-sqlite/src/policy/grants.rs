//! Rows of role and scope assignments.

use magistrate_model::{Conferred, EntityUid, Grant, GrantId, Instant, InvalidInstant, Revision, Term};
use magistrate_pap::GrantFilter;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::revision::stored;
use super::rows::{id_of, limit, run, type_of};
use super::statements::{
    BEGIN_ROLES, BEGIN_SCOPE_ASSIGNMENTS, END_ROLES, END_SCOPE_ASSIGNMENTS, GRANTS, GRANTS_AS_OF, GRANTS_LISTED,
};
use super::tracked::Tracked;

/// Id, holder (type, id), role (type, id), resource (type, id), scope, term (begin, end), reason.
type Row = (
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    String,
);

/// Live grants that match, in id order.
pub(crate) async fn matching(connection: &mut SqliteConnection, filter: &GrantFilter) -> Result<Vec<Grant>, ReadError> {
    let statement = filter.ids.as_ref().map_or(GRANTS, |_| GRANTS_LISTED);
    let ids = filter.ids.as_ref().map(|ids| ids.iter().map(GrantId::as_str).collect::<Value>().to_string());
    let (holder, role, resource) = (filter.holder.as_ref(), filter.role.as_ref(), filter.resource.as_ref());
    let rows: Vec<Row> = sqlx::query_as(statement)
        .bind(ids)
        .bind(holder.map(type_of))
        .bind(holder.map(id_of))
        .bind(role.map(type_of))
        .bind(role.map(id_of))
        .bind(filter.scope.as_deref())
        .bind(resource.map(type_of))
        .bind(resource.map(id_of))
        .bind(filter.in_force_at.map(Instant::micros))
        .bind(filter.expires_before.map(Instant::micros))
        .bind(filter.after.as_ref().map(GrantId::as_str))
        .bind(limit(filter.limit))
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(grant_from).collect()
}

/// Grants as of a revision, in id order.
pub(crate) async fn as_of(connection: &mut SqliteConnection, revision: Revision) -> Result<Vec<Grant>, ReadError> {
    let rows: Vec<Row> = sqlx::query_as(GRANTS_AS_OF).bind(stored(revision)?).fetch_all(connection).await?;
    rows.into_iter().map(grant_from).collect()
}

/// Writes what a revision changes about grants.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    revision: Revision,
    grants: &Tracked<GrantId, Grant>,
) -> Result<(), ReadError> {
    let id = |grant: &Grant| json!(grant.id().as_str());
    let ended = |roles: bool| grants.ended().filter(move |grant| is_role(grant) == roles).map(id);
    run(connection, END_ROLES, ended(true), revision).await?;
    run(connection, END_SCOPE_ASSIGNMENTS, ended(false), revision).await?;
    run(connection, BEGIN_ROLES, grants.begun().filter_map(role_row), revision).await?;
    let scopes = grants.begun().filter_map(scope_row);
    run(connection, BEGIN_SCOPE_ASSIGNMENTS, scopes, revision).await
}

fn is_role(grant: &Grant) -> bool {
    matches!(grant.conferred(), Conferred::Role { .. })
}

fn role_row(grant: &Grant) -> Option<Value> {
    let Conferred::Role { role, resource } = grant.conferred() else {
        return None;
    };
    let resource = resource.as_ref();
    let mut row = common_row(grant);
    row.extend([json!(type_of(role)), json!(id_of(role))]);
    row.extend([json!(resource.map(type_of)), json!(resource.map(id_of))]);
    Some(Value::Array(row))
}

fn scope_row(grant: &Grant) -> Option<Value> {
    let Conferred::Scope(pattern) = grant.conferred() else {
        return None;
    };
    let mut row = common_row(grant);
    row.push(json!(pattern.as_str()));
    Some(Value::Array(row))
}

fn common_row(grant: &Grant) -> Vec<Value> {
    vec![
        json!(grant.id().as_str()),
        json!(type_of(grant.holder())),
        json!(id_of(grant.holder())),
        json!(grant.term().not_before().map(Instant::micros)),
        json!(grant.term().expires_at().map(Instant::micros)),
        json!(grant.reason()),
    ]
}

fn grant_from(row: Row) -> Result<Grant, ReadError> {
    let (id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, scope, begin, end, reason) = row;
    let refused = |why: &dyn std::fmt::Display| ReadError::inconsistent("grant_range", &id, why);
    let uid = |type_name: &str, id: &str| EntityUid::from_parts(type_name, id).map_err(|why| refused(&why));
    let conferred = match (role_type, role_id, scope) {
        (Some(role_type), Some(role_id), None) => Conferred::Role {
            role: uid(&role_type, &role_id)?,
            resource: resource_type.zip(resource_id).map(|(t, id)| uid(&t, &id)).transpose()?,
        },
        (None, None, Some(pattern)) => Conferred::Scope(pattern.parse().map_err(|why| refused(&why))?),
        _ => return Err(refused(&"it confers neither a role nor a scope")),
    };
    let begin = instant(begin).map_err(|why| refused(&why))?;
    let term = match instant(end).map_err(|why| refused(&why))? {
        Some(end) => Term::until(begin, end).map_err(|why| refused(&why))?,
        None => Term::standing(begin),
    };
    let holder = uid(&holder_type, &holder_id)?;
    let grant_id = id.parse().map_err(|why| refused(&why))?;
    Grant::new(grant_id, holder, conferred, term, &reason).map_err(|why| refused(&why))
}

fn instant(micros: Option<i64>) -> Result<Option<Instant>, InvalidInstant> {
    micros.map(Instant::from_micros).transpose()
}
