//! `audit expire` and `audit hold`: taking out what is old enough, and keeping it all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use magistrate_ledger::verify::{Erasures, Expired, Trusted};
use magistrate_ledger::{Act, ActId, ActRecord, Expiry, NoteSigner, NoteVerifier, Places, SealedAct};
use magistrate_model::{Instant, Span};
use magistrate_pdp::Evidence as _;
use magistrate_pdp::retention::{
    Covering, DayExpiry, DayPlan, Hold, Keeping, NotCovered, Retention as _, StoredDay, covering, plan_day,
};
use serde_json::{Value as Json, json};

use super::acts;
use super::progress::Counting;
use super::verify::{keys_of, known_acts};
use crate::cli::{ExpireArgs, HoldArgs};
use crate::exit::Exit;
use crate::os;
use crate::output::Out;
use crate::signing;
use crate::store::Store;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What became of a day.
struct Outcome {
    day: i64,
    records: u64,
    /// In one word.
    became: &'static str,
    /// Why it stays, if it does.
    why: String,
    exit: Exit,
}

/// Takes out every day that is old enough, the oldest first.
pub(super) async fn expire(store: &Store, out: Out, args: &ExpireArgs, now: Instant) -> anyhow::Result<Exit> {
    let cutoff = cutoff(args, now)?;
    let signer = signing::signer_of(&args.signing_key)?;
    let keys = keys_of(&args.key)?;
    let kept_outside = signing::notes_in(&args.checkpoints)?;
    let covering = covering(store, kept_outside.iter().map(String::as_str), &keys).await?;
    let covering = covering.map_err(|why| {
        anyhow::anyhow!("nothing in `{}` covers what could be taken out: {why}", args.checkpoints.display())
    })?;
    let stored = store.checkpoints().await?;
    let notes = kept_outside.iter().chain(stored.iter().map(|it| &it.note)).map(String::as_str);
    let trusted = Trusted::of(notes, &keys);
    if let Some(finding) = trusted.findings.iter().find(|finding| finding.kind.is_failure()) {
        bail!("a checkpoint is not to be trusted, and so nothing is taken out: {finding}");
    }
    let pinned: Vec<NoteVerifier> = keys_of(&args.retention_key)?.into_iter().chain([signer.verifier()]).collect();
    let known = known_acts(&args.unsigned_erasure)?;
    let nothing = || (Expired::new(&pinned, true), Erasures::new(&pinned, true, known.clone()));
    let (mut expired, mut erasures) = read_acts(store, nothing()).await?;
    let days: Vec<StoredDay> = store.days().await?.into_iter().filter(|it| it.day < cutoff).collect();
    let mut outcomes = Vec::new();
    for StoredDay { day, held } in days {
        let outcome = match held {
            true => Outcome::stays(day, "held", "see `magistrate audit hold`".to_owned(), Exit::Ok),
            false => {
                let (covering, trusted, with_uncovered) = (&covering, &trusted, args.with_uncovered);
                let keeping =
                    Keeping { covering, trusted, expired: &expired, erasures: &erasures, with_uncovered, now };
                let (mut outcome, mut acts) = one_day(store, args, &keeping, &signer, day).await?;
                if outcome.exit == Exit::Integrity {
                    // Values may have been erased since acts were read.
                    (expired, erasures) = read_acts(store, nothing()).await?;
                    let keeping =
                        Keeping { covering, trusted, expired: &expired, erasures: &erasures, with_uncovered, now };
                    (outcome, acts) = one_day(store, args, &keeping, &signer, day).await?;
                }
                // The next day shares headers with this one.
                acts.iter().for_each(|act| expired.take(&act.record));
                outcome
            }
        };
        outcomes.push(outcome);
    }
    let row = |it: &Outcome| vec![date(it.day), it.records.to_string(), it.became.to_owned(), it.why.clone()];
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    let json = || {
        let day =
            |it: &Outcome| json!({ "day": date(it.day), "records": it.records, "became": it.became, "why": it.why });
        Json::Array(outcomes.iter().map(day).collect())
    };
    out.rows(&["day", "records", "became", "why"], &rows, json)?;
    Ok(outcomes.iter().map(|it| it.exit).max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok))
}

