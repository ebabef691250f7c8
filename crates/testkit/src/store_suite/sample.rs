//! Entities, grants, policy sets and decisions to fill a store with.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_ledger::{Draft, PrivateFields, Room, SealedRecord, StreamId, Writer};
use magistrate_model::{
    ActionUid, AttributeName, Authorship, Caller, Cause, Change, Channel, Conferred, Digest, DurabilityClass,
    EntityData, EntityInput, EntityUid, Environment, Facts, Grant, Instant, PolicySet, PolicyText, Query, Question,
    Revision, ScopeDeclaration, Span, Term, Value, Verdict, json,
};
use serde_json::Value as Json;

use crate::{MemorySink, instant, nonce};

/// A uid in Cedar's notation or in shorthand.
pub fn uid(text: &str) -> EntityUid {
    EntityUid::parse_shorthand(text).unwrap()
}

/// An entity with attributes as JSON and direct parents.
pub fn entity(name: &str, attributes: &Json, parents: &[&str]) -> EntityData {
    EntityData {
        uid: uid(name),
        attributes: json::record_from(attributes, "attributes").unwrap(),
        parents: parents.iter().map(|parent| uid(parent)).collect(),
    }
}

/// A scope that opens `Action::"<verb>"`.
pub fn scope(name: &str) -> ScopeDeclaration {
    let verb = name.rsplit(':').next().unwrap();
    ScopeDeclaration {
        name: name.parse().unwrap(),
        action_group: ActionUid::resolve(verb, "").unwrap(),
        description: format!("may {verb}, \"quoted\""),
    }
}

/// A grant of a role during 2026, everywhere or on a resource.
pub fn role_grant(id: &str, holder: &str, role: &str, resource: Option<&str>) -> Grant {
    let conferred = Conferred::Role { role: uid(role), resource: resource.map(uid) };
    grant(id, holder, conferred, during_2026())
}

/// A standing grant of a scope pattern.
pub fn scope_grant(id: &str, holder: &str, pattern: &str) -> Grant {
    let conferred = Conferred::Scope(pattern.parse().unwrap());
    grant(id, holder, conferred, Term::standing(None))
}

/// A grant of anything on any term.
pub fn grant(id: &str, holder: &str, conferred: Conferred, term: Term) -> Grant {
    Grant::new(id.parse().unwrap(), uid(holder), conferred, term, "on call").unwrap()
}

/// From the beginning of 2026 until its end.
pub fn during_2026() -> Term {
    Term::until(Some(instant("2026-01-01T00:00:00Z")), instant("2027-01-01T00:00:00Z")).unwrap()
}

/// A policy set of these policies; its digest begins with `number`.
pub fn policy_set(number: u8, policies: &[&str]) -> PolicySet {
    let mut digest = [7; 32];
    digest[0] = number;
    PolicySet {
        digest: Digest::new(digest),
        schema: format!("entity User; // {number}").into(),
        policies: policies
            .iter()
            .map(|id| PolicyText {
                id: id.parse().unwrap(),
                text: format!("@id(\"{id}\") permit(principal, action, resource);").into(),
            })
            .collect(),
    }
}

/// An apply of a set under a migration's name.
pub fn apply(set: PolicySet, name: &str) -> Change {
    Change::ApplyPolicySet { set, name: name.to_owned() }
}

/// Who, why and when.
pub fn authorship() -> Authorship {
    Authorship {
        actor: "ana@example.org".parse().unwrap(),
        reason: "ticket 7: \"it's\" needed".parse().unwrap(),
        at: instant("2026-03-01T10:00:00.000001Z"),
    }
}

/// A decision to be recorded.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The principal, in shorthand.
    pub principal: &'static str,
    /// The action's id.
    pub action: &'static str,
    /// The resource, in shorthand.
    pub resource: &'static str,
    /// The cause.
    pub cause: Cause,
    /// The determining policies.
    pub policies: &'static [&'static str],
    /// When.
    pub at: Instant,
    /// The caller's id for the request.
    pub request_id: Option<&'static str>,
    /// The grants that were used.
    pub grants: &'static [&'static str],
    /// The caller; nobody in particular if it is not told.
    pub caller: Option<Caller>,
    /// `context.email`, if it is told.
    pub email: Option<&'static str>,
    /// The fields that are kept private.
    pub private: &'static [&'static str],
}

impl Decided {
    /// Ana reads `doc1`, permitted, at an instant.
    pub fn at(at: Instant) -> Self {
        Self {
            principal: "User::ana",
            action: "read",
            resource: "Doc::doc1",
            cause: Cause::Permitted,
            policies: &["docs.read"],
            at,
            request_id: None,
            grants: &[],
            caller: None,
            email: None,
            private: &[],
        }
    }

    /// The draft of its record.
    pub fn draft(&self) -> Draft {
        let private = PrivateFields::parse(self.private).unwrap();
        Draft::keeping_private(&self.question(), &self.verdict(), &private, nonce)
    }

    fn question(&self) -> Question {
        Question {
            query: Query {
                principal: EntityInput::Reference(uid(self.principal)),
                action: ActionUid::resolve(self.action, "").unwrap(),
                resource: EntityInput::Reference(uid(self.resource)),
                context: self
                    .email
                    .iter()
                    .map(|it| (AttributeName::new("email").unwrap(), Value::String((*it).into())))
                    .collect(),
                environment: Environment::default(),
                at_least_revision: None,
                request_id: self.request_id.map(|id| id.parse().unwrap()),
                explain: false,
                caller: self.caller.clone().unwrap_or(NOBODY),
            },
            facts: Facts {
                instant: self.at,
                entities: Vec::new(),
                roles: Vec::new(),
                direct_roles: BTreeSet::new(),
                scopes: BTreeMap::new(),
                grants: Vec::new(),
                supplied: None,
                missing: None,
                next_change: None,
            },
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict {
            cause: self.cause,
            determining: self.policies.iter().map(|id| id.parse().unwrap()).collect(),
            errored: Vec::new(),
            grants: self.grants.iter().map(|id| id.parse().unwrap()).collect(),
            advice: Vec::new(),
            obligations: Vec::new(),
            revision: Revision::new(1),
            policy_set_digest: Digest::ZERO,
            valid_until: None,
            cache_for: Span::ZERO,
            class: DurabilityClass::Process,
            explanation: None,
        }
    }
}

const NOBODY: Caller = Caller { address: None, channel: Channel::Local, key: None, trace: None };

/// A stream of its own for a test.
pub fn stream(number: u8) -> StreamId {
    StreamId::new([number; 16])
}

/// Numbers decisions from 1 in a stream, as records that no store has seen.
pub fn sealed(stream: StreamId, decisions: &[Decided]) -> Vec<SealedRecord> {
    let sink = MemorySink::default();
    let writer = Writer::new(sink.clone(), Room::unlimited(), stream, nonce);
    let _durable = writer.append(decisions.iter().map(Decided::draft).collect::<Vec<_>>()).unwrap();
    sink.records()
}
