//! `audit`: the decision history.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use magistrate_ledger::{DecisionId, RecordedDecision};
use magistrate_model::{ActionUid, Authorship, Cause, Decision, Instant, LoggedChange, Revision, Span};
use magistrate_pap::{Changes as _, Records as _};
use magistrate_pdp::{Clock as _, DecisionFilter, DecisionHistory, Page, Position};
use serde_json::Value as Json;

use super::{decision, input, store, verify};
use crate::cli::{AuditVerb, SearchArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::os::SystemClock;
use crate::output::Out;
use crate::signing;
use crate::store::Store;

/// How often `tail --follow` looks for new decisions.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often, and how many times, one is looked for that may still be on its way.
const LOOK_FOR_ONE_EVERY: Duration = Duration::from_millis(20);
const SOON: u32 = 75;
/// The longest a record may be committed after the instant of its request, and still be followed.
const LATEST: Span = Span::seconds(30);
/// Decisions read at a time.
const PAGE: u32 = 500;

pub(crate) async fn run(config: &Config, out: Out, verb: AuditVerb, now: Instant) -> anyhow::Result<Exit> {
    let store = store::open(config).await?;
    match verb {
        AuditVerb::Tail { lines, follow } => tail(&store, out, lines, follow).await?,
        AuditVerb::Search(args) => search(&store, config, out, &args, now).await?,
        AuditVerb::Changes { revisions, after } => changes(&store, out, revisions, after).await?,
        AuditVerb::Verify(args) => return verify::run(&store, out, &args, now).await,
        AuditVerb::Key { make } => {
            let signer = match make {
                Some(path) => signing::create(&path, &config.node)?,
                None => signing::signer_of(&config.signing_key)?,
            };
            let verifier = signer.verifier().to_string();
            out.either(|| verifier.clone(), || serde_json::json!({ "verifier_key": verifier }))?;
        }
        AuditVerb::Show { id } => {
            let found = find(&store, id.parse()?).await?;
            out.either(|| decision::page(&found), || decision::json(&found))?;
        }
    }
    Ok(Exit::Ok)
}

async fn search(store: &Store, config: &Config, out: Out, args: &SearchArgs, now: Instant) -> anyhow::Result<()> {
    let filter = filter(config, args, now)?;
    let before = match &args.before {
        Some(id) => Some(position(&find(store, id.parse()?).await?)),
        None => None,
    };
    let found = store.search(&filter, Page::NewestFirst(before), args.limit).await?;
    let rows: Vec<_> = found.iter().map(decision::row).collect();
    out.rows(&decision::HEADERS, &rows, || Json::Array(found.iter().map(decision::json).collect()))?;
    let more = u32::try_from(found.len()).is_ok_and(|count| count == args.limit);
    if let (true, false, Some(last)) = (more, out.is_json(), found.last()) {
        out.line(&format!("\nthere may be more: add --before {}", last.id))?;
    }
    Ok(())
}

async fn tail(store: &Store, out: Out, lines: u32, follow: bool) -> anyhow::Result<()> {
    let all = DecisionFilter::default();
    let mut shown = BTreeMap::new();
    if follow {
        // Noted first: what is committed from here on is told, among the newest lines or after them.
        let newest = store.search(&all, Page::NewestFirst(None), 1).await?.first().map(|found| found.recorded_at);
        note_new(store, &mut shown, newest, |_| Ok(())).await?;
    }
    let mut newest = match lines {
        0 => Vec::new(),
        lines => store.search(&all, Page::NewestFirst(None), lines).await?,
    };
    newest.reverse();
    newest.iter().try_for_each(|found| line(out, found))?;
    if !follow {
        return Ok(());
    }
    shown.extend(newest.iter().map(|found| (found.id, found.recorded_at)));
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
        let newest = shown.values().max().copied();
        note_new(store, &mut shown, newest, |found| line(out, found)).await?;
    }
}

/// Notes, and tells of, what was not noted before. Records are ordered by the instant of their request, and
/// a batch or another process may commit an earlier one later: so the newest stretch of time is read again
/// each time. A record of a clock that is ahead does not move that stretch.
async fn note_new(
    store: &Store,
    shown: &mut BTreeMap<DecisionId, Instant>,
    newest: Option<Instant>,
    mut tell: impl FnMut(&RecordedDecision) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let since = newest.map(|newest| newest.min(now).plus(Span::from_micros(-LATEST.micros())));
    let filter = DecisionFilter { since, ..DecisionFilter::default() };
    let mut last = None;
    loop {
        let page = store.search(&filter, Page::OldestFirst(last), PAGE).await?;
        for found in &page {
            if shown.insert(found.id, found.recorded_at).is_none() {
                tell(found)?;
            }
        }
        match page.last() {
            Some(found) => last = Some(position(found)),
            None => break,
        }
    }
    shown.retain(|_, at| since.is_none_or(|since| *at >= since));
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

fn line(out: Out, found: &RecordedDecision) -> std::io::Result<()> {
    out.either(|| decision::row(found).join("  "), || decision::json(found))
}

async fn find(store: &Store, id: DecisionId) -> anyhow::Result<RecordedDecision> {
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

fn position(decision: &RecordedDecision) -> Position {
    Position { recorded_at: decision.recorded_at, id: decision.id }
}

fn filter(config: &Config, args: &SearchArgs, now: Instant) -> anyhow::Result<DecisionFilter> {
    let uids = |texts: &[String]| anyhow::Ok(input::uids(texts)?.iter().map(ToString::to_string).collect::<Vec<_>>());
    let action = |text: &String| anyhow::Ok(ActionUid::resolve(text, &config.default_namespace)?.to_string());
    let cause =
        |name: &String| Cause::named(name).with_context(|| format!("`{name}` is not a cause; known are {}", causes()));
    Ok(DecisionFilter {
        principals: uids(&args.principal)?,
        actions: args.action.iter().map(action).collect::<Result<_, _>>()?,
        resources: uids(&args.resource)?,
        decision: args.decision.as_deref().map(|name| if name == "allow" { Decision::Allow } else { Decision::Deny }),
        causes: args.cause.iter().map(cause).collect::<Result<_, _>>()?,
        policies: args.policy.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
        request_id: args.request_id.as_deref().map(str::parse).transpose()?,
        since: args.since.as_deref().map(|text| input::ago(text, now)).transpose()?,
        until: args.until.as_deref().map(|text| input::ago(text, now)).transpose()?,
    })
}

fn causes() -> String {
    Cause::ALL.iter().map(|cause| cause.name()).collect::<Vec<_>>().join(", ")
}
