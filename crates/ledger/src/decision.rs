//! The body of a decision record: everything needed to evaluate the question again.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{
    ActionUid, Caller, Cause, Channel, Digest, DurabilityClass, EntityUid, Environment, GrantInForce, Instant, Missing,
    Notice, Query, Question, Record, Revision, ScopeName, Span, TraceId, Verdict,
};
use minicbor::decode::Error;

use crate::private::{self, Committed};
use crate::record::IndexColumns;
use crate::told::{Told, entities_digest};

use crate::cbor::{self, In, all, expect_array, expect_key, optional, parsed, refused};

/// What was asked, what was known and what was answered.
///
/// Stored entities are not repeated: they follow from the revision, and `entities_digest` proves that
/// those found again are those that were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// What was asked, asserted data included.
    pub query: Query,
    /// The clock of the request.
    pub instant: Instant,
    /// Roles in force for the resource, with their ancestors.
    pub roles: BTreeSet<EntityUid>,
    /// Roles held directly, ancestors left out.
    pub direct_roles: BTreeSet<EntityUid>,
    /// Scopes in force, each with the action group it opened.
    pub scopes: BTreeMap<ScopeName, ActionUid>,
    /// The grants behind roles and scopes.
    pub grants: Vec<GrantInForce>,
    /// `context.facts` as supplied.
    pub supplied: Option<Record>,
    /// The entity that did not exist, if one did not.
    pub missing: Option<Missing>,
    /// Digest over the entities the evaluator saw, in uid order.
    pub entities_digest: Digest,
    /// What was answered.
    pub verdict: Verdict,
    /// Commitments to the values that were kept private, by path. They stand in the record, the values beside it.
    pub private: Vec<Committed>,
}

/// Fields of versions 1 and 2; one more where values are private.
pub(crate) const FIELDS: u64 = 27;

impl DecisionRecord {
    /// The record of a verdict on a question.
    pub fn of(question: &Question, verdict: &Verdict) -> Self {
        let facts = &question.facts;
        Self {
            query: question.query.clone(),
            instant: facts.instant,
            roles: facts.roles.iter().map(|role| role.uid.clone()).collect(),
            direct_roles: facts.direct_roles.clone(),
            scopes: facts.scopes.clone(),
            grants: facts.grants.clone(),
            supplied: facts.supplied.clone(),
            missing: facts.missing.clone(),
            entities_digest: entities_digest(&facts.entities),
            verdict: Verdict { explanation: None, ..verdict.clone() },
            private: Vec::new(),
        }
    }

    /// What a record tells, by reference.
    pub(crate) fn told(&self) -> Told<'_> {
        Told {
            query: &self.query,
            instant: self.instant,
            roles: self.roles.iter().collect(),
            direct_roles: &self.direct_roles,
            scopes: &self.scopes,
            grants: &self.grants,
            supplied: self.supplied.as_ref(),
            missing: self.missing.as_ref(),
            entities_digest: self.entities_digest,
            verdict: &self.verdict,
            private: &self.private,
        }
    }

    /// Reads only what stores index, and passes over the rest.
    pub(crate) fn skim(input: &mut In<'_>) -> Result<IndexColumns, Error> {
        take_fields(input)?;
        let principal = skipping_to(input, 0, indexed::PRINCIPAL, cbor::named_entity)?.to_string();
        let action = skipping_to(input, 1, indexed::ACTION, cbor::uid)?.to_string();
        let resource = skipping_to(input, 2, indexed::RESOURCE, cbor::named_entity)?.to_string();
        let request_id = skipping_to(input, 3, indexed::REQUEST_ID, |input| optional(input, cbor::text))?;
        let cause = skipping_to(input, 7, indexed::CAUSE, take_cause)?;
        let request_id = request_id.map(|id| id.to_string());
        Ok(IndexColumns {
            principal,
            action,
            resource,
            decision: cause.decision().name(),
            cause: cause.name(),
            request_id,
        })
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        let is_private = take_fields(input)?;
        let query = take_query(input)?;
        let record = Self {
            query,
            instant: field(input, 9, cbor::instant)?,
            roles: field(input, 10, cbor::uids)?,
            direct_roles: field(input, 11, cbor::uids)?,
            scopes: field(input, 12, |input| all(input, take_scope))?.into_iter().collect(),
            grants: field(input, 13, |input| all(input, take_grant))?,
            supplied: field(input, 14, |input| optional(input, cbor::record))?,
            missing: field(input, 15, |input| optional(input, take_missing))?,
            entities_digest: field(input, 16, cbor::digest)?,
            verdict: take_verdict(input)?,
            private: if is_private { field(input, 27, take_private)? } else { Vec::new() },
        };
        match private::are_empty(&record) {
            true => Ok(record),
            false => Err(refused("a value stands beside the commitment to it")),
        }
    }
}

/// Fields of the body that stores index.
mod indexed {
    pub(super) const PRINCIPAL: u8 = 0;
    pub(super) const ACTION: u8 = 1;
    pub(super) const RESOURCE: u8 = 2;
    pub(super) const REQUEST_ID: u8 = 6;
    pub(super) const CAUSE: u8 = 17;
}

/// Whether the body has the field that commitments are in.
fn take_fields(input: &mut In<'_>) -> Result<bool, Error> {
    match input.map()? {
        Some(FIELDS) => Ok(false),
        Some(fields) if fields == FIELDS + 1 => Ok(true),
        Some(_) | None => Err(refused(format_args!("a decision has {FIELDS} fields, or one more"))),
    }
}

