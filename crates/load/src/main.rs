//! `magistrate-load`: how much a server answers, how fast, and for how much processor time.
//!
//! Latency is counted from when a question was meant to be sent, so that a server that stops answering is not excused
//! from the questions that waited for it (coordinated omission). Processor time is the server's own accounting, which
//! neighbours on the machine hardly disturb; times by the clock they do.

mod drive;
mod echo;
mod figures;
mod questions;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};

use crate::drive::Plan;
use crate::figures::{Figures, compare};
use crate::target::Target;

/// Loads a Magistrate server, bounded in count and time, and tells what it took.
#[derive(Debug, Parser)]
#[command(name = "magistrate-load", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Load one server: a running one, or a program that is started on a fresh store with the example
    Run {
        /// A running server; its processor time is told where --pid names it
        #[arg(long, conflicts_with = "program", required_unless_present = "program")]
        server: Option<String>,
        /// The process of --server
        #[arg(long, requires = "server")]
        pid: Option<u32>,
        /// A `magistrate` to start, or `echo` for the bare gRPC server everything is compared with
        #[arg(long, value_name = "PROGRAM")]
        program: Option<String>,
        #[command(flatten)]
        load: Load,
    },
    /// Load two programs in turn, again and again, and tell their ratios
    Ab {
        /// The first: a `magistrate` with variables for its environment, as in `target/release/magistrate,NAME=value`,
        /// or `echo`
        #[arg(long)]
        a: String,
        /// The second
        #[arg(long)]
        b: String,
        /// How often each is loaded
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        #[command(flatten)]
        load: Load,
    },
    /// Serve the bare echo
    #[command(hide = true)]
    Echo,
}

#[derive(Debug, Args)]
struct Load {
    /// Questions in all, at most 10,000,000
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// The longest it may take, at most 600
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Questions before it counts
    #[arg(long, default_value_t = 2_000)]
    warm_up: u64,
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Questions under way on each connection
    #[arg(long, default_value_t = 16)]
    streams: usize,
    /// Open loop: questions a second, whatever the server does; without it, each answer is followed by a question
    #[arg(long)]
    rate: Option<u32>,
    /// Share of questions that are denied
    #[arg(long, default_value_t = 0.25)]
    deny_share: f64,
    /// Questions of a batch; 1 asks singly
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// The order of questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Policies to start programs with instead of the example; they must hold the example
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.verb, Verb::Echo) {
        return ended(echo::serve());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    ended(runtime.context("cannot start").and_then(|runtime| runtime.block_on(run(cli.verb))))
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            figures::tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Run { server, pid, program, load } => {
            let plan = load.plan()?;
            let target = match (server, program) {
                (Some(server), _) => Target::running(server, pid),
                (None, Some(program)) => Target::start(&program, &load.policies).await?,
                (None, None) => bail!("name a server or a program"),
            };
            let figures = drive::run(&target, &plan).await?;
            figures::show(&figures.json(), &figures.text(), load.json)
        }
        Verb::Ab { a, b, rounds, load } => ab(&a, &b, rounds, &load).await,
        Verb::Echo => Ok(()),
    }
}

async fn ab(a: &str, b: &str, rounds: u32, load: &Load) -> anyhow::Result<()> {
    let plan = load.plan()?;
    if !(1..=50).contains(&rounds) {
        bail!("`--rounds` is {rounds}; between 1 and 50");
    }
    let (mut of_a, mut of_b): (Vec<Figures>, Vec<Figures>) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for (name, figures) in [(a, &mut of_a), (b, &mut of_b)] {
            let target = Target::start(name, &load.policies).await?;
            let measured = drive::run(&target, &plan).await?;
            figures::tell(&format!("round {round} of {rounds}, {name}: {}", measured.line()));
            figures.push(measured);
        }
    }
    let compared = compare(&of_a, &of_b);
    figures::show(&compared.json(), &compared.text(), load.json)
}

impl Load {
    /// Nothing runs without an end.
    fn plan(&self) -> anyhow::Result<Plan> {
        if !(1..=10_000_000).contains(&self.requests) || !(1..=600).contains(&self.seconds) {
            bail!("`--requests` is at most 10,000,000 and `--seconds` at most 600, and neither is 0");
        }
        if !(0.0..=1.0).contains(&self.deny_share) {
            bail!("`--deny-share` is {}; it is a share between 0 and 1", self.deny_share);
        }
        if !(1..=1_024).contains(&self.connections) || !(1..=1_024).contains(&self.streams) || self.rate == Some(0) {
            bail!("`--connections` and `--streams` are between 1 and 1,024, and `--rate` is not 0");
        }
        if !(1..=1_000).contains(&self.batch) {
            bail!("`--batch` is {}; between 1 and 1,000", self.batch);
        }
        Ok(Plan {
            requests: self.requests,
            within: Duration::from_secs(self.seconds),
            warm_up: self.warm_up.min(self.requests),
            connections: self.connections,
            streams: self.streams,
            rate: self.rate,
            deny_share: self.deny_share,
            batch: self.batch,
            seed: self.seed,
        })
    }
}
