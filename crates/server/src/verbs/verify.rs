//! `audit verify`: whether the history is what was recorded.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use magistrate_ledger::verify::{
    Asked, Enrolment, Erasures, Expired, Finding, Kind, StreamVerifier, Trusted, Verified, VerifiedLog,
};
use magistrate_ledger::{ActId, Checkpoint, LeftStream, LogId, NoteVerifier, StreamId, open_note, read_note};
use magistrate_model::{Digest, Instant};
use magistrate_pdp::Evidence;
use serde_json::Value as Json;

use super::progress::Counting;
use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::output::Out;
use crate::signing;
use crate::store::Store;
pub(crate) use log::LogOf;
use log::{ErasedByActs, Global, OfStream, VerifiedGlobal};
use magistrate_pdp::history::{HEADER_PAGE, by_place, chained, give_headers};

/// Findings that are told one by one; all are in JSON.
const TOLD: usize = 50;

/// What was found of everything.
struct Report {
    streams: Vec<(StreamId, Verified)>,
    /// Of no stream that is there.
    others: Vec<Finding>,
    /// Of so many decisions acts that are believed say that their private values were erased.
    erased: ErasedByActs,
    global: VerifiedGlobal,
    keys: usize,
}

/// Where the records of a stream are read from.
pub(crate) trait Records: Evidence {
    /// Gives every record of a stream to the verifier, by place, and tells how many were read from time to time.
    fn give(
        &self,
        stream: StreamId,
        verifier: &mut StreamVerifier,
        read: &mut dyn FnMut(u64),
    ) -> impl Future<Output = anyhow::Result<()>>;

    /// Where the global log is.
    fn log(&self) -> LogOf<'_>;
}

pub(crate) async fn run(store: &impl Records, out: Out, args: &VerifyArgs, now: Instant) -> anyhow::Result<Exit> {
    let keys = keys_of(&args.key)?;
    let seen = match &args.seen {
        Some(_) if keys.is_empty() => bail!("checkpoints that were seen say nothing without a pinned key; give --key"),
        Some(path) => signing::notes_in(path)?,
        None => Vec::new(),
    };
    if keys.is_empty() {
        let warning = "no key is pinned: the chain is compared with itself alone, and whoever can write to the store can make another that fits; give --key";
        writeln!(anstream::stderr(), "warning: {warning}")?;
    }
    let stored = store.checkpoints().await?;
    let notes: Vec<&String> = seen.iter().chain(stored.iter().map(|it| &it.note)).collect();
    // Older files do not hold the global log: what was signed over it says nothing of them.
    let holds_log = match store.log() {
        LogOf::Store(_) => true,
        LogOf::Files(files) => files.log_id()?.is_some(),
    };
    let is_judged =
        |note: &&&String| holds_log || read_note(note).map_or(true, |it| LogId::of_origin(&it.origin).is_none());
    let mut trusted = Trusted::of(notes.iter().filter(is_judged).map(|note| note.as_str()), &keys);
    let disagree = stored.iter().filter(|it| !it.agrees()).map(|it| Finding {
        kind: Kind::Altered,
        at: format!("{} at {}", it.origin, it.size),
        records: 0,
        why: "the columns of this checkpoint do not say what its note says".to_owned(),
    });
    trusted.findings.extend(disagree);
    let retention = keys_of(&args.retention_key)?;
    let is_pinned = !(keys.is_empty() && retention.is_empty());
    let expired = Expired::new(&retention, is_pinned);
    let erasures = Erasures::new(&retention, is_pinned, known_acts(&args.unsigned_erasure)?);
    let report = verify(store, trusted, (expired, erasures), &keys, now).await?;
    report.tell(out)?;
    if report.failures().next().is_some() {
        return Ok(Exit::Integrity);
    }
    if let Some(path) = &args.seen {
        keep(path, &keys, notes.into_iter())?;
    }
    Ok(Exit::Ok)
}

