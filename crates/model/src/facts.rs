//! What the PDP knows when it answers: everything but the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::entity::EntityData;
use crate::grant::GrantId;
use crate::instant::Instant;
use crate::query::Query;
use crate::scope::ScopeName;
use crate::uid::{ActionUid, EntityUid};
use crate::value::Record;

/// A grant in force for the request, with what it conferred.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantInForce {
    /// The grant.
    pub id: GrantId,
    /// Role and scope entities the principal is made a member of by it, ancestors included.
    pub confers: BTreeSet<EntityUid>,
}

/// A stored entity that the request needs and that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The principal.
    Principal(EntityUid),
    /// The resource.
    Resource(EntityUid),
    /// An entity named in the context, by an asserted entity, or by a stored attribute.
    Other(EntityUid),
}

/// An entity that many questions are about, with its canonical encoding once somebody needed that: every record is sealed with
/// a digest over all entities that were seen. Two are equal if their data are.
#[derive(Debug)]
pub struct KnownEntity {
    data: EntityData,
    encoded: OnceLock<Box<[u8]>>,
}

impl KnownEntity {
    /// An entity that nobody has encoded yet.
    pub const fn new(data: EntityData) -> Self {
        Self { data, encoded: OnceLock::new() }
    }

    /// Its encoding: made by whoever asks first, so all must make it alike.
    pub fn encoded(&self, encode: impl FnOnce(&EntityData) -> Vec<u8>) -> &[u8] {
        self.encoded.get_or_init(|| encode(&self.data).into_boxed_slice())
    }
}

impl Deref for KnownEntity {
    type Target = EntityData;

    fn deref(&self) -> &EntityData {
        &self.data
    }
}

impl PartialEq for KnownEntity {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for KnownEntity {}

impl Hash for KnownEntity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.data.hash(state);
    }
}

/// What is known at one instant about the parties of one query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The clock, read once for the request.
    pub instant: Instant,
    /// Principal, resource, entities named in the context, and what they lead to; without roles and scopes.
    pub entities: Vec<Arc<KnownEntity>>,
    /// Roles in force for this resource and their ancestors, each with its own parents.
    pub roles: Vec<Arc<KnownEntity>>,
    /// Roles the principal is made a direct member of.
    pub direct_roles: BTreeSet<EntityUid>,
    /// Scopes in force for the principal, each with the action group it opens.
    pub scopes: BTreeMap<ScopeName, ActionUid>,
    /// The grants behind roles and scopes, in id order.
    pub grants: Vec<GrantInForce>,
    /// `context.facts`, for actions whose context declares it.
    pub supplied: Option<Record>,
    /// Set when an entity the request needs does not exist: the answer is then a deny.
    pub missing: Option<Missing>,
    /// The next instant at which time alone changes which grants are in force.
    pub next_change: Option<Instant>,
}

/// All an evaluator may look at, besides the policies: what was asked and what is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// What was asked.
    pub query: Query,
    /// What is known.
    pub facts: Facts,
}
