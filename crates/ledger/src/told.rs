//! What a decision record tells, put into bytes: by reference, wherever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_model::{
    ActionUid, Caller, Digest, EntityUid, Environment, GrantInForce, Instant, KnownEntity, Missing, Notice, Query,
    Question, Record, ScopeName, Verdict,
};
use sha2::{Digest as _, Sha256};

use crate::cbor::{self, Encoded, Out, put_all, put_digest, put_input, put_instant, put_optional, put_record, put_uid};
use crate::decision::FIELDS;
use crate::private::Committed;

/// What a record tells, wherever it is: a decision is encoded from what it was made of, without a copy.
pub(crate) struct Told<'a> {
    pub(crate) query: &'a Query,
    pub(crate) instant: Instant,
    /// In order, each once.
    pub(crate) roles: Vec<&'a EntityUid>,
    pub(crate) direct_roles: &'a BTreeSet<EntityUid>,
    pub(crate) scopes: &'a BTreeMap<ScopeName, ActionUid>,
    pub(crate) grants: &'a [GrantInForce],
    pub(crate) supplied: Option<&'a Record>,
    pub(crate) missing: Option<&'a Missing>,
    pub(crate) entities_digest: Digest,
    pub(crate) verdict: &'a Verdict,
    pub(crate) private: &'a [Committed],
}

impl<'a> Told<'a> {
    /// What the record of a verdict on a question tells.
    pub(crate) fn of(question: &'a Question, verdict: &'a Verdict) -> Self {
        let facts = &question.facts;
        let mut roles: Vec<_> = facts.roles.iter().map(|role| &role.uid).collect();
        roles.sort_unstable();
        roles.dedup();
        Self {
            query: &question.query,
            instant: facts.instant,
            roles,
            direct_roles: &facts.direct_roles,
            scopes: &facts.scopes,
            grants: &facts.grants,
            supplied: facts.supplied.as_ref(),
            missing: facts.missing.as_ref(),
            entities_digest: entities_digest(&facts.entities),
            verdict,
            private: &[],
        }
    }

    /// The lowest version of the format that can tell all of it.
    pub(crate) fn version(&self) -> u8 {
        match (self.private.is_empty(), is_known(&self.query.caller)) {
            (false, _) => 3,
            (true, true) => 2,
            (true, false) => 1,
        }
    }

    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.map(if self.private.is_empty() { FIELDS } else { FIELDS + 1 })?;
        self.put_question(out)?;
        self.put_verdict(out)?;
        match self.private.is_empty() {
            true => Ok(()),
            false => put_all(out.u8(27)?, self.private.iter(), put_committed),
        }
    }

    /// What was asked and what was known, without what was answered.
    pub(crate) fn put_question(&self, out: &mut Out<'_>) -> Encoded {
        self.put_query(out)?;
        self.put_facts(out)
    }

    fn put_query(&self, out: &mut Out<'_>) -> Encoded {
        let query = self.query;
        put_input(out.u8(0)?, &query.principal)?;
        put_uid(out.u8(1)?, query.action.uid())?;
        put_input(out.u8(2)?, &query.resource)?;
        put_record(out.u8(3)?, &query.context)?;
        put_environment(out.u8(4)?, &query.environment)?;
        put_optional(out.u8(5)?, query.at_least_revision, |out, it| out.u64(it.number()).map(drop))?;
        put_optional(out.u8(6)?, query.request_id.as_ref(), |out, it| out.str(it.as_str()).map(drop))?;
        out.u8(7)?.bool(query.explain)?;
        put_caller(out.u8(8)?, &query.caller)
    }

    fn put_facts(&self, out: &mut Out<'_>) -> Encoded {
        put_instant(out.u8(9)?, self.instant)?;
        put_all(out.u8(10)?, self.roles.iter().copied(), put_uid)?;
        put_all(out.u8(11)?, self.direct_roles.iter(), put_uid)?;
        put_all(out.u8(12)?, self.scopes.iter(), |out, (name, group)| {
            put_uid(out.array(2)?.str(name.as_str())?, group.uid())
        })?;
        put_all(out.u8(13)?, self.grants.iter(), |out, grant| {
            put_all(out.array(2)?.str(grant.id.as_str())?, grant.confers.iter(), put_uid)
        })?;
        put_optional(out.u8(14)?, self.supplied, put_record)?;
        put_optional(out.u8(15)?, self.missing, |out, missing| {
            let (role, uid) = missing_parts(missing);
            put_uid(out.array(2)?.u8(role)?, uid)
        })?;
        put_digest(out.u8(16)?, &self.entities_digest)
    }

    fn put_verdict(&self, out: &mut Out<'_>) -> Encoded {
        let verdict = self.verdict;
        out.u8(17)?.str(verdict.cause.name())?;
        put_all(out.u8(18)?, verdict.determining.iter(), |out, it| out.str(it.as_str()).map(drop))?;
        put_all(out.u8(19)?, verdict.errored.iter(), |out, it| out.str(it.as_str()).map(drop))?;
        put_all(out.u8(20)?, verdict.grants.iter(), |out, it| out.str(it.as_str()).map(drop))?;
        put_all(out.u8(21)?, verdict.advice.iter(), put_notice)?;
        put_all(out.u8(22)?, verdict.obligations.iter(), put_notice)?;
        out.u8(23)?.u64(verdict.revision.number())?;
        put_digest(out.u8(24)?, &verdict.policy_set_digest)?;
        put_optional(out.u8(25)?, verdict.valid_until, put_instant)?;
        let tail = out.u8(26)?.array(2)?.i64(verdict.cache_for.micros())?;
        tail.str(verdict.class.name()).map(drop)
    }
}

