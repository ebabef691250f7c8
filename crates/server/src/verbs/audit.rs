//! `audit`: the decision history.

use std::time::Duration;

use anyhow::Context as _;
use magistrate_ledger::{DecisionId, NoteVerifier, RecordedDecision};
use magistrate_model::{Authorship, Instant, LoggedChange, Revision, Span};
use magistrate_pap::{Changes as _, Records as _};
use magistrate_pdp::history::{self, Reading, SearchWords, check_stretches};
use magistrate_pdp::{Clock as _, DecisionFilter, DecisionHistory, Page, Position, Sequencing as _};
use serde_json::Value as Json;

use super::{acts, decision, erase, export, input, prove, replay, retention, review, store, tail, tally, verify};
use crate::cli::{AuditVerb, SearchArgs, WantedArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::os::{self, SystemClock};
use crate::output::Out;
use crate::sequencing::{enrolment, key_of};
use crate::signing;
use crate::store::Store;

/// How often, and how many times, one is looked for that may still be on its way.
const LOOK_FOR_ONE_EVERY: Duration = Duration::from_millis(20);
const SOON: u32 = 75;

pub(crate) async fn run(config: &Config, out: Out, verb: AuditVerb, now: Instant) -> anyhow::Result<Exit> {
    let store = store::open(config).await?;
    match verb {
        AuditVerb::Expire(args) => return retention::expire(&store, out, &args, now).await,
        AuditVerb::Hold(args) => retention::hold(&store, out, &args, now).await?,
        AuditVerb::Export { dir, with_private } => export::run(&store, out, &dir, with_private).await?,
        AuditVerb::Erase(args) => return erase::run(&store, out, &args, now).await,
        AuditVerb::Tail(args) => tail::run(&store, config, out, &args, now).await?,
        AuditVerb::Search(args) => search(&store, config, out, &args, now).await?,
        AuditVerb::Changes { revisions, after } => changes(&store, out, revisions, after).await?,
        AuditVerb::Acts(args) => acts::run(&store, out, &args, now).await?,
        AuditVerb::Verify(args) => return verify::run(&store, out, &args, now).await,
        AuditVerb::Replay(args) => return replay::run(&store, config, out, &args, now).await,
        AuditVerb::Review { within, soon, denied } => {
            let review = review::Asked { within: within.parse()?, soon: soon.parse()?, denied };
            review::run(&store, out, &review, now).await?;
        }
        AuditVerb::Prove(args) => return prove::run(&store, out, &args).await,
        // It needs no store: whoever runs a verb sees to it before.
        AuditVerb::CheckProof(args) => return prove::check(out, &args),
        AuditVerb::Key { make: Some(path), .. } => show_key(out, &signing::create(&path, &config.node)?.verifier())?,
        AuditVerb::Key { enrol: Some(key), .. } => enrol(&store, out, &key, false, now).await?,
        AuditVerb::Key { revoke: Some(key), .. } => enrol(&store, out, &key, true, now).await?,
        AuditVerb::Key { .. } => show_key(out, &signing::signer_of(&config.signing_key)?.verifier())?,
        AuditVerb::Show { id } => {
            let found = find(&store, id.parse()?).await?;
            note(&store, "show", found.id.to_string(), 1).await?;
            out.either(|| decision::page(&found), || decision::json(&found))?;
        }
    }
    Ok(Exit::Ok)
}

fn show_key(out: Out, key: &NoteVerifier) -> std::io::Result<()> {
    let key = key.to_string();
    out.either(|| key.clone(), || serde_json::json!({ "verifier_key": key }))
}

/// Records that a key signs, or no more. That proves nothing: trusted is what is pinned.
async fn enrol(store: &Store, out: Out, key: &str, revoked: bool, now: Instant) -> anyhow::Result<()> {
    let key: NoteVerifier = key.parse()?;
    let known = key_of(store, &key.key()).await?;
    let word = if revoked { "revoked" } else { "enrolled" };
    if known.is_some_and(|said| said.revoked == revoked) {
        return Ok(out.line(&format!("it is {word} already"))?);
    }
    let node = key.name().strip_prefix("magistrate/").unwrap_or(key.name());
    let act = enrolment(&os::actor(), node, key.key(), revoked, now)?;
    store.record_act(&act).await?;
    Ok(out.line(&format!("the key of {node} is {word}"))?)
}

async fn search(store: &Store, config: &Config, out: Out, args: &SearchArgs, now: Instant) -> anyhow::Result<()> {
    let filter = filter(config, &args.wanted, now)?;
    if args.count || args.histogram.is_some() {
        note(store, "count", words(&args.wanted, now)?.line(), 0).await?;
        return count(store, out, &filter, args.histogram.as_deref(), now).await;
    }
    let from = match &args.after {
        Some(id) => Some(Position::of(&find(store, id.parse()?).await?)),
        None => None,
    };
    let page = if args.oldest_first { Page::OldestFirst(from) } else { Page::NewestFirst(from) };
    let found = history::search(store, &filter, page, Reading::of(args.limit)).await?;
    let (decisions, more) = (found.decisions, found.next.is_some());
    note(store, "search", words(&args.wanted, now)?.line(), decisions.len() as u64).await?;
    let rows: Vec<_> = decisions.iter().map(decision::row).collect();
    out.rows(&decision::HEADERS, &rows, || Json::Array(decisions.iter().map(decision::json).collect()))?;
    if let (true, false, Some(last)) = (more, out.is_json(), decisions.last()) {
        out.line(&format!("\nthere may be more: add --after {}", last.id))?;
    }
    Ok(())
}

async fn count(
    store: &Store,
    out: Out,
    filter: &DecisionFilter,
    stretch: Option<&str>,
    now: Instant,
) -> anyhow::Result<()> {
    let stretch =
        stretch.map(|text| text.parse::<Span>().with_context(|| format!("`{text}` is not a span such as `1h`")));
    let stretch = stretch.transpose()?;
    if let (Some(stretch), Some(since)) = (stretch, filter.since) {
        check_stretches(filter.until.unwrap_or(now).since(since), stretch).map_err(anyhow::Error::msg)?;
    }
    // Where no stretches are asked for, one holds everything there can be.
    let tally = history::tally(store, filter, stretch.unwrap_or(history::ALL_TIME), u32::MAX).await?;
    let json = || tally::json(&tally, stretch);
    match stretch {
        Some(_) => out.rows(&tally::BUCKET_HEADERS, &tally::bucket_rows(&tally), json)?,
        None => out.rows(&tally::HEADERS, &tally::rows(&tally), json)?,
    }
    Ok(())
}

async fn changes(store: &Store, out: Out, revisions: u32, after: Option<u64>) -> anyhow::Result<()> {
    let newest = store.base().await?.revision.number();
    let after = after.unwrap_or_else(|| newest.saturating_sub(revisions.into()));
    let log = store.log(Revision::new(after), revisions).await?;
    let row = |change: &LoggedChange| {
        let Authorship { actor, reason, at } = &change.authorship;
        let (revision, at) = (change.revision.to_string(), at.to_string());
        vec![revision, at, actor.to_string(), change.kind.clone(), change.key.clone(), reason.to_string()]
    };
    let rows: Vec<_> = log.iter().map(row).collect();
    let json = || Json::Array(log.iter().map(decision::change).collect());
    out.rows(&["revision", "at", "actor", "change", "of", "reason"], &rows, json)?;
    Ok(())
}

pub(super) async fn find(store: &Store, id: DecisionId) -> anyhow::Result<RecordedDecision> {
    find_shipped(store, id).await?.with_context(|| {
        format!("there is no decision `{id}` in this history; one that was just made may still be in the journal of its node")
    })
}

/// A decision of which a caller knows already is in the history soon: nodes ship several times a second.
pub(crate) async fn find_shipped<H: DecisionHistory>(
    history: &H,
    id: DecisionId,
) -> anyhow::Result<Option<RecordedDecision>> {
    for _ in 0..SOON {
        if let Some(found) = history.find(id).await? {
            return Ok(Some(found));
        }
        tokio::time::sleep(LOOK_FOR_ONE_EVERY).await;
    }
    Ok(history.find(id).await?)
}

/// Records that history is read, before anything of it is told.
pub(super) async fn note(store: &Store, verb: &'static str, query: String, records: u64) -> anyhow::Result<()> {
    let access = history::Access { actor: os::actor().parse()?, verb, query, records };
    Ok(history::record_access(store, access, os::random(), SystemClock.now()).await?)
}

/// Whom the options want.
pub(super) fn words(args: &WantedArgs, now: Instant) -> anyhow::Result<SearchWords> {
    Ok(SearchWords {
        principal: args.principal.clone(),
        action: args.action.clone(),
        resource: args.resource.clone(),
        decision: args.decision.clone(),
        cause: args.cause.clone(),
        policy: args.policy.clone(),
        grant: args.grant.clone(),
        revision: args.revision.clone(),
        caller: args.caller.clone(),
        ip: args.ip.clone(),
        request_id: args.request_id.clone(),
        trace_id: args.trace_id.clone(),
        since: args.since.as_deref().map(|text| input::ago(text, now)).transpose()?,
        until: args.until.as_deref().map(|text| input::ago(text, now)).transpose()?,
    })
}

pub(super) fn filter(config: &Config, args: &WantedArgs, now: Instant) -> anyhow::Result<DecisionFilter> {
    Ok(words(args, now)?.filter(&config.default_namespace)?)
}
