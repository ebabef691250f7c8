//! The state of everything a list of changes names, before and after them.

use std::collections::BTreeSet;

use magistrate_model::{
    Change, Digest, EntityData, EntityUid, Grant, GrantId, Revision, ScopeDeclaration, ScopeName, json,
};
use magistrate_pap::{CommitError, EntityFilter, GrantFilter};
use serde_json::json;
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::tracked::Tracked;
use super::{entities, grants, policy_sets, scopes};

/// What a change found and what it left, as JSON.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// Everything the changes of one commit name.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) entities: Tracked<EntityUid, EntityData>,
    pub(crate) scopes: Tracked<ScopeName, ScopeDeclaration>,
    pub(crate) grants: Tracked<GrantId, Grant>,
    live_set: Option<Digest>,
}

impl Touched {
    /// Reads what the changes name.
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        revision: Revision,
        changes: &[Change],
    ) -> Result<Self, ReadError> {
        let named = named_entities(changes);
        let entities = entities::matching(connection, &named).await?;
        let grants = grants::matching(connection, &named_grants(changes)).await?;
        let scopes = scopes::live(connection).await?;
        let live_set = policy_sets::as_of(connection, revision).await?;
        Ok(Self {
            entities: Tracked::new(entities.into_iter().map(|it| (it.uid.clone(), it)).collect()),
            scopes: Tracked::new(scopes.into_iter().map(|it| (it.name.clone(), it)).collect()),
            grants: Tracked::new(grants.into_iter().map(|it| (it.id().clone(), it)).collect()),
            live_set: live_set.map(|set| set.digest),
        })
    }

    /// Makes one change, unless what it names is not there or is there already.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<Difference, CommitError> {
        match change {
            Change::PutEntity(entity) => {
                let before = self.entities.put(entity.uid.clone(), entity.clone());
                Ok(difference(before.as_ref(), Some(entity), json::entity))
            }
            Change::DeleteEntity(uid) => {
                let before = self.entities.remove(uid).ok_or_else(|| absent("entity", uid))?;
                Ok(difference(Some(&before), None, json::entity))
            }
            Change::PutScope(scope) => {
                let before = self.scopes.put(scope.name.clone(), scope.clone());
                Ok(difference(before.as_ref(), Some(scope), json::scope))
            }
            Change::DeleteScope(name) => {
                let before = self.scopes.remove(name).ok_or_else(|| absent("scope", name))?;
                Ok(difference(Some(&before), None, json::scope))
            }
            Change::AddGrant(grant) => self.add_grant(grant),
            Change::RevokeGrant(id) => {
                let before = self.grants.remove(id).ok_or_else(|| absent("grant", id))?;
                Ok(difference(Some(&before), None, json::grant))
            }
            Change::ApplyPolicySet { set, name } => Ok(self.apply_set(set.digest, name)),
        }
    }

    fn add_grant(&mut self, grant: &Grant) -> Result<Difference, CommitError> {
        if self.grants.current(grant.id()).is_some() {
            return Err(CommitError::Refused(format!(
                "cannot add grant `{}`: it exists already; revoke it first or choose another id",
                grant.id()
            )));
        }
        self.grants.put(grant.id().clone(), grant.clone());
        Ok(difference(None, Some(grant), json::grant))
    }

    fn apply_set(&mut self, digest: Digest, name: &str) -> Difference {
        let before = self.live_set.replace(digest);
        Difference {
            before: before.map(|digest| json!({ "digest": digest.to_string() }).to_string()),
            after: Some(json!({ "digest": digest.to_string(), "migration": name }).to_string()),
        }
    }
}

fn difference<T>(before: Option<&T>, after: Option<&T>, json: fn(&T) -> serde_json::Value) -> Difference {
    Difference { before: before.map(|it| json(it).to_string()), after: after.map(|it| json(it).to_string()) }
}

fn absent(what: &str, key: impl std::fmt::Display) -> CommitError {
    let verb = if what == "grant" { "revoke" } else { "delete" };
    CommitError::Refused(format!("cannot {verb} {what} `{key}`: it does not exist"))
}

fn named_entities(changes: &[Change]) -> EntityFilter {
    let uids = changes.iter().filter_map(|change| match change {
        Change::PutEntity(entity) => Some(entity.uid.clone()),
        Change::DeleteEntity(uid) => Some(uid.clone()),
        Change::PutScope(_)
        | Change::DeleteScope(_)
        | Change::AddGrant(_)
        | Change::RevokeGrant(_)
        | Change::ApplyPolicySet { .. } => None,
    });
    EntityFilter { uids: Some(uids.collect::<BTreeSet<_>>()), ..EntityFilter::default() }
}

fn named_grants(changes: &[Change]) -> GrantFilter {
    let ids = changes.iter().filter_map(|change| match change {
        Change::AddGrant(grant) => Some(grant.id().clone()),
        Change::RevokeGrant(id) => Some(id.clone()),
        Change::PutEntity(_)
        | Change::DeleteEntity(_)
        | Change::PutScope(_)
        | Change::DeleteScope(_)
        | Change::ApplyPolicySet { .. } => None,
    });
    GrantFilter { ids: Some(ids.collect::<BTreeSet<_>>()), ..GrantFilter::default() }
}
