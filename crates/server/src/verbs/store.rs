//! What administration verbs share: the store, authorship, and telling what a change came to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use magistrate_model::{Authorship, Instant};
use magistrate_pap::{Administration, Data, ImportFile, Outcome};
use serde_json::{Value as Json, json};

use crate::cli::{Authored, Import};
use crate::config::Config;
use crate::exit::Exit;
use crate::os;
use crate::output::Out;
use crate::store::Store;

pub(crate) async fn open(config: &Config) -> anyhow::Result<Store> {
    Box::pin(Store::open(config)).await
}

pub(crate) async fn administration(config: &Config) -> anyhow::Result<Administration<Store>> {
    Ok(Administration::new(open(config).await?))
}

pub(crate) fn authorship(authored: &Authored, now: Instant) -> anyhow::Result<Authorship> {
    authored_by(&authored.actor.clone().unwrap_or_else(os::actor), &authored.reason, now)
}

/// Authorship of a change that no command line made.
pub(crate) fn authored_by(actor: &str, reason: &str, now: Instant) -> anyhow::Result<Authorship> {
    Ok(Authorship { actor: actor.parse()?, reason: reason.parse()?, at: now })
}

/// Puts items and tells what came of it.
pub(crate) async fn put(
    config: &Config,
    out: Out,
    data: Data,
    authored: &Authored,
    now: Instant,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let administration = administration(config).await?;
    let outcome = administration.put(&data, &authorship(authored, now)?, dry_run).await?;
    tell(out, &outcome, dry_run)
}

/// Reads a file and puts its items; `add` turns its name and text into data.
pub(crate) async fn import(
    config: &Config,
    out: Out,
    import: &Import,
    now: Instant,
    add: impl FnOnce(&mut Data, &str, &str) -> Result<(), Vec<magistrate_pap::Problem>>,
) -> anyhow::Result<Exit> {
    let (name, text) = read(&import.file)?;
    let mut data = Data::default();
    add(&mut data, &name, &text).map_err(magistrate_pap::AdminError::Problems)?;
    put(config, out, data, &import.authored, now, import.dry_run).await
}

/// Tells the outcome of a change.
pub(crate) fn tell(out: Out, outcome: &Outcome, dry_run: bool) -> anyhow::Result<Exit> {
    out.either(|| text(outcome, dry_run), || json(outcome, dry_run))?;
    Ok(exit(outcome, dry_run))
}

/// A dry run tells by its exit code whether anything would change.
pub(crate) fn exit(outcome: &Outcome, dry_run: bool) -> Exit {
    let pending = dry_run && outcome.added + outcome.updated + outcome.removed > 0;
    if pending { Exit::ChangesPending } else { Exit::Ok }
}

/// The outcome of a change in words.
pub(crate) fn text(outcome: &Outcome, dry_run: bool) -> String {
    let (counts, revision) = (counts(outcome), outcome.revision);
    match dry_run {
        true => format!("dry run: {counts}; nothing was changed, the store is at revision {revision}"),
        false => format!("{counts}; revision {revision}"),
    }
}

/// How many items were added, updated, removed and left alone.
pub(crate) fn counts(outcome: &Outcome) -> String {
    let Outcome { added, updated, unchanged, removed, .. } = *outcome;
    let counts = [(added, "added"), (updated, "updated"), (removed, "removed"), (unchanged, "unchanged")];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") }
}

/// The outcome of a change as JSON.
pub(crate) fn json(outcome: &Outcome, dry_run: bool) -> Json {
    let Outcome { revision, added, updated, unchanged, removed } = *outcome;
    json!({ "revision": revision.number(), "added": added, "updated": updated, "removed": removed, "unchanged": unchanged, "dry_run": dry_run })
}

/// Whether a list ends because of its limit.
pub(crate) fn is_cut(found: usize, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| u32::try_from(found).is_ok_and(|found| found == limit))
}

/// A file's name as people are told, and its text, unless it has more bytes than an import may have.
pub(crate) fn read(path: &Path) -> anyhow::Result<(String, String)> {
    if path.as_os_str() == "-" {
        let name = "standard input";
        return Ok((name.to_owned(), bounded(name, std::io::stdin(), 0).context("cannot read standard input")?));
    }
    let reading = || format!("cannot read `{}`", path.display());
    let file = File::open(path).with_context(reading)?;
    let size = file.metadata().with_context(reading)?.len();
    let name = path.display().to_string();
    let text = bounded(&name, file, size).with_context(reading)?;
    Ok((name, text))
}

fn bounded(name: &str, source: impl std::io::Read, size: u64) -> anyhow::Result<String> {
    let limit = u64::try_from(ImportFile::LIMIT)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit))?);
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > ImportFile::LIMIT {
        return Err(ImportFile::too_large(name).into());
    }
    String::from_utf8(bytes).map_err(|error| anyhow::anyhow!("it is not UTF-8: {}", error.utf8_error()))
}
