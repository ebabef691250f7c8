//! `audit replay`: deciding again what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use magistrate_ledger::RecordedDecision;
use magistrate_model::{Instant, Revision};
use magistrate_pap::PolicyFiles;
use magistrate_pdp::history::replay::{Departure, NotReplayable, Replayed, Replayer, replay_by};
use magistrate_pdp::history::{ALL_TIME, Found, Reading, search, tally};
use magistrate_pdp::{DecisionFilter, HistoryError, LoadError, Page, PolicySource as _, Position, View};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use super::progress::Counting;
use super::{audit, decision};
use crate::cli::ReplayArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;
use crate::store::Store;

/// Decisions read at a time.
const PAGE: u32 = 4_096;
const HEADERS: [&str; 5] = ["decision", "at", "what", "recorded", "replayed"];

/// What decides.
enum By {
    /// What was in force then, with or without other policies.
    Then(Box<Replayer<Store>>),
    /// One state, whatever was in force then.
    Now(Arc<View>),
}

/// What came out of all.
#[derive(Default)]
struct Report {
    /// Whether something else was asked than what was in force.
    is_under: bool,
    /// How many that came out otherwise are told.
    limit: usize,
    replayed: u64,
    same: u64,
    otherwise: u64,
    not_replayable: u64,
    /// Of these, such as lack what was erased.
    erased: u64,
    told: Vec<Told>,
}

/// A decision that came out otherwise, or not at all.
struct Told {
    decision: RecordedDecision,
    outcome: Result<Vec<Departure>, NotReplayable>,
}

pub(crate) async fn run(
    store: &Store,
    config: &Config,
    out: Out,
    args: &ReplayArgs,
    now: Instant,
) -> anyhow::Result<Exit> {
    let mut by = by(store, args.under.as_deref()).await?;
    let mut report = Report { is_under: args.under.is_some(), limit: args.limit, ..Report::default() };
    match &args.id {
        Some(id) => {
            let found = audit::find(store, id.parse()?).await?;
            audit::note(store, "replay", found.id.to_string(), 1).await?;
            report.take(&found, by.decide(&found).await)?;
        }
        None => {
            let filter = audit::filter(config, &args.wanted, now)?;
            audit::note(store, "replay", audit::words(&args.wanted, now)?.line(), 0).await?;
            roll(store, &filter, &mut by, &mut report).await?;
        }
    }
    report.tell(out)?;
    // What was erased by whoever may is no sign that anything was touched; asked for alone it is not decided all the same.
    Ok(match (report.otherwise + report.not_replayable - report.erased, report.is_under) {
        (0, _) if report.erased > 0 && args.id.is_some() => Exit::Failed,
        (0, _) => Exit::Ok,
        (_, true) => Exit::ChangesPending,
        (_, false) => Exit::Integrity,
    })
}

async fn by(store: &Store, under: Option<&str>) -> anyhow::Result<By> {
    Ok(match under {
        None => By::Then(Box::new(Replayer::new(store.clone()))),
        Some("current") => {
            let head = store.standing().await?.head;
            By::Now(Replayer::new(store.clone()).state(head.revision).await?)
        }
        Some(dir) => {
            let files =
                PolicyFiles::read(Path::new(dir)).with_context(|| format!("the policies given as `--under {dir}`"))?;
            By::Then(Box::new(Replayer::under(store.clone(), Arc::new(files.compile()?))))
        }
    })
}

/// A decision, and what came out when it was made again.
type Outcome = (RecordedDecision, Result<Replayed, NotReplayable>);

impl By {
    /// Decides a page again, on every core.
    async fn decide_all(&mut self, decisions: Vec<RecordedDecision>) -> anyhow::Result<Vec<Outcome>> {
        let states = Arc::new(self.states(&decisions).await);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let size = decisions.len().div_ceil(cores).max(1);
        let (mut left, mut deciding) = (decisions.into_iter(), Vec::new());
        loop {
            let part: Vec<_> = left.by_ref().take(size).collect();
            if part.is_empty() {
                break;
            }
            let states = Arc::clone(&states);
            deciding.push(tokio::task::spawn_blocking(move || {
                part.into_iter().map(|it| decide(&states, it)).collect::<Vec<Outcome>>()
            }));
        }
        let mut outcomes = Vec::new();
        for part in deciding {
            outcomes.extend(part.await.context("deciding again was cut off")?);
        }
        Ok(outcomes)
    }

    /// The states that decide these. Nodes answer side by side, so that a page has few of them.
    async fn states(&mut self, decisions: &[RecordedDecision]) -> States {
        let revisions: BTreeSet<Revision> = decisions.iter().map(|it| it.record.verdict.revision).collect();
        let mut states = BTreeMap::new();
        for revision in revisions {
            let state = match self {
                Self::Then(replayer) => replayer.state(revision).await,
                Self::Now(view) => Ok(Arc::clone(view)),
            };
            states.insert(revision, state);
        }
        states
    }

    async fn decide(&mut self, decision: &RecordedDecision) -> Result<Replayed, NotReplayable> {
        match self {
            Self::Then(replayer) => replayer.replay(decision).await,
            Self::Now(view) => replay_by(view, decision),
        }
    }
}