/// Digest over entities in uid order, each in its canonical encoding.
pub(crate) fn entities_digest(entities: &[Arc<KnownEntity>]) -> Digest {
    let mut hash = Sha256::new();
    let mut add = |entity: &KnownEntity| {
        let bytes = entity.encoded(|data| cbor::encode(|out| cbor::put_entity(out, data)));
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    // They are gathered in that order.
    match entities.is_sorted_by(|one, next| one.uid <= next.uid) {
        true => entities.iter().for_each(|entity| add(entity)),
        false => {
            let mut sorted: Vec<_> = entities.iter().collect();
            sorted.sort_by(|one, other| one.uid.cmp(&other.uid));
            sorted.into_iter().for_each(|entity| add(entity));
        }
    }
    Digest::new(hash.finalize().into())
}

fn put_committed(out: &mut Out<'_>, committed: &Committed) -> Encoded {
    put_digest(out.array(2)?.str(&committed.path.to_string())?, &committed.commitment)
}

fn put_environment(out: &mut Out<'_>, environment: &Environment) -> Encoded {
    out.array(3)?;
    put_optional(out, environment.source_ip, |out, it| out.str(&it.to_string()).map(drop))?;
    put_optional(out, environment.user_agent.as_deref(), |out, it| out.str(it).map(drop))?;
    put_all(out, environment.attributes.iter(), |out, (name, value)| out.array(2)?.str(name)?.str(value).map(drop))
}

/// In the form of version 1 where it says no more than that version could.
fn put_caller(out: &mut Out<'_>, caller: &Caller) -> Encoded {
    let known = is_known(caller);
    out.array(if known { 4 } else { 2 })?;
    put_optional(out, caller.address, |out, it| out.str(&it.to_string()).map(drop))?;
    out.str(caller.channel.name())?;
    if known {
        put_optional(out, caller.key.as_ref(), |out, it| out.str(it.as_str()).map(drop))?;
        put_optional(out, caller.trace, |out, it| out.bytes(it.as_bytes()).map(drop))?;
    }
    Ok(())
}

/// Whether more is known of a caller than version 1 of the format could tell.
fn is_known(caller: &Caller) -> bool {
    caller.key.is_some() || caller.trace.is_some()
}

fn missing_parts(missing: &Missing) -> (u8, &EntityUid) {
    match missing {
        Missing::Principal(uid) => (0, uid),
        Missing::Resource(uid) => (1, uid),
        Missing::Other(uid) => (2, uid),
    }
}

fn put_notice(out: &mut Out<'_>, notice: &Notice) -> Encoded {
    out.array(3)?.str(notice.policy_id.as_str())?.str(&notice.name)?.str(&notice.value).map(drop)
}
