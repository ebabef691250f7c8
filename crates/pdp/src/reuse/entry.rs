//! One earlier answer, and everything that it hangs on.

use std::sync::atomic::{AtomicU64, Ordering};

use magistrate_model::{
    ActionUid, Caller, Channel, EntityInput, EntityUid, Facts, GrantInForce, Instant, Query, Question, Record,
    Revision, Span, Verdict,
};

use super::Miss;
use crate::facts;
use crate::prepared::{LINK, of_record, weight_of};
use crate::state::{Decided, View};

/// What was asked, as the door gave it: the words that an answer can hang on.
///
/// Not among them: the caller, but for the door it came through. There are no callers with rights, no guard and no tokens yet,
/// so who asks does not enter a decision; once it does, it belongs here. The address is a fact, and an answer that hangs on it
/// is not kept. Neither do the request's own id and trace, the revision that is waited for, and what is said of the end user's
/// surroundings beside the address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    principal: EntityInput,
    action: ActionUid,
    resource: EntityInput,
    context: Record,
    channel: Channel,
}

/// The same of a query, by reference, to be hashed and compared. A new part of a query does not compile until it is said here
/// whether it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Words<'a> {
    principal: &'a EntityInput,
    action: &'a ActionUid,
    resource: &'a EntityInput,
    context: &'a Record,
    channel: Channel,
}

impl<'a> Words<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        let Query {
            principal,
            action,
            resource,
            context,
            caller: Caller { channel, address: _, key: _, trace: _ },
            environment: _,
            at_least_revision: _,
            request_id: _,
            explain: _,
        } = query;
        Self { principal, action, resource, context, channel: *channel }
    }
}

impl Asked {
    pub(super) fn of(query: &Query) -> Self {
        let Words { principal, action, resource, context, channel } = Words::of(query);
        Self {
            principal: principal.clone(),
            action: action.clone(),
            resource: resource.clone(),
            context: context.clone(),
            channel,
        }
    }

    fn words(&self) -> Words<'_> {
        let Self { principal, action, resource, context, channel } = self;
        Words { principal, action, resource, context, channel: *channel }
    }
}

/// An earlier answer.
#[derive(Debug)]
pub(super) struct Entry {
    asked: Asked,
    /// Principal, resource and context in the schema's types, where those are others than were sent.
    typed: Option<(EntityInput, EntityInput, Record)>,
    /// All that was known but for what is supplied with every question.
    facts: Facts,
    verdict: Verdict,
    /// What was loaded, and what was looked for and is not stored.
    hangs_on: Box<[EntityUid]>,
    /// From which state on it holds.
    since: Revision,
    /// Up to which state it is known to hold: nothing it hangs on changed in between.
    until: AtomicU64,
    weight: u32,
}

impl Entry {
    /// What was decided just now by a state, to be used again; `None` where it may be answered otherwise the next time.
    pub(super) fn of(asked: Asked, decided: &Decided) -> Option<Self> {
        let Decided { question: Question { query, facts }, verdict, reads_passing, absent } = decided;
        if *reads_passing || facts.missing.is_some() {
            return None;
        }
        let as_sent =
            query.principal == asked.principal && query.resource == asked.resource && query.context == asked.context;
        let typed = (!as_sent).then(|| (query.principal.clone(), query.resource.clone(), query.context.clone()));
        let parties = [query.principal.uid(), query.resource.uid()];
        let loaded = facts.entities.iter().chain(&facts.roles).map(|entity| &entity.uid);
        let mut hangs_on: Vec<EntityUid> = parties.into_iter().chain(loaded).chain(absent).cloned().collect();
        hangs_on.sort_unstable();
        hangs_on.dedup();
        let entry = Self {
            asked,
            typed,
            facts: Facts { supplied: None, ..facts.clone() },
            verdict: verdict.clone(),
            hangs_on: hangs_on.into(),
            since: verdict.revision,
            until: AtomicU64::new(verdict.revision.number()),
            weight: 0,
        };
        Some(Self { weight: entry.weigh(), ..entry })
    }

    /// Whether this is what is asked, word for word.
    pub(super) fn is_of(&self, query: &Query) -> bool {
        self.asked.words() == Words::of(query)
    }

    /// Whether a state would answer the same now, or why that cannot be said.
    pub(super) fn holds(&self, view: &View, now: Instant) -> Result<(), Miss> {
        // INVARIANT: it was true at its instant, and is until time alone can change it. Another thread may have been given an
        // earlier instant than the one who made it.
        let is_over = self.verdict.valid_until.is_some_and(|until| now >= until);
        if now < self.facts.instant || is_over {
            return Err(Miss::Expired);
        }
        let revision = view.head.revision;
        if self.verdict.policy_set_digest != view.snapshot.digest() || revision < self.since {
            return Err(Miss::Changed);
        }
        let until = Revision::new(self.until.load(Ordering::Acquire));
        if revision > until {
            if view.touched.concerns(self.hangs_on.iter(), until) {
                return Err(Miss::Changed);
            }
            self.until.fetch_max(revision.number(), Ordering::AcqRel);
        }
        Ok(())
    }

    /// The question and its answer as this state would give them, which [`holds`](Self::holds).
    pub(super) fn answer(&self, query: Query, view: &View, now: Instant, age: Span) -> (Question, Verdict) {
        let query = match &self.typed {
            None => query,
            Some((principal, resource, context)) => {
                Query { principal: principal.clone(), resource: resource.clone(), context: context.clone(), ..query }
            }
        };
        let supplied = facts::supplied(&query, &view.snapshot, now, age);
        let facts = Facts { instant: now, supplied, ..self.facts.clone() };
        (Question { query, facts }, Verdict { revision: view.head.revision, ..self.verdict.clone() })
    }

    /// Bytes, about.
    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    /// Entities are counted as if nobody else held them: once they are no longer among the prepared ones, nobody does.
    fn weigh(&self) -> u32 {
        const BASE: usize = 1_000;
        let party = |party: &EntityInput| LINK + party.asserted().map_or(0, |it| of_record(&it.attributes));
        let words = |principal, resource, context| party(principal) + party(resource) + of_record(context);
        let sent = words(&self.asked.principal, &self.asked.resource, &self.asked.context);
        let typed = self.typed.as_ref().map_or(0, |(principal, resource, context)| words(principal, resource, context));
        let Facts { entities, roles, direct_roles, scopes, grants, .. } = &self.facts;
        let of_grant = |grant: &GrantInForce| LINK + grant.confers.len() * 2 * LINK;
        let links = self.hangs_on.len() + direct_roles.len() + 3 * scopes.len();
        let notices = self.verdict.advice.iter().chain(&self.verdict.obligations);
        let policies = self.verdict.determining.len() + self.verdict.errored.len() + self.verdict.grants.len();
        let own = BASE
            + sent
            + typed
            + links * 2 * LINK
            + grants.iter().map(of_grant).sum::<usize>()
            + notices.map(|notice| LINK + notice.name.len() + notice.value.len()).sum::<usize>()
            + policies * LINK;
        let loaded: u64 = entities.iter().chain(roles).map(|entity| u64::from(weight_of(entity))).sum();
        u32::try_from(loaded.saturating_add(own as u64)).unwrap_or(u32::MAX)
    }
}