/// At least one, by path, each path once.
fn take_private(input: &mut In<'_>) -> Result<Vec<Committed>, Error> {
    let private = all(input, |input| {
        expect_array(input, 2)?;
        Ok(Committed { path: parsed(input)?, commitment: cbor::digest(input)? })
    })?;
    let ascends = private.iter().zip(private.iter().skip(1)).all(|(one, next)| one.path < next.path);
    match !private.is_empty() && ascends {
        true => Ok(private),
        false => Err(refused("commitments are in the order of their paths")),
    }
}

fn field<T>(input: &mut In<'_>, key: u8, take: impl FnOnce(&mut In<'_>) -> Result<T, Error>) -> Result<T, Error> {
    expect_key(input, key)?;
    take(input)
}

/// Passes over the fields from `next`, and reads the one of this key.
fn skipping_to<T>(
    input: &mut In<'_>,
    next: u8,
    key: u8,
    take: impl FnOnce(&mut In<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    for passed in next..key {
        expect_key(input, passed)?;
        input.skip()?;
    }
    field(input, key, take)
}

fn take_cause(input: &mut In<'_>) -> Result<Cause, Error> {
    Cause::named(input.str()?).ok_or_else(|| refused("an unknown cause"))
}

fn take_query(input: &mut In<'_>) -> Result<Query, Error> {
    Ok(Query {
        principal: field(input, 0, cbor::input_entity)?,
        action: ActionUid::new(field(input, 1, cbor::uid)?).map_err(refused)?,
        resource: field(input, 2, cbor::input_entity)?,
        context: field(input, 3, cbor::record)?,
        environment: field(input, 4, take_environment)?,
        at_least_revision: field(input, 5, |input| optional(input, |input| input.u64().map(Revision::new)))?,
        request_id: field(input, 6, |input| optional(input, parsed))?,
        explain: field(input, 7, take_bool)?,
        caller: field(input, 8, take_caller)?,
    })
}

fn take_environment(input: &mut In<'_>) -> Result<Environment, Error> {
    expect_array(input, 3)?;
    Ok(Environment {
        source_ip: optional(input, parsed)?,
        user_agent: optional(input, cbor::text)?,
        attributes: all(input, |input| {
            expect_array(input, 2)?;
            Ok((cbor::text(input)?, cbor::text(input)?))
        })?
        .into_iter()
        .collect(),
    })
}

fn take_caller(input: &mut In<'_>) -> Result<Caller, Error> {
    let parts = input.array()?;
    let address = optional(input, parsed)?;
    let channel = Channel::named(input.str()?).ok_or_else(|| refused("an unknown channel"))?;
    let (key, trace) = match parts {
        Some(2) => (None, None),
        Some(4) => (optional(input, parsed)?, optional(input, take_trace)?),
        Some(_) | None => return Err(refused("a caller has 2 or 4 parts")),
    };
    Ok(Caller { address, channel, key, trace })
}

fn take_trace(input: &mut In<'_>) -> Result<TraceId, Error> {
    input.bytes()?.try_into().map(TraceId::new).map_err(|_| refused("a trace id has 16 bytes"))
}

fn take_scope(input: &mut In<'_>) -> Result<(ScopeName, ActionUid), Error> {
    expect_array(input, 2)?;
    Ok((parsed(input)?, ActionUid::new(cbor::uid(input)?).map_err(refused)?))
}

fn take_grant(input: &mut In<'_>) -> Result<GrantInForce, Error> {
    expect_array(input, 2)?;
    Ok(GrantInForce { id: parsed(input)?, confers: cbor::uids(input)? })
}

fn take_missing(input: &mut In<'_>) -> Result<Missing, Error> {
    expect_array(input, 2)?;
    match (input.u8()?, cbor::uid(input)?) {
        (0, uid) => Ok(Missing::Principal(uid)),
        (1, uid) => Ok(Missing::Resource(uid)),
        (2, uid) => Ok(Missing::Other(uid)),
        (other, _) => Err(refused(format_args!("{other} names no missing party"))),
    }
}

fn take_notice(input: &mut In<'_>) -> Result<Notice, Error> {
    expect_array(input, 3)?;
    Ok(Notice { policy_id: parsed(input)?, name: input.str()?.to_owned(), value: input.str()?.to_owned() })
}

fn take_verdict(input: &mut In<'_>) -> Result<Verdict, Error> {
    let cause = field(input, indexed::CAUSE, take_cause)?;
    let determining = field(input, 18, |input| all(input, parsed))?;
    let errored = field(input, 19, |input| all(input, parsed))?;
    let grants = field(input, 20, |input| all(input, parsed))?;
    let advice = field(input, 21, |input| all(input, take_notice))?;
    let obligations = field(input, 22, |input| all(input, take_notice))?;
    let revision = field(input, 23, |input| input.u64().map(Revision::new))?;
    let policy_set_digest = field(input, 24, cbor::digest)?;
    let valid_until = field(input, 25, |input| optional(input, cbor::instant))?;
    let (cache_for, class) = field(input, 26, take_tail)?;
    Ok(Verdict {
        cause,
        determining,
        errored,
        grants,
        advice,
        obligations,
        revision,
        policy_set_digest,
        valid_until,
        cache_for,
        class,
        explanation: None,
    })
}

fn take_tail(input: &mut In<'_>) -> Result<(Span, DurabilityClass), Error> {
    expect_array(input, 2)?;
    Ok((Span::from_micros(input.i64()?), parsed(input)?))
}

fn take_bool(input: &mut In<'_>) -> Result<bool, Error> {
    input.bool()
}