async fn verify(
    store: &impl Records,
    trusted: Trusted,
    acts: (Expired, Erasures),
    keys: &[NoteVerifier],
    now: Instant,
) -> anyhow::Result<Report> {
    let mut global = Global::read(store.log(), &trusted, acts).await?;
    let known = store.streams().await?;
    // What runs say of earlier ones is read first: what they speak of was in the store before they could say so.
    let (mut told, mut total) = (BTreeMap::<StreamId, (Instant, LeftStream)>::new(), 0);
    for id in &known {
        for (at, left) in chained(store, *id, &trusted, Asked::default()).await?.tellings() {
            // The first one to tell found all of it.
            let first = told.entry(left.stream).or_insert_with(|| (at, left.clone()));
            if at < first.0 {
                *first = (at, left.clone());
            }
        }
        total += store.last_place(*id).await?;
    }
    let mut others = trusted.without(&known, global.id);
    let mut counting = Counting::new("verifying", total);
    let mut outcomes = Vec::new();
    for id in known {
        let reading = Reading { store, trusted: &trusted, left: told.remove(&id).map(|(_, left)| left), now };
        let (verified, hashes) = reading.stream(id, &global, &mut counting).await?;
        global.stream(id, hashes);
        outcomes.push((id, verified, reading.left));
    }
    // A day that was taken out meanwhile: its act came with it, behind those that were read.
    if outcomes.iter().any(|(_, it, _)| it.findings.iter().any(|it| it.kind == Kind::Missing))
        && global.more(store.log()).await?
    {
        for (id, verified, left) in &mut outcomes {
            if verified.findings.iter().any(|it| it.kind.is_failure()) {
                let reading = Reading { store, trusted: &trusted, left: left.take(), now };
                (*verified, _) = reading.stream(*id, &global, &mut counting).await?;
            }
        }
    }
    let outcomes: Vec<_> = outcomes.into_iter().map(|(id, verified, _)| (id, verified)).collect();
    counting.end();
    others.splice(0..0, trusted.findings);
    let (untold, erased) = global.untold(store.log(), &outcomes).await?;
    others.extend(untold);
    let global = global.finish(store.log(), keys).await?;
    Ok(Report { streams: outcomes, others, erased, global, keys: keys.len() })
}

/// How a stream is read.
struct Reading<'a, R> {
    store: &'a R,
    trusted: &'a Trusted,
    /// What a later run says of how it ended.
    left: Option<LeftStream>,
    now: Instant,
}

impl<R: Records> Reading<'_, R> {
    /// Verifies it; with what the global log is compared with.
    async fn stream(
        &self,
        id: StreamId,
        global: &Global,
        counting: &mut Counting,
    ) -> anyhow::Result<(Verified, OfStream)> {
        let Self { store, trusted, left, now } = self;
        // In this order: what is shipped meanwhile lies behind what was counted, and records before the header over them.
        let last_place = store.last_place(id).await?;
        let header = left.as_ref().and_then(|left| left.last_header);
        let asked = Asked { header, root_of: global.logged(id), places: Vec::new() };
        let chain = chained(*store, id, trusted, asked).await?;
        let of_stream = global.of_stream(id, &chain);
        let mut verifying = StreamVerifier::new(chain);
        left.iter().cloned().for_each(|left| verifying.told(left));
        let mut expired = global.expired(id);
        store.kept_leaves(id).await?.into_iter().for_each(|(seq, leaf)| expired.keep(seq, leaf));
        verifying.expired(expired);
        verifying.erasures(global.erasures());
        store.give(id, &mut verifying, &mut |read| counting.add(read)).await?;
        give_headers(*store, &mut verifying, u64::MAX, HEADER_PAGE).await?;
        Ok((verifying.finish(last_place, *now), of_stream))
    }
}

impl Records for Store {
    fn log(&self) -> LogOf<'_> {
        LogOf::Store(self)
    }

    async fn give(
        &self,
        stream: StreamId,
        verifier: &mut StreamVerifier,
        read: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        by_place(self, stream, 0, u64::MAX, async |rows| {
            for row in rows {
                give_headers(self, verifier, row.seq(), HEADER_PAGE).await?;
                verifier.record(row);
            }
            read(rows.len() as u64);
            Ok(())
        })
        .await
    }
}

/// Keys on the command line, and those of files: one a line.
pub(super) fn keys_of(given: &[String]) -> anyhow::Result<Vec<NoteVerifier>> {
    let mut keys = Vec::new();
    for given in given {
        if given.contains('+') {
            keys.push(given.parse()?);
            continue;
        }
        let text = std::fs::read_to_string(given).with_context(|| format!("cannot read the keys in `{given}`"))?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            keys.push(line.parse().with_context(|| format!("in `{given}`"))?);
        }
    }
    Ok(keys)
}

/// Acts that are believed though nobody signed them, by their ids and files of such.
pub(super) fn known_acts(given: &[String]) -> anyhow::Result<BTreeSet<ActId>> {
    let mut acts = BTreeSet::new();
    for given in given {
        if let Some(id) = ActId::from_hex(given) {
            acts.insert(id);
            continue;
        }
        let text = std::fs::read_to_string(given);
        let text = text.with_context(|| format!("neither the id of an act nor a file of them: `{given}`"))?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            acts.insert(ActId::from_hex(line).with_context(|| format!("`{line}` in `{given}` is no id of an act"))?);
        }
    }
    Ok(acts)
}

