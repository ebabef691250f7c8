//! The state of everything a list of changes names, before and after them.
//!
//! What a commit writes is the same for every store: the log of its changes, and the rows that end and begin.

mod rows;
mod tracked;

use std::collections::BTreeSet;

use magistrate_model::{
    Authorship, Change, Digest, EntityData, EntityUid, Grant, GrantId, LoggedChange, Revision, ScopeDeclaration,
    ScopeName, json,
};
use serde_json::json;

pub use rows::{CommitRows, RowChanges};
use tracked::Tracked;

use crate::ports::{CommitError, EntityFilter, GrantFilter};

/// What a change found and what it left, as JSON.
#[derive(Debug, Default)]
struct Difference {
    before: Option<String>,
    after: Option<String>,
}

/// Everything the changes of one commit name.
#[derive(Debug)]
pub struct Touched {
    entities: Tracked<EntityUid, EntityData>,
    scopes: Tracked<ScopeName, ScopeDeclaration>,
    grants: Tracked<GrantId, Grant>,
    live_set: Option<Digest>,
}

impl Touched {
    /// Which entities and grants changes name.
    pub fn named(changes: &[Change]) -> (EntityFilter, GrantFilter) {
        (named_entities(changes), named_grants(changes))
    }

    /// What is stored of what the changes name, the scope catalogue, and the digest of the live policy set.
    pub fn new(
        entities: Vec<EntityData>,
        scopes: Vec<ScopeDeclaration>,
        grants: Vec<Grant>,
        live_set: Option<Digest>,
    ) -> Self {
        Self {
            entities: Tracked::new(entities.into_iter().map(|it| (it.uid.clone(), it)).collect()),
            scopes: Tracked::new(scopes.into_iter().map(|it| (it.name.clone(), it)).collect()),
            grants: Tracked::new(grants.into_iter().map(|it| (it.id().clone(), it)).collect()),
            live_set,
        }
    }

    /// Makes the changes in order and tells the rows of their log, unless one names what is not there or is
    /// there already.
    pub fn log(
        &mut self,
        revision: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> Result<Vec<LoggedChange>, CommitError> {
        let logged = |(ordinal, change): (u32, &Change)| {
            let Difference { before, after } = self.apply(change)?;
            let (kind, key) = (change.kind().to_owned(), change.key());
            Ok(LoggedChange { revision, ordinal, kind, key, before, after, authorship: authorship.clone() })
        };
        (0..).zip(changes).map(logged).collect()
    }

    /// The rows that end and begin with the changes made.
    pub fn rows(&self) -> CommitRows {
        CommitRows::of(&self.entities, &self.scopes, &self.grants)
    }

    /// Makes one change, unless what it names is not there or is there already.
    fn apply(&mut self, change: &Change) -> Result<Difference, CommitError> {
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
