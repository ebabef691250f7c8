//! The rows a commit ends and begins, as JSON arrays of their columns: a statement takes a list of any length
//! as one argument.

use std::collections::BTreeSet;

use magistrate_model::{Conferred, EntityData, EntityUid, Grant, GrantId, Instant, ScopeDeclaration, ScopeName, json};
use serde_json::{Value, json};

use super::tracked::Tracked;

/// What happens to the rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowChanges {
    /// Keys of rows that hold no longer.
    pub ended: Vec<Value>,
    /// Rows that hold from now on.
    pub begun: Vec<Value>,
}

/// What a commit does to each table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitRows {
    /// Ended `[type, id]`, begun `[type, id, attributes]`, attributes as JSON text.
    pub entities: RowChanges,
    /// `[type, id, parent type, parent id]`, ended and begun.
    pub parents: RowChanges,
    /// Ended `name`, begun `[name, action group, description]`.
    pub scopes: RowChanges,
    /// Ended `id`, begun `[id, holder type, holder id, not before, expires at, reason, role type, role id,
    /// resource type, resource id]`, instants in microseconds.
    pub roles: RowChanges,
    /// Ended `id`, begun `[id, holder type, holder id, not before, expires at, reason, scope]`.
    pub scope_assignments: RowChanges,
}

impl CommitRows {
    pub(super) fn of(
        entities: &Tracked<EntityUid, EntityData>,
        scopes: &Tracked<ScopeName, ScopeDeclaration>,
        grants: &Tracked<GrantId, Grant>,
    ) -> Self {
        let (old_parents, new_parents) = (edges(entities.ended()), edges(entities.begun()));
        let id = |grant: &Grant| json!(grant.id().as_str());
        let ended = |roles: bool| grants.ended().filter(move |grant| is_role(grant) == roles).map(id).collect();
        Self {
            entities: RowChanges {
                ended: entities.ended().map(|entity| Value::Array(pair(&entity.uid))).collect(),
                begun: entities.begun().map(entity_row).collect(),
            },
            parents: RowChanges {
                ended: old_parents.difference(&new_parents).map(edge).collect(),
                begun: new_parents.difference(&old_parents).map(edge).collect(),
            },
            scopes: RowChanges {
                ended: scopes.ended().map(|scope| json!(scope.name.as_str())).collect(),
                begun: scopes.begun().map(scope_declaration_row).collect(),
            },
            roles: RowChanges { ended: ended(true), begun: grants.begun().filter_map(role_row).collect() },
            scope_assignments: RowChanges {
                ended: ended(false),
                begun: grants.begun().filter_map(scope_row).collect(),
            },
        }
    }
}

fn pair(uid: &EntityUid) -> Vec<Value> {
    vec![json!(uid.type_name().as_str()), json!(uid.id().as_str())]
}

fn entity_row(entity: &EntityData) -> Value {
    let mut row = pair(&entity.uid);
    row.push(json!(json::record(&entity.attributes).to_string()));
    Value::Array(row)
}

fn edges<'a>(entities: impl Iterator<Item = &'a EntityData>) -> BTreeSet<(&'a EntityUid, &'a EntityUid)> {
    entities.flat_map(|entity| entity.parents.iter().map(|parent| (&entity.uid, parent))).collect()
}

fn edge((child, parent): &(&EntityUid, &EntityUid)) -> Value {
    Value::Array([pair(child), pair(parent)].concat())
}

fn scope_declaration_row(scope: &ScopeDeclaration) -> Value {
    json!([scope.name.as_str(), scope.action_group.to_string(), scope.description])
}

fn is_role(grant: &Grant) -> bool {
    matches!(grant.conferred(), Conferred::Role { .. })
}

fn role_row(grant: &Grant) -> Option<Value> {
    let Conferred::Role { role, resource } = grant.conferred() else {
        return None;
    };
    let on = resource.as_ref().map_or_else(|| vec![Value::Null, Value::Null], pair);
    Some(Value::Array([common_row(grant), pair(role), on].concat()))
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
        json!(grant.holder().type_name().as_str()),
        json!(grant.holder().id().as_str()),
        json!(grant.term().not_before().map(Instant::micros)),
        json!(grant.term().expires_at().map(Instant::micros)),
        json!(grant.reason()),
    ]
}