async fn one_day(
    store: &Store,
    args: &ExpireArgs,
    keeping: &Keeping<'_>,
    signer: &NoteSigner,
    day: i64,
) -> anyhow::Result<(Outcome, Vec<SealedAct>)> {
    let stays = |became, why, exit| Ok((Outcome::stays(day, became, why, exit), Vec::new()));
    let mut counting = Counting::new("reading", 0);
    let planned = Box::pin(plan_day(store, day, keeping, &mut |read| counting.add(read))).await?;
    counting.end();
    let plan = match planned {
        Ok(plan) => plan,
        Err(NotCovered::Touched(finding)) => {
            return stays("touched", finding.to_string(), Exit::Integrity);
        }
        Err(NotCovered::Uncovered(why)) => return stays("not_covered", why, Exit::Failed),
    };
    let records = plan.records;
    if args.dry_run {
        let would = Outcome { day, records, became: "would_go", why: String::new(), exit: Exit::ChangesPending };
        return Ok((would, Vec::new()));
    }
    let acts = acts_of(&plan, keeping.covering, signer, args, keeping.now)?;
    let covered = keeping.covering.checkpoint.size;
    let expiry = DayExpiry { day, records, acts, covered, kept: plan.kept };
    let gone = Box::pin(store.expire(&expiry)).await;
    gone.with_context(|| {
        let acts: Vec<String> = expiry.acts.iter().map(|act| act.record.id.to_string()).collect();
        format!(
            "cannot take out {}; what was taken out before is out. Acts were signed for it, {}: whoever keeps the database may have them",
            date(day),
            acts.join(", ")
        )
    })?;
    Ok((Outcome { day, records, became: "gone", why: String::new(), exit: Exit::Ok }, expiry.acts))
}

impl Outcome {
    fn stays(day: i64, became: &'static str, why: String, exit: Exit) -> Self {
        Self { day, records: 0, became, why, exit }
    }
}

/// What the records say that are appended first: as many as it takes to name every place.
fn acts_of(
    plan: &DayPlan,
    covering: &Covering,
    signer: &NoteSigner,
    args: &ExpireArgs,
    now: Instant,
) -> anyhow::Result<Vec<SealedAct>> {
    let act = |places: &[Places]| -> anyhow::Result<SealedAct> {
        let expiry = Expiry {
            day: plan.day,
            records: places.iter().map(Places::count).sum(),
            places: places.to_vec(),
            checkpoint: covering.note.clone(),
            reason: args.reason.clone(),
            actor: os::actor().parse()?,
            at: now,
        };
        let act = Act::Retention(expiry.sign(signer));
        Ok(ActRecord { id: ActId(os::random()), at: now, actor: os::actor().parse()?, act }.seal()?)
    };
    plan.places.chunks(Expiry::MOST_PLACES).map(act).collect()
}

/// What went before, and what was erased.
async fn read_acts(
    store: &Store,
    (mut expired, mut erasures): (Expired, Erasures),
) -> anyhow::Result<(Expired, Arc<Erasures>)> {
    acts::each(store, None, 0, |row| {
        row.decode().iter().for_each(|act| {
            expired.take(&act.record);
            erasures.take(&act.record);
        });
        Ok(())
    })
    .await?;
    Ok((expired, Arc::new(erasures)))
}