/// Keeps the newest checkpoint of each log: the next run expects at least these. The file is replaced as a whole.
fn keep<'a>(path: &Path, keys: &[NoteVerifier], notes: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut newest: BTreeMap<String, (u64, &String)> = BTreeMap::new();
    for note in notes {
        if let Ok(Checkpoint { origin, size, .. }) = open_note(note, keys) {
            let known = newest.entry(origin).or_insert((size, note));
            if size > known.0 {
                *known = (size, note);
            }
        }
    }
    let line = |(_, note): &(u64, &String)| serde_json::json!({ "note": note }).to_string() + "\n";
    let text: String = newest.values().map(line).collect();
    let written = signing::replace(path, &text);
    written.with_context(|| format!("cannot keep the checkpoints that were seen in `{}`", path.display()))
}

impl Report {
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        let streams = self.streams.iter().flat_map(|(_, verified)| &verified.findings);
        let log = self.global.log.iter().flat_map(|verified| &verified.findings);
        self.others.iter().chain(streams).chain(log).chain(&self.global.findings)
    }

    fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| finding.kind.is_failure())
    }

    fn tell(&self, out: Out) -> anyhow::Result<()> {
        if out.is_json() {
            return Ok(out.json(&self.json())?);
        }
        let row = |(stream, verified): &(StreamId, Verified)| {
            let Verified { records, headers, covered, .. } = verified;
            vec![stream.to_string(), records.to_string(), headers.to_string(), covered.to_string()]
        };
        let rows: Vec<_> = self.streams.iter().map(row).collect();
        out.rows(&["stream", "records", "headers", "covered"], &rows, || Json::Null)?;
        if let Some(VerifiedLog { entries, covered, .. }) = &self.global.log {
            out.line(&format!("the global log has {entries} entries, and a checkpoint covers {covered}"))?;
        }
        for Enrolment { node, revoked, actor, at, .. } in &self.global.enrolments {
            let did = if *revoked { "revoked" } else { "enrolled" };
            out.line(&format!("{actor} {did} the key of {node} at {at}"))?;
        }
        let ErasedByActs { decisions, unsigned } = self.erased;
        if decisions > 0 {
            let unsigned = if unsigned > 0 { format!(", for {unsigned} of them unsigned ones") } else { String::new() };
            out.line(&format!(
                "acts say that the private values of {decisions} decisions were erased{unsigned}; `magistrate audit acts --kind erasure` shows by whom",
            ))?;
        }
        // What shows that history was touched comes first.
        let mut findings: Vec<&Finding> = self.findings().collect();
        findings.sort_by_key(|finding| !finding.kind.is_failure());
        for finding in findings.iter().take(TOLD) {
            out.line(&finding.to_string())?;
        }
        if findings.len() > TOLD {
            out.line(&format!("and {} more; `-o json` tells all of them", findings.len() - TOLD))?;
        }
        out.line(&self.summary())?;
        Ok(())
    }

    fn summary(&self) -> String {
        let records: u64 = self.streams.iter().map(|(_, verified)| verified.records).sum();
        match (self.failures().next(), self.keys) {
            (Some(first), _) => {
                format!("NOT WHOLE: {} findings; the first: {first}", self.failures().count())
            }
            (None, 0) => format!("{records} records follow from each other; without a pinned key that proves little"),
            (None, _) => format!("{records} records are those that were sealed"),
        }
    }

    fn json(&self) -> Json {
        let finding = |it: &Finding| {
            serde_json::json!({ "kind": it.kind.name(), "failure": it.kind.is_failure(), "at": it.at,
                "records": it.records, "why": it.why })
        };
        let stream = |(id, verified): &(StreamId, Verified)| {
            serde_json::json!({ "stream": id.to_string(), "records": verified.records, "headers": verified.headers,
                "covered": verified.covered })
        };
        let enrolment = |it: &Enrolment| {
            serde_json::json!({ "node": it.node, "key": Digest::new(it.key).to_string(), "revoked": it.revoked,
                "actor": it.actor, "at": it.at.to_string() })
        };
        let count = |kind: Kind| self.findings().filter(|it| it.kind == kind).map(|it| it.records.max(1)).sum::<u64>();
        let counts: serde_json::Map<_, _> =
            Kind::ALL.iter().map(|kind| (kind.name().to_owned(), Json::from(count(*kind)))).collect();
        serde_json::json!({
            "whole": self.failures().next().is_none(),
            "pinned_keys": self.keys,
            "log": self.global.log.as_ref().map(|it| serde_json::json!({ "entries": it.entries, "covered": it.covered })),
            "enrolments": self.global.enrolments.iter().map(enrolment).collect::<Vec<_>>(),
            "streams": self.streams.iter().map(stream).collect::<Vec<_>>(),
            "erased_by_acts": self.erased.decisions,
            "erased_by_unsigned_acts": self.erased.unsigned,
            "counts": counts,
            "findings": self.findings().map(finding).collect::<Vec<_>>(),
        })
    }
}
