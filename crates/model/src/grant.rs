//! Grants: role and scope assignments, each with a term.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::instant::Instant;
use crate::scope::ScopePattern;
use crate::text::{self, InvalidText};
use crate::uid::{EntityUid, UidRef};

/// Why a grant cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// The id breaks the character rules.
    #[error("the grant id is not accepted: {0}")]
    Id(InvalidText),
    /// The reason breaks the character rules, or a standing grant gives none.
    #[error("the grant's reason is not accepted: {0}")]
    Reason(InvalidText),
    /// The term ends before it begins.
    #[error("the grant would end at {end}, not after it begins at {not_before}")]
    EndsBeforeItBegins {
        /// When it begins.
        not_before: Instant,
        /// When it ends.
        end: Instant,
    },
}

/// The id of a grant: 1 to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(Arc<str>);

impl GrantId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), InvalidGrant> {
        text::check(text, 64).map_err(InvalidGrant::Id)
    }
}

impl FromStr for GrantId {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From when until when a grant is in force. There is no term without an end except a standing one,
/// which is asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term {
    not_before: Option<Instant>,
    end: Option<Instant>,
}

impl Term {
    /// In force from `not_before` (or at once) until just before `expires_at`.
    pub fn until(not_before: Option<Instant>, expires_at: Instant) -> Result<Self, InvalidGrant> {
        match not_before {
            Some(not_before) if not_before >= expires_at => {
                Err(InvalidGrant::EndsBeforeItBegins { not_before, end: expires_at })
            }
            _ => Ok(Self { not_before, end: Some(expires_at) }),
        }
    }

    /// In force from `not_before` (or at once) until revoked.
    pub const fn standing(not_before: Option<Instant>) -> Self {
        Self { not_before, end: None }
    }

    /// When it begins, if not at once.
    pub const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The first instant at which it is no longer in force; `None` for a standing grant.
    pub const fn expires_at(&self) -> Option<Instant> {
        self.end
    }

    /// Whether it is in force at `now`: `not_before <= now < expires_at`.
    pub fn in_force(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|begin| begin <= now) && self.end.is_none_or(|end| now < end)
    }

    /// The next instant after `now` at which time alone changes whether it is in force.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        self.not_before.into_iter().chain(self.end).filter(|boundary| *boundary > now).min()
    }
}

/// What a grant confers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Conferred {
    /// A role, everywhere or on one resource and all below it.
    Role {
        /// The role.
        role: EntityUid,
        /// Where; `None` is everywhere.
        resource: Option<EntityUid>,
    },
    /// The scopes a pattern stands for.
    Scope(ScopePattern),
}

/// A grant that was checked, of texts that lie elsewhere: of a million that are read, none need be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRef<'a> {
    id: &'a str,
    holder: UidRef<'a>,
    conferred: ConferredRef<'a>,
    term: Term,
    reason: &'a str,
}

/// What such a grant confers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConferredRef<'a> {
    /// A role, everywhere or on one resource and all below it.
    Role {
        /// The role.
        role: UidRef<'a>,
        /// Where; `None` is everywhere.
        resource: Option<UidRef<'a>>,
    },
    /// The scopes a pattern stands for.
    Scope(ScopePattern),
}

impl<'a> GrantRef<'a> {
    /// Checks the texts as [`Grant::new`] and the id's own rules do.
    pub fn new(
        id: &'a str,
        holder: UidRef<'a>,
        conferred: ConferredRef<'a>,
        term: Term,
        reason: &'a str,
    ) -> Result<Self, InvalidGrant> {
        GrantId::check(id)?;
        text::check(reason, REASON_LIMIT).map_err(InvalidGrant::Reason)?;
        Ok(Self { id, holder, conferred, term, reason })
    }

    /// Its id.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// The principal, or the group whose members hold it.
    pub fn holder(&self) -> UidRef<'a> {
        self.holder
    }

    /// What it confers.
    pub fn conferred(&self) -> &ConferredRef<'a> {
        &self.conferred
    }

    /// From when until when.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// The grant with texts of its own.
    pub fn to_grant(&self) -> Grant {
        let conferred = match &self.conferred {
            ConferredRef::Role { role, resource } => {
                Conferred::Role { role: role.to_uid(), resource: resource.map(UidRef::to_uid) }
            }
            ConferredRef::Scope(pattern) => Conferred::Scope(pattern.clone()),
        };
        Grant {
            id: GrantId(self.id.into()),
            holder: self.holder.to_uid(),
            conferred,
            term: self.term,
            reason: self.reason.into(),
        }
    }
}

/// Bytes of a reason.
const REASON_LIMIT: usize = 500;

/// A role or scope assignment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    id: GrantId,
    holder: EntityUid,
    conferred: Conferred,
    term: Term,
    reason: Arc<str>,
}

impl Grant {
    /// Builds a grant; the reason is required (1 to 500 bytes).
    pub fn new(
        id: GrantId,
        holder: EntityUid,
        conferred: Conferred,
        term: Term,
        reason: &str,
    ) -> Result<Self, InvalidGrant> {
        text::check(reason, REASON_LIMIT).map_err(InvalidGrant::Reason)?;
        Ok(Self { id, holder, conferred, term, reason: reason.into() })
    }

    /// The same, of its own texts.
    pub fn borrowed(&self) -> GrantRef<'_> {
        let conferred = match &self.conferred {
            Conferred::Role { role, resource } => {
                ConferredRef::Role { role: role.borrowed(), resource: resource.as_ref().map(EntityUid::borrowed) }
            }
            Conferred::Scope(pattern) => ConferredRef::Scope(pattern.clone()),
        };
        let (id, holder) = (self.id.as_str(), self.holder.borrowed());
        GrantRef { id, holder, conferred, term: self.term, reason: &self.reason }
    }

    /// Its id.
    pub fn id(&self) -> &GrantId {
        &self.id
    }

    /// The principal, or the group whose members hold it.
    pub fn holder(&self) -> &EntityUid {
        &self.holder
    }

    /// What it confers.
    pub fn conferred(&self) -> &Conferred {
        &self.conferred
    }

    /// The resource a role is held on; `None` for everywhere and for scopes.
    pub fn resource(&self) -> Option<&EntityUid> {
        match &self.conferred {
            Conferred::Role { resource, .. } => resource.as_ref(),
            Conferred::Scope(_) => None,
        }
    }

    /// When it is in force.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Why it was given.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