/// The first day that stays.
fn cutoff(args: &ExpireArgs, now: Instant) -> anyhow::Result<i64> {
    let cutoff = match (&args.older_than, &args.before) {
        (Some(span), _) => {
            let span: Span = span.parse().with_context(|| format!("`{span}` is not a span such as `400d`"))?;
            Instant::from_micros(now.micros() - span.micros())?.day()
        }
        (None, Some(before)) => day(before)?,
        (None, None) => bail!("say which days go: --older-than or --before"),
    };
    match cutoff < now.day() {
        true => Ok(cutoff),
        false => bail!("{} is not over; only days go that are over for a whole day", date(cutoff)),
    }
}

/// Holds days, releases them, or shows which are held.
pub(super) async fn hold(store: &Store, out: Out, args: &HoldArgs, now: Instant) -> anyhow::Result<()> {
    let holds: BTreeMap<String, Hold> =
        store.holds().await?.into_iter().map(|hold| (hold.name.clone(), hold)).collect();
    let Some(name) = &args.name else { return show(out, holds.into_values()) };
    let reason = args.reason.clone().context("say what for: --reason")?;
    let act = match (holds.get(name), args.release) {
        (None, true) => bail!("there is no hold `{name}`; `magistrate audit hold` shows them"),
        (Some(hold), true) if hold.released => bail!("the hold `{name}` was released already"),
        (Some(_), false) => bail!("there is or was a hold `{name}`; give this one another name"),
        (Some(Hold { first, last, .. }), true) => {
            Act::Hold { name: name.clone(), first: *first, last: *last, reason, released: true }
        }
        (None, false) => {
            check_name(name)?;
            let first = args.from.as_deref().map_or(Ok(0), day)?;
            let last = args.until.as_deref().map(day).transpose()?;
            if last.is_some_and(|last| last < first) {
                bail!("`--until` is before `--from`");
            }
            Act::Hold { name: name.clone(), first, last, reason, released: false }
        }
    };
    let act = ActRecord { id: ActId(os::random()), at: now, actor: os::actor().parse()?, act }.seal()?;
    store.hold(&act).await?;
    let word = if args.release { "is released" } else { "holds" };
    Ok(out.line(&format!("{name} {word}"))?)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    match name.len() <= 64 && begins && name.bytes().all(fit) {
        true => Ok(()),
        false => bail!(
            "`{}` cannot name a hold; use up to 64 of `a` to `z`, digits, `.`, `_` and `-`, beginning with a letter or digit",
            name.escape_debug()
        ),
    }
}

fn show(out: Out, holds: impl Iterator<Item = Hold>) -> anyhow::Result<()> {
    let holds: Vec<Hold> = holds.collect();
    let row = |it: &Hold| {
        let last = it.last.map_or("all to come".to_owned(), date);
        vec![it.name.clone(), date(it.first), last, if it.released { "released" } else { "held" }.to_owned()]
    };
    let rows: Vec<_> = holds.iter().map(row).collect();
    let json = |it: &Hold| json!({ "name": it.name, "first": date(it.first), "last": it.last.map(date), "released": it.released });
    Ok(out.rows(&["hold", "from", "until", "state"], &rows, || holds.iter().map(json).collect())?)
}

/// A day as people write it.
pub(super) fn date(day: i64) -> String {
    let instant = Instant::from_micros(day.saturating_mul(DAY));
    instant.map_or_else(|_| format!("day {day}"), |at| at.to_string().chars().take_while(|c| *c != 'T').collect())
}

fn day(text: &str) -> anyhow::Result<i64> {
    let at: Result<Instant, _> = format!("{text}T00:00:00Z").parse();
    Ok(at.with_context(|| format!("`{text}` is not a day such as `2026-01-31`"))?.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        for text in ["1970-01-01", "2026-11-26", "2024-02-29"] {
            assert_eq!(date(day(text).unwrap()), text);
        }
        for wrong in ["", "2026-13-01", "2026-1-1", "2026-02-30", "26-01-01", "2026-01-01T00:00:00Z"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn holds_have_names_that_are_easily_told() {
        assert!(check_name("case-2026.7_b").is_ok());
        for wrong in ["", "-a", "A", "a b", "a\n", "é", &"a".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
