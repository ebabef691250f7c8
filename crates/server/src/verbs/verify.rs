//! `audit verify`: whether the history is what was recorded.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use magistrate_ledger::verify::{Finding, Kind, StreamVerifier, Trusted, Verified};
use magistrate_ledger::{Checkpoint, LeftStream, NoteVerifier, StoredDecision, StreamId, open_note};
use magistrate_model::Instant;
use magistrate_pdp::Evidence;
use serde_json::Value as Json;

use super::progress::Counting;
use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::output::Out;
use crate::signing;
use crate::store::Store;

/// Records read at a time.
const PAGE: u32 = 2_000;
/// Findings that are told one by one; all are in JSON.
const TOLD: usize = 50;

/// What was found of everything.
struct Report {
    streams: Vec<(StreamId, Verified)>,
    /// Of no stream that is there.
    others: Vec<Finding>,
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
}

pub(crate) async fn run(store: &impl Records, out: Out, args: &VerifyArgs, now: Instant) -> anyhow::Result<Exit> {
    let keys = keys(args)?;
    let seen = match &args.seen {
        Some(_) if keys.is_empty() => bail!("checkpoints that were seen say nothing without a pinned key; give --key"),
        Some(path) => notes(path)?,
        None => Vec::new(),
    };
    if keys.is_empty() {
        let warning = "no key is pinned: the chain is compared with itself alone, and whoever can write to the store can make another that fits; give --key";
        writeln!(anstream::stderr(), "warning: {warning}")?;
    }
    let stored = store.checkpoints().await?;
    let notes: Vec<&String> = seen.iter().chain(stored.iter().map(|it| &it.note)).collect();
    let mut trusted = Trusted::of(notes.iter().map(|note| note.as_str()), &keys);
    let disagree = stored.iter().filter(|it| !it.agrees()).map(|it| Finding {
        kind: Kind::Altered,
        at: format!("{} at {}", it.origin, it.size),
        records: 0,
        why: "the columns of this checkpoint do not say what its note says".to_owned(),
    });
    trusted.findings.extend(disagree);
    let report = verify(store, trusted, keys.len(), now).await?;
    report.tell(out)?;
    if report.failures().next().is_some() {
        return Ok(Exit::Integrity);
    }
    if let Some(path) = &args.seen {
        keep(path, &keys, notes.into_iter())?;
    }
    Ok(Exit::Ok)
}

async fn verify(store: &impl Records, trusted: Trusted, keys: usize, now: Instant) -> anyhow::Result<Report> {
    let known = store.streams().await?;
    // What runs say of earlier ones is read first: what they speak of was in the store before they could say so.
    let (mut told, mut total) = (BTreeMap::<StreamId, (Instant, LeftStream)>::new(), 0);
    for id in &known {
        let headers = store.headers(*id).await?;
        for (at, left) in StreamVerifier::new(*id, &headers, &trusted).tellings(&trusted) {
            // The first one to tell found all of it.
            let first = told.entry(left.stream).or_insert_with(|| (at, left.clone()));
            if at < first.0 {
                *first = (at, left);
            }
        }
        total += store.last_place(*id).await?;
    }
    let mut others = trusted.without(&known);
    let mut counting = Counting::new("verifying", total);
    let mut outcomes = Vec::new();
    for id in known {
        // In this order: what is shipped meanwhile lies behind what was counted, and records before the header over them.
        let last_place = store.last_place(id).await?;
        let headers = store.headers(id).await?;
        let mut verifying = StreamVerifier::new(id, &headers, &trusted);
        if let Some((_, left)) = told.remove(&id) {
            verifying.told(left);
        }
        store.give(id, &mut verifying, &mut |read| counting.add(read)).await?;
        outcomes.push((id, verifying.finish(last_place, now)));
    }
    counting.end();
    others.splice(0..0, trusted.findings);
    Ok(Report { streams: outcomes, others, keys })
}

impl Records for Store {
    async fn give(
        &self,
        stream: StreamId,
        verifier: &mut StreamVerifier,
        read: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let page = self.records(stream, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            // A place may be stored twice, on both sides of a page's end: the last one is left to the next page.
            let end = page.last().map_or(0, StoredDecision::seq);
            let mut taken = 0;
            for row in page.iter().filter(|row| is_last || row.seq() < end) {
                verifier.record(row);
                taken += 1;
            }
            read(taken);
            match (is_last, taken) {
                (true, _) => return Ok(()),
                (false, 0) => bail!("place {end} of stream {stream} is stored {PAGE} times and more"),
                (false, _) => after = end - 1,
            }
        }
    }
}

/// Keys on the command line, and those of files: one a line.
fn keys(args: &VerifyArgs) -> anyhow::Result<Vec<NoteVerifier>> {
    let mut keys = Vec::new();
    for given in &args.key {
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

/// The notes of a file that was kept; none where it is not there yet.
fn notes(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read the checkpoints in `{}`", path.display()))?,
    };
    let note = |(number, line): (usize, &str)| {
        signing::note_of(line)
            .with_context(|| format!("line {} of `{}` holds no checkpoint", number + 1, path.display()))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(note).collect()
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
        self.others.iter().chain(self.streams.iter().flat_map(|(_, verified)| &verified.findings))
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
        let count = |kind: Kind| self.findings().filter(|it| it.kind == kind).map(|it| it.records.max(1)).sum::<u64>();
        let counts: serde_json::Map<_, _> =
            Kind::ALL.iter().map(|kind| (kind.name().to_owned(), Json::from(count(*kind)))).collect();
        serde_json::json!({
            "whole": self.failures().next().is_none(),
            "pinned_keys": self.keys,
            "streams": self.streams.iter().map(stream).collect::<Vec<_>>(),
            "counts": counts,
            "findings": self.findings().map(finding).collect::<Vec<_>>(),
        })
    }
}