type States = BTreeMap<Revision, Result<Arc<View>, NotReplayable>>;

fn decide(states: &States, decision: RecordedDecision) -> Outcome {
    let revision = decision.record.verdict.revision;
    let outcome = match states.get(&revision) {
        Some(Ok(view)) => replay_by(view, &decision),
        Some(Err(why)) => Err(why.clone()),
        None => Err(NotReplayable::UnknownRevision(revision)),
    };
    (decision, outcome)
}

/// Decides all again that is wanted, the oldest first. The next page is read meanwhile.
async fn roll(store: &Store, filter: &DecisionFilter, by: &mut By, report: &mut Report) -> anyhow::Result<()> {
    let total = if filter.is_of_columns() { tally(store, filter, ALL_TIME, 0).await?.total() } else { 0 };
    let mut counting = Counting::new("replaying", total);
    let mut reading = Some(read(store, filter, None));
    while let Some(page) = reading.take() {
        let page = page.await.context("reading the history was cut off")??;
        reading = page.next.map(|next| read(store, filter, Some(next)));
        counting.add(page.decisions.len() as u64);
        for (found, outcome) in by.decide_all(page.decisions).await? {
            report.take(&found, outcome)?;
        }
    }
    counting.end();
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "whoever reads waits for the page, or drops it with the command")]
fn read(store: &Store, filter: &DecisionFilter, from: Option<Position>) -> JoinHandle<Result<Found, HistoryError>> {
    let (store, filter) = (store.clone(), filter.clone());
    let reading = Reading { limit: PAGE, rows: PAGE };
    tokio::spawn(async move { search(&store, &filter, Page::OldestFirst(from), reading).await })
}

impl Report {
    /// Counts an outcome. A store that cannot be read says nothing about decisions.
    fn take(
        &mut self,
        decision: &RecordedDecision,
        outcome: Result<Replayed, NotReplayable>,
    ) -> Result<(), NotReplayable> {
        if let Err(unread @ NotReplayable::Load(LoadError::Unreachable(_) | LoadError::Replaced(_))) = outcome {
            return Err(unread);
        }
        self.replayed += 1;
        let outcome = outcome.map(|replayed| match self.is_under {
            true => replayed.of_answer().cloned().collect::<Vec<_>>(),
            false => replayed.departures,
        });
        match &outcome {
            Ok(departures) if departures.is_empty() => {
                self.same += 1;
                return Ok(());
            }
            Ok(_) => self.otherwise += 1,
            Err(why) => {
                self.not_replayable += 1;
                self.erased += u64::from(matches!(why, NotReplayable::Erased(_)));
            }
        }
        if self.told.len() < self.limit {
            self.told.push(Told { decision: decision.clone(), outcome });
        }
        Ok(())
    }

    fn tell(&self, out: Out) -> anyhow::Result<()> {
        if out.is_json() {
            return Ok(out.json(&self.json())?);
        }
        let rows: Vec<_> = self.told.iter().flat_map(Told::rows).collect();
        if !rows.is_empty() {
            out.rows(&HEADERS, &rows, || Json::Null)?;
        }
        let Self { replayed, same, otherwise, not_replayable, erased, told, .. } = self;
        let untold = otherwise + not_replayable - told.len() as u64;
        let more = if untold == 0 { String::new() } else { format!("; {untold} of them are not shown, see --limit") };
        let lacking = if *erased == 0 { String::new() } else { format!(", {erased} of them for what was erased") };
        out.line(&format!(
            "{replayed} decisions: {same} came out the same, {otherwise} otherwise, {not_replayable} cannot be decided again{lacking}{more}"
        ))?;
        Ok(())
    }

    fn json(&self) -> Json {
        json!({
            "replayed": self.replayed,
            "same": self.same,
            "otherwise": self.otherwise,
            "not_replayable": self.not_replayable,
            "erased": self.erased,
            "decisions": self.told.iter().map(Told::json).collect::<Vec<_>>(),
        })
    }
}

impl Told {
    fn rows(&self) -> Vec<Vec<String>> {
        let (id, at) = (self.decision.id.to_string(), self.decision.recorded_at.to_string());
        let row = |what: &str, recorded: &str, replayed: &str| {
            vec![id.clone(), at.clone(), what.to_owned(), recorded.to_owned(), replayed.to_owned()]
        };
        match &self.outcome {
            Ok(departures) => departures.iter().map(|it| row(it.field, &it.recorded, &it.replayed)).collect(),
            Err(why @ NotReplayable::Erased(_)) => vec![row("erased", "", &why.to_string())],
            Err(why) => vec![row("not_replayable", "", &why.to_string())],
        }
    }

    fn json(&self) -> Json {
        let departure = |it: &Departure| json!({ "what": it.field, "recorded": it.recorded, "replayed": it.replayed });
        let (departures, why) = match &self.outcome {
            Ok(departures) => (departures.iter().map(departure).collect::<Vec<_>>(), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        json!({ "recorded": decision::json(&self.decision), "departures": departures,
            "not_replayable": why.map(ToString::to_string), "reason": why.map(NotReplayable::name) })
    }
}
