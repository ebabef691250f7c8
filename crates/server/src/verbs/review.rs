//! `audit review`: what could be taken away.

use std::collections::BTreeSet;

use anyhow::Context as _;
use magistrate_engine::Effect;
use magistrate_engine::Snapshot;
use magistrate_model::{Conferred, Grant, Instant, Revision, Span};
use magistrate_pap::{GrantFilter, Records as _};
use magistrate_pdp::history::{ALL_TIME, Reading, Usage, search, tally};
use magistrate_pdp::{DecisionFilter, Page, PastStates as _};
use serde_json::{Value as Json, json};

use super::audit;
use super::progress::Counting;
use crate::output::Out;
use crate::store::Store;

/// Decisions, grants and revisions read at a time.
const PAGE: u32 = 4_096;

/// What is looked at.
pub(super) struct Asked {
    /// So much of history.
    pub(super) within: Span,
    /// What ends within that is ending soon.
    pub(super) soon: Span,
    /// How many of those that were refused are told.
    pub(super) denied: usize,
}

/// What was found.
struct Review {
    usage: Usage,
    unused: Vec<Grant>,
    standing: Vec<Grant>,
    ending: Vec<Grant>,
    /// Id and effect.
    policies: Vec<(String, &'static str)>,
}

pub(super) async fn run(store: &Store, out: Out, asked: &Asked, now: Instant) -> anyhow::Result<()> {
    let since = now.plus(Span::from_micros(-asked.within.micros()));
    audit::note(store, "review", format!("since={since}"), 0).await?;
    let mut usage = usage(store, since).await?;
    changes(store, since, &mut usage).await?;
    let mut review =
        Review { usage, unused: Vec::new(), standing: Vec::new(), ending: Vec::new(), policies: Vec::new() };
    let soon = now.plus(asked.soon);
    let mut after = None;
    loop {
        let filter =
            GrantFilter { in_force_at: Some(now), after: after.take(), limit: Some(PAGE), ..GrantFilter::default() };
        let page = store.grants(&filter).await?;
        after = page.last().filter(|_| page.len() == PAGE as usize).map(|last| last.id().clone());
        page.into_iter().for_each(|grant| review.take(grant, since, soon));
        if after.is_none() {
            break;
        }
    }
    if let Some(set) = store.base().await?.policy_set {
        let snapshot =
            Snapshot::of(&set).map_err(|findings| anyhow::anyhow!("{findings}")).context("the live policies")?;
        let before = policies_at(store, since).await?;
        let had_time = |id: &str| before.as_ref().is_some_and(|before| before.contains(id));
        let unused = snapshot.policies().filter(|it| review.usage.never_determined(&it.id) && had_time(it.id.as_str()));
        review.policies = unused.map(|policy| (policy.id.to_string(), effect(policy.effect))).collect();
    }
    match out.is_json() {
        true => Ok(out.json(&review.json(asked))?),
        false => review.tell(out, asked),
    }
}

/// Reads the decisions.
async fn usage(store: &Store, since: Instant) -> anyhow::Result<Usage> {
    let filter = DecisionFilter { since: Some(since), ..DecisionFilter::default() };
    let total = tally(store, &filter, ALL_TIME, 0).await?.total();
    let (mut usage, mut page, mut counting) =
        (Usage::default(), Page::OldestFirst(None), Counting::new("reviewing", total));
    loop {
        let found = search(store, &filter, page, Reading::of(PAGE)).await?;
        found.decisions.iter().for_each(|decision| usage.take(decision));
        counting.add(found.decisions.len() as u64);
        match found.next {
            Some(next) => page = page.from(next),
            None => break,
        }
    }
    counting.end();
    Ok(usage)
}

/// Reads the change log backwards, as far as that time.
async fn changes(store: &Store, since: Instant, usage: &mut Usage) -> anyhow::Result<()> {
    let mut last = store.base().await?.revision;
    while last > Revision::ZERO {
        let after = Revision::new(last.number().saturating_sub(PAGE.into()));
        let log = store.changes_between(after, last).await?;
        log.iter().filter(|change| change.authorship.at >= since).for_each(|change| usage.change(change));
        if log.first().is_some_and(|change| change.authorship.at < since) {
            break;
        }
        last = after;
    }
    Ok(())
}

/// The policies that were live at that time; what was applied since had less time to decide anything.
async fn policies_at(store: &Store, at: Instant) -> anyhow::Result<Option<BTreeSet<String>>> {
    let mut last = store.base().await?.revision;
    while last > Revision::ZERO {
        let after = Revision::new(last.number().saturating_sub(PAGE.into()));
        let log = store.changes_between(after, last).await?;
        if let Some(newest) = log.iter().rev().find(|change| change.authorship.at < at) {
            let set = store.policy_set_at(newest.revision).await?;
            return Ok(set.map(|set| set.policies.iter().map(|policy| policy.id.to_string()).collect()));
        }
        last = after;
    }
    Ok(None)
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    }
}

