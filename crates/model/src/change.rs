//! Administrative changes and who made them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::bundle::PolicySet;
use crate::entity::EntityData;
use crate::grant::{Grant, GrantId};
use crate::instant::Instant;
use crate::revision::Revision;
use crate::scope::{ScopeDeclaration, ScopeName};
use crate::text::{self, InvalidText};
use crate::uid::EntityUid;

/// Why an actor or a reason is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} of a change is not accepted: {why}")]
pub struct InvalidAuthorship {
    what: &'static str,
    why: InvalidText,
}

/// Who makes a change: 1 to 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor(Arc<str>);

/// Why a change is made: 1 to 500 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason(Arc<str>);

impl Actor {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Actor {
    type Err = InvalidAuthorship;

    fn from_str(text: &str) -> Result<Self, InvalidAuthorship> {
        text::check(text, 128).map_err(|why| InvalidAuthorship { what: "actor", why })?;
        Ok(Self(text.into()))
    }
}

impl FromStr for Reason {
    type Err = InvalidAuthorship;

    fn from_str(text: &str) -> Result<Self, InvalidAuthorship> {
        text::check(text, 500).map_err(|why| InvalidAuthorship { what: "reason", why })?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who, why and when: part of every administrative change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorship {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
    /// When, by the clock of the process that commits.
    pub at: Instant,
}

/// One administrative change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An entity (a role among them) is as given from now on.
    PutEntity(EntityData),
    /// An entity (a role among them) exists no longer.
    DeleteEntity(EntityUid),
    /// A scope is declared as given from now on.
    PutScope(ScopeDeclaration),
    /// A scope is declared no longer.
    DeleteScope(ScopeName),
    /// A grant exists from now on.
    AddGrant(Grant),
    /// A grant exists no longer.
    RevokeGrant(GrantId),
    /// A policy set is the live one from now on, recorded as a policy migration of this name.
    ApplyPolicySet {
        /// The set.
        set: PolicySet,
        /// The migration's name.
        name: String,
    },
}

impl Change {
    /// The kind, as the change log names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PutEntity(_) => "entity.put",
            Self::DeleteEntity(_) => "entity.delete",
            Self::PutScope(_) => "scope.put",
            Self::DeleteScope(_) => "scope.delete",
            Self::AddGrant(_) => "grant.add",
            Self::RevokeGrant(_) => "grant.revoke",
            Self::ApplyPolicySet { .. } => "policy.apply",
        }
    }

    /// What it changes, as the change log names it.
    pub fn key(&self) -> String {
        match self {
            Self::PutEntity(entity) => entity.uid.to_string(),
            Self::DeleteEntity(uid) => uid.to_string(),
            Self::PutScope(scope) => scope.name.to_string(),
            Self::DeleteScope(name) => name.to_string(),
            Self::AddGrant(grant) => grant.id().to_string(),
            Self::RevokeGrant(id) => id.to_string(),
            Self::ApplyPolicySet { set, .. } => set.digest.to_string(),
        }
    }
}

/// A row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// The revision that committed it.
    pub revision: Revision,
    /// Its place within the revision, from 0.
    pub ordinal: u32,
    /// The kind, such as `grant.add`.
    pub kind: String,
    /// What it changed.
    pub key: String,
    /// What was there before, as JSON.
    pub before: Option<String>,
    /// What is there since, as JSON.
    pub after: Option<String>,
    /// Who, why and when.
    pub authorship: Authorship,
}
