//! The verbs: one run, two in turn, and the files of a scenario.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};

use crate::call::Told;
use crate::cli::{Load, Misused, ScenarioArgs, misused};
use crate::drive::{self, Plan};
use crate::figures::{Figures, compare};
use crate::output::{show, tell};
use crate::process::{machine, pin_self};
use crate::scenario::Asked;
use crate::target::{History, Prepared, Running, Spec, compare_history};

/// The history does not hold what was answered.
#[derive(Debug)]
pub(crate) struct HistoryDiffers(anyhow::Error);

impl std::fmt::Display for HistoryDiffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for HistoryDiffers {}

/// How programs are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) plan: Plan,
    pub(crate) batch: usize,
    pub(crate) server_cores: Option<&'a str>,
    pub(crate) refusals_are_fine: bool,
    pub(crate) verify_history: bool,
}

impl Load {
    pub(crate) fn how(&self, verify_history: bool) -> anyhow::Result<How<'_>> {
        Ok(How {
            plan: self.plan()?,
            batch: self.batch,
            server_cores: self.server_cores.as_deref(),
            refusals_are_fine: self.refusals_are_fine,
            verify_history,
        })
    }

    fn prepare(&self) -> anyhow::Result<Arc<Asked>> {
        if let Some(cores) = &self.client_cores {
            pin_self(cores)?;
        }
        self.scenario.generate().map(Arc::new)
    }

    /// What figures are worth nothing without.
    pub(crate) fn circumstances(&self, plan: &Plan) -> Json {
        let (processors, load) = machine();
        let loop_ = plan.pace.map_or(
            json!("closed"),
            |pace| json!({ "open": pace.per_second, "spacing": format!("{:?}", pace.spacing) }),
        );
        json!({
            "processors": processors, "load_average": load, "loop": loop_, "connections": plan.connections,
            "streams": plan.streams, "threads": plan.threads, "batch": self.batch, "seed": plan.seed,
            "warm_up": plan.warm_up, "server_cores": self.server_cores, "client_cores": self.client_cores,
        })
    }
}

impl ScenarioArgs {
    pub(crate) fn generate(&self) -> anyhow::Result<Asked> {
        Asked::generate(self.seed, self.scale()?, self.questions, self.deny_share)
    }
}

/// `scenario`
pub(crate) fn write(out: &Path, scenario: &ScenarioArgs) -> anyhow::Result<()> {
    let asked = scenario.generate()?;
    asked.write(out)?;
    let out = out.display();
    tell(&format!(
        "wrote {:?}; now `magistrate policy apply {out} --with-data`, `magistrate entity import \
         {out}/import/entities.jsonl` and `magistrate grant import {out}/import/grants.jsonl`",
        asked.scale
    ));
    Ok(())
}

/// `run`
pub(crate) fn run(
    server: Option<SocketAddr>,
    pid: Option<u32>,
    api_key_file: Option<&Path>,
    program: Option<&Spec>,
    verify_history: bool,
    load: &Load,
) -> anyhow::Result<()> {
    let how = load.how(verify_history)?;
    let asked = load.prepare()?;
    let figures = match (server, program) {
        (Some(address), _) => {
            let read =
                |file| std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", Path::display(file)));
            let key = api_key_file.map(read).transpose()?.map(|key| key.trim().to_owned());
            let running = Running::elsewhere(address, pid);
            let ran = drive::run(&running.aim(&asked, how.batch, key), &how.plan, &|| running.sample())?;
            Figures { name: address.to_string(), ran, history_verified: None, ready_after: None }
        }
        (None, Some(program)) => {
            tell(&format!("preparing `{}`", program.written));
            measure(&Prepared::new(program, &asked, &load.baselines)?, &how)?
        }
        (None, None) => bail!("name a server or a program"),
    };
    let json = json!({ "circumstances": load.circumstances(&how.plan), "figures": figures.json() });
    show(&json, &figures.text(), load.json)?;
    warn_if_busy(&figures, &how);
    conclude(&figures, &how)
}

