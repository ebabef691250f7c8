//! `audit tail`: the newest decisions, and those that arrive.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use magistrate_ledger::RecordedDecision;
use magistrate_model::Instant;
use magistrate_pdp::history::{Cursor, Tail};

use super::audit::{filter, note, words};
use super::decision;
use crate::cli::TailArgs;
use crate::config::Config;
use crate::output::Out;
use crate::signing;
use crate::store::Store;

/// How often it is looked for new decisions.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(store: &Store, config: &Config, out: Out, args: &TailArgs, now: Instant) -> anyhow::Result<()> {
    let filter = filter(config, &args.wanted, now)?;
    let file = args.resume_from.as_deref();
    let begun = file.map(read).transpose()?.flatten();
    let goes_on = begun.is_some();
    let (mut tail, newest) = match begun {
        None => Tail::begin(store, filter, args.lines).await?,
        Some(cursor) => match Tail::resume(store, filter, cursor).await? {
            Some(tail) => (tail, Vec::new()),
            None => bail!("what `--resume-from` names is of another history; remove it to begin anew"),
        },
    };
    if file.is_some() {
        tail.cursor().check().context("where this ends cannot be kept: it")?;
    }
    let verb = if args.follow { "tail --follow" } else { "tail" };
    note(store, verb, words(&args.wanted, now)?.line(), newest.len() as u64).await?;
    tell(out, &newest, &tail, file)?;
    let mut more = goes_on;
    while args.follow || more {
        if !more {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            }
        }
        let told = tail.next(store).await?;
        more = told.more;
        if told.moved {
            tell(out, &told.decisions, &tail, file)?;
        }
    }
    Ok(())
}

/// Prints, and then keeps that it was printed: whoever is killed in between prints it again.
fn tell(out: Out, found: &[RecordedDecision], tail: &Tail, file: Option<&Path>) -> anyhow::Result<()> {
    found.iter().try_for_each(|found| out.either(|| decision::row(found).join("  "), || decision::json(found)))?;
    let Some(file) = file else { return Ok(()) };
    let kept = signing::replace(file, &format!("{}\n", tail.cursor()));
    kept.with_context(|| format!("cannot keep in `{}` where this ended", file.display()))
}

/// Where an earlier run ended; none where there was none.
fn read(file: &Path) -> anyhow::Result<Option<Cursor>> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let cursor: Result<Cursor, _> = text.trim_end_matches('\n').parse();
            Ok(Some(cursor.with_context(|| format!("what `{}` holds", file.display()))?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", file.display())),
    }
}
