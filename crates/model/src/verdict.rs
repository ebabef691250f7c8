//! Answers.

use std::fmt;

use crate::bundle::PolicyId;
use crate::class::DurabilityClass;
use crate::explanation::Explanation;
use crate::grant::GrantId;
use crate::instant::{Instant, Span};
use crate::revision::{Digest, Revision};

/// Allow or deny; there is no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// A named permit allows it and nothing forbids it.
    Allow,
    /// Everything else.
    Deny,
}

impl Decision {
    /// `allow` or `deny`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the decision is what it is. Closed: a metric label and an audit column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A permit matched and nothing forbade.
    Permitted,
    /// A forbid matched.
    Forbidden,
    /// No permit matched.
    NoPermit,
    /// A forbid could not be evaluated, so it counts as matching.
    ForbidErrored,
    /// The principal does not exist.
    UnknownPrincipal,
    /// The resource does not exist.
    UnknownResource,
    /// Another entity the request needs does not exist.
    UnknownEntity,
    /// No scope in force opens the action.
    ScopeCeiling,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Permitted,
        Self::Forbidden,
        Self::NoPermit,
        Self::ForbidErrored,
        Self::UnknownPrincipal,
        Self::UnknownResource,
        Self::UnknownEntity,
        Self::ScopeCeiling,
    ];

    /// The decision this cause leads to.
    pub const fn decision(self) -> Decision {
        match self {
            Self::Permitted => Decision::Allow,
            Self::Forbidden
            | Self::NoPermit
            | Self::ForbidErrored
            | Self::UnknownPrincipal
            | Self::UnknownResource
            | Self::UnknownEntity
            | Self::ScopeCeiling => Decision::Deny,
        }
    }

    /// The name in records, columns and metrics, such as `no_permit`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NoPermit => "no_permit",
            Self::ForbidErrored => "forbid_errored",
            Self::UnknownPrincipal => "unknown_principal",
            Self::UnknownResource => "unknown_resource",
            Self::UnknownEntity => "unknown_entity",
            Self::ScopeCeiling => "scope_ceiling",
        }
    }

    /// The cause called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An advice or obligation: what a determining policy's annotation tells the PEP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// The policy that says so.
    pub policy_id: PolicyId,
    /// What it is about.
    pub name: String,
    /// What it says.
    pub value: String,
}

fn quoted(policies: &[PolicyId]) -> String {
    let quoted: Vec<String> = policies.iter().map(|id| format!("`{id}`")).collect();
    quoted.join(", ")
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why, and thereby what.
    pub cause: Cause,
    /// Satisfied forbids if any, else errored forbids if they decided, else satisfied permits; in id order.
    pub determining: Vec<PolicyId>,
    /// Policies whose conditions could not be evaluated; in id order.
    pub errored: Vec<PolicyId>,
    /// Grants that made the answer possible; in id order.
    pub grants: Vec<GrantId>,
    /// What the PEP may want to know.
    pub advice: Vec<Notice>,
    /// What the PEP must do, or refuse.
    pub obligations: Vec<Notice>,
    /// The administrative state that answered.
    pub revision: Revision,
    /// The policy set that answered.
    pub policy_set_digest: Digest,
    /// When time alone can change the inputs; `None` if it cannot.
    pub valid_until: Option<Instant>,
    /// How long a PEP may reuse the answer.
    pub cache_for: Span,
    /// The durability class the policies and the action ask for.
    pub class: DurabilityClass,
    /// What led to it, where that was asked for; no part of its record.
    pub explanation: Option<Box<Explanation>>,
}

impl Verdict {
    /// Allow or deny.
    pub const fn decision(&self) -> Decision {
        self.cause.decision()
    }

    /// Whether another verdict says the same, though perhaps for another while.
    pub fn says_as(&self, other: &Self) -> bool {
        *self == Self { valid_until: self.valid_until, ..other.clone() }
    }

    /// Why, in one sentence for people.
    pub fn summary(&self) -> String {
        let policies = quoted(&self.determining);
        match self.cause {
            Cause::Permitted => format!("permitted by {policies}"),
            Cause::Forbidden => format!("forbidden by {policies}"),
            Cause::NoPermit => "no permit policy matches; nothing is allowed unless a policy permits it".to_owned(),
            Cause::ForbidErrored => format!("{policies} forbids but could not be evaluated, so it counts as matching"),
            Cause::UnknownPrincipal => "the principal does not exist".to_owned(),
            Cause::UnknownResource => "the resource does not exist".to_owned(),
            Cause::UnknownEntity => "an entity the request needs does not exist".to_owned(),
            Cause::ScopeCeiling => "no scope in force for the principal opens this action".to_owned(),
        }
    }
}