/// `ab`
pub(crate) fn ab(a: &Spec, b: &Spec, rounds: u32, load: &Load) -> anyhow::Result<()> {
    if !(1..=50).contains(&rounds) {
        misused!("`--rounds` is {rounds}; between 1 and 50");
    }
    let how = load.how(false)?;
    let asked = load.prepare()?;
    tell("preparing both");
    let prepare = |spec| Prepared::new(spec, &asked, &load.baselines);
    let (a, b) = (prepare(a)?, prepare(b)?);
    let [of_a, of_b] = in_turn([&a, &b], rounds, &how)?;
    let compared = compare(&of_a, &of_b).context("there is nothing to compare")?;
    let all = |figures: &[Figures]| figures.iter().map(Figures::json).collect::<Vec<_>>();
    let json = json!({
        "circumstances": load.circumstances(&how.plan), "a": all(&of_a), "b": all(&of_b), "b_over_a": compared.json(),
    });
    show(&json, &compared.text(), load.json)
}

/// Loads several programs in turn, so many times; each round's answers must be right.
pub(crate) fn in_turn<const N: usize>(
    all: [&Prepared; N],
    rounds: u32,
    how: &How<'_>,
) -> anyhow::Result<[Vec<Figures>; N]> {
    let mut measured = [const { Vec::new() }; N];
    for round in 1..=rounds {
        for (prepared, figures) in all.iter().zip(&mut measured) {
            let one = measure(prepared, how)?;
            tell(&format!("round {round} of {rounds}, {}: {}", prepared.name(), one.line()));
            warn_if_busy(&one, how);
            conclude(&one, how)?;
            figures.push(one);
        }
    }
    Ok(measured)
}

/// Starts a program and loads it.
pub(crate) fn measure(prepared: &Prepared, how: &How<'_>) -> anyhow::Result<Figures> {
    let history = if how.verify_history { prepared.history() } else { None };
    let running = prepared.start(how.server_cores)?;
    // Its first answer, which nobody counts, is in the history already.
    let before = history.as_ref().map(History::settled).transpose()?;
    let ran = load(prepared, &running, how)?;
    let ready_after = running.ready_after;
    let after = history.as_ref().map(History::settled).transpose()?;
    drop(running);
    let history_verified = match before.zip(after) {
        None => None,
        Some((before, after)) => {
            let mut answered = Told::default();
            [&ran.warm_up, &ran.measured].into_iter().for_each(|tally| answered.absorb(tally.told));
            let failed = ran.warm_up.failed() + ran.measured.failed();
            let compared = compare_history(before, after, answered, failed);
            if let Err(error) = &compared {
                tell(&format!("error: {error}"));
            }
            Some(compared.is_ok())
        }
    };
    Ok(Figures { name: prepared.name().to_owned(), ran, history_verified, ready_after })
}

/// Loads a program that was started before; its answers must be right.
pub(crate) fn measure_running(prepared: &Prepared, running: &Running, how: &How<'_>) -> anyhow::Result<Figures> {
    let (name, ran) = (prepared.name().to_owned(), load(prepared, running, how)?);
    let figures = Figures { name, ran, history_verified: None, ready_after: None };
    warn_if_busy(&figures, how);
    conclude(&figures, how)?;
    Ok(figures)
}

fn load(prepared: &Prepared, running: &Running, how: &How<'_>) -> anyhow::Result<drive::Ran> {
    let aim = prepared.aim(running.address, how.batch, None)?;
    let ran = drive::run(&aim, &how.plan, &|| running.sample());
    ran.with_context(|| format!("while `{}` was loaded", prepared.name()))
}

pub(crate) fn conclude(figures: &Figures, how: &How<'_>) -> anyhow::Result<()> {
    figures.judge(how.refusals_are_fine)?;
    match figures.history_verified {
        Some(false) => {
            let differs = anyhow::anyhow!("the history of `{}` does not hold what was answered", figures.name);
            Err(HistoryDiffers(differs).into())
        }
        Some(true) | None => Ok(()),
    }
}

fn warn_if_busy(figures: &Figures, how: &How<'_>) {
    if figures.tool_was_busy(how.plan.threads) {
        tell("warning: the tool was busy all the time, so it is measured too; give it more --threads and cores");
    }
}