impl Review {
    fn take(&mut self, grant: Grant, since: Instant, soon: Instant) {
        let term = *grant.term();
        let began = term.not_before().is_some_and(|at| at >= since) || self.usage.is_new(grant.id());
        if term.expires_at().is_some_and(|end| end < soon) {
            self.ending.push(grant.clone());
        }
        if self.usage.is_unused(grant.id()) && !began {
            self.unused.push(grant.clone());
        }
        if term.expires_at().is_none() {
            self.standing.push(grant);
        }
    }

    fn tell(&self, out: Out, asked: &Asked) -> anyhow::Result<()> {
        let days = asked.within.whole_seconds() / 86_400;
        out.line(&format!("{} decisions of the last {days} days\n", self.usage.decisions()))?;
        for (title, grants) in [
            ("grants that were not needed", &self.unused),
            ("grants without an end", &self.standing),
            ("grants that end soon", &self.ending),
        ] {
            out.line(&format!("{title}: {}", grants.len()))?;
            let rows: Vec<_> = grants.iter().map(row).collect();
            out.rows(&["grant", "holder", "confers", "on", "expires", "reason"], &rows, || Json::Null)?;
            out.line("")?;
        }
        out.line(&format!("policies that decided nothing: {}", self.policies.len()))?;
        let rows: Vec<_> = self.policies.iter().map(|(id, effect)| vec![id.clone(), (*effect).to_owned()]).collect();
        out.rows(&["policy", "effect"], &rows, || Json::Null)?;
        out.line("\nprincipals that were refused most:")?;
        let most = self.usage.most_denied(asked.denied);
        let rows: Vec<_> = most.iter().map(|(who, count)| vec![(*who).to_owned(), count.to_string()]).collect();
        out.rows(&["principal", "denials"], &rows, || Json::Null)?;
        Ok(())
    }

    fn json(&self, asked: &Asked) -> Json {
        let grants = |grants: &[Grant]| grants.iter().map(grant_json).collect::<Vec<_>>();
        let policies = self.policies.iter().map(|(id, effect)| json!({ "policy": id, "effect": effect }));
        let denied = self.usage.most_denied(asked.denied);
        json!({
            "decisions": self.usage.decisions(),
            "within_seconds": asked.within.whole_seconds(),
            "unused_grants": grants(&self.unused),
            "standing_grants": grants(&self.standing),
            "ending_grants": grants(&self.ending),
            "unused_policies": policies.collect::<Vec<_>>(),
            "most_denied": denied.iter().map(|(who, count)| json!({ "principal": who, "denials": count })).collect::<Vec<_>>(),
            "denials_of_others": self.usage.uncounted(),
        })
    }
}

fn confers(grant: &Grant) -> String {
    match grant.conferred() {
        Conferred::Role { role, .. } => role.to_string(),
        Conferred::Scope(scope) => scope.to_string(),
    }
}

fn row(grant: &Grant) -> Vec<String> {
    vec![
        grant.id().to_string(),
        grant.holder().to_string(),
        confers(grant),
        grant.resource().map(ToString::to_string).unwrap_or_default(),
        grant.term().expires_at().map_or_else(|| "never".to_owned(), |end| end.to_string()),
        grant.reason().to_owned(),
    ]
}

fn grant_json(grant: &Grant) -> Json {
    json!({
        "id": grant.id().as_str(),
        "holder": grant.holder().to_string(),
        "confers": confers(grant),
        "on": grant.resource().map(ToString::to_string),
        "expires_at": grant.term().expires_at().map(|end| end.to_string()),
        "reason": grant.reason(),
    })
}
