//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use magistrate_testkit::Scale;

use crate::arrivals::Spacing;
use crate::drive::{Pace, Plan};
use crate::echo::Echoing;
use crate::flat::FlatArgs;
use crate::profile::ProfileArgs;
use crate::report::ReportArgs;
use crate::scale::ScaleArgs;
use crate::target::Spec;

/// Loads a Magistrate server, bounded in count and time, and tells what it took.
///
/// Latency is counted from when a question was MEANT to be sent, so that a server that stalls is not excused from the
/// questions that waited for it. Processor time is the server's own (user and system, from the kernel), which
/// neighbours on the machine hardly disturb; times by the clock they do. So compare costs before latencies, within one
/// run, with `ab`: it runs A B A B … and tells the ratio of each pair, as median, least and most.
///
/// Every answer is checked: who may read which document was computed beforehand. A decision that is other than it must
/// be, or a question without an answer, fails the run.
///
/// Exit codes: 0 ok; 1 the run failed, or an answer was wrong; 2 usage; 7 the history does not hold what was answered.
#[derive(Debug, Parser)]
#[command(name = "magistrate-load", max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  A closed loop of 8 connections with 16 questions under way on each:
    magistrate-load run --program target/dist/magistrate --connections 8 --streams 16
  An open loop of 2,000 questions a second that come as independent callers send them:
    magistrate-load run --program target/dist/magistrate --rate 2000
  What telemetry costs:
    magistrate-load ab --a target/dist/magistrate \\
      --b target/dist/magistrate,OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317
  A server that runs already, and the files it must have been given:
    magistrate-load scenario --policies 1000 --entities 10000 --out scenario
    magistrate-load run --server 127.0.0.1:7700 --pid 4711 --policies 1000 --entities 10000";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Load one server: one that runs, or a program that is started on a fresh store
    Run {
        /// A server that runs and holds the scenario; loopback, without TLS
        #[arg(long, conflicts_with = "program", required_unless_present = "program", value_name = "ADDRESS")]
        server: Option<SocketAddr>,
        /// The process of --server, for its processor time and memory
        #[arg(long, requires = "server")]
        pid: Option<u32>,
        /// File with the API key to send to --server
        #[arg(long, requires = "server", value_name = "FILE")]
        api_key_file: Option<PathBuf>,
        #[arg(long, required_unless_present = "server", value_name = "PROGRAM", help = PROGRAM)]
        program: Option<Spec>,
        /// Compare the history with the answers: the same decisions, each once
        #[arg(long, requires = "program")]
        verify_history: bool,
        #[command(flatten)]
        load: Load,
    },
    /// Load two programs in turn, again and again, and tell their ratios
    Ab {
        #[arg(long, value_name = "PROGRAM", help = PROGRAM)]
        a: Spec,
        /// The second, written alike
        #[arg(long, value_name = "PROGRAM")]
        b: Spec,
        /// How often each is loaded, at most 50
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        #[command(flatten)]
        load: Load,
    },
    /// Write the files of a scenario: a policy directory, and data to import
    Scenario {
        /// Where to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        scenario: ScenarioArgs,
    },
    /// Install the peers that are compared with, from npm and crates.io; what cannot be had is told as SKIPPED
    Baselines {
        /// Where to
        #[arg(long, value_name = "DIR", default_value = "target/baselines")]
        dir: PathBuf,
    },
    /// Make every table of `docs/benchmarks.md` that this tool can make, within 10 minutes
    Report(ReportArgs),
    /// Load one program with few policies and with many, in turn, and tell how flat its cost is
    Flat(FlatArgs),
    /// Measure a large store on PostgreSQL: starts, memory, and how soon changes are answered by
    Scale(ScaleArgs),
    /// Sample a server under load with `perf` and tell by layer where its processor time goes
    Profile(ProfileArgs),
    /// Serve the bare echo, which everything is compared with
    Echo(Echoing),
}

/// What was asked for is not done.
#[derive(Debug)]
pub(crate) struct Misused(pub(crate) String);

impl std::fmt::Display for Misused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

macro_rules! misused {
    ($($text:tt)*) => {
        return Err(Misused(format!($($text)*)).into())
    };
}
pub(crate) use misused;

/// What `--program`, `--a` and `--b` say.
pub(crate) const PROGRAM: &str = "A `magistrate` to start, with variables for its environment, arguments for `serve` and the \
    kind of its store: `PROGRAM[,NAME=value…][,--flag=value…][,store=postgres]`; or `echo`, or a peer that is installed:\n    `cerbos`, `cerbos-local`, `cerbos-off` (how decisions are logged), `cedar-agent`";

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Questions in all, at most 10,000,000
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// The longest that questions are sent, at most 600; answers are waited for 10 seconds longer
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Questions before it counts
    #[arg(long, default_value_t = 2_000)]
    warm_up: u64,
    /// Connections, at most 1,024
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Questions under way on each connection, at most 1,024
    #[arg(long, default_value_t = 16)]
    streams: usize,
    /// Open loop: questions a second, whatever the server does; without it, each answer is followed by a question
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,
    /// How the questions of an open loop are spaced
    #[arg(long, value_enum, default_value = "poisson")]
    spacing: Spacing,
    /// Questions of a batch, at most 1,000; 1 asks singly
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// Threads that ask
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Cores for the server, as `taskset` has them: `0` or `0,2-3`
    #[arg(long, value_name = "CORES")]
    pub(crate) server_cores: Option<String>,
    /// Cores for this tool
    #[arg(long, value_name = "CORES")]
    pub(crate) client_cores: Option<String>,
    /// Do not fail when an overloaded server refuses; refusals are counted
    #[arg(long)]
    pub(crate) refusals_are_fine: bool,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    /// Where peers are installed
    #[arg(long, value_name = "DIR", default_value = "target/baselines")]
    pub(crate) baselines: PathBuf,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ScenarioArgs {
    /// Policies in all, at most 200,000; at least the 62 of the example
    #[arg(long, default_value_t = 62)]
    policies: usize,
    /// Role assignments besides the example's, at most 1,000,000
    #[arg(long, default_value_t = 0)]
    assignments: usize,
    /// Users, folders and documents besides the example's, at most 1,000,000
    #[arg(long, default_value_t = 0)]
    entities: usize,
    /// Different questions, asked again and again in one order; at most 4,096
    #[arg(long, default_value_t = 256)]
    pub(crate) questions: usize,
    /// Share of questions that are denied
    #[arg(long, default_value_t = 0.25)]
    pub(crate) deny_share: f64,
    /// What scenario, questions and arrivals are drawn from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Load {
    /// Nothing runs without an end.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        if !(1..=10_000_000).contains(&self.requests) || !(1..=600).contains(&self.seconds) {
            misused!("`--requests` is at most 10,000,000 and `--seconds` at most 600, and neither is 0");
        }
        if !(1..=1_024).contains(&self.connections) || !(1..=1_024).contains(&self.streams) {
            misused!("`--connections` and `--streams` are between 1 and 1,024");
        }
        if !(1..=self.connections.min(64)).contains(&self.threads) {
            misused!("`--threads` is between 1 and the number of connections, at most 64");
        }
        if self.rate.is_some_and(|rate| !(0.1..=1_000_000.0).contains(&rate)) {
            misused!("`--rate` is between 0.1 and 1,000,000");
        }
        if !(1..=1_000).contains(&self.batch) {
            misused!("`--batch` is {}; between 1 and 1,000", self.batch);
        }
        Ok(Plan {
            requests: self.requests,
            within: Duration::from_secs(self.seconds),
            warm_up: self.warm_up.min(self.requests),
            connections: self.connections,
            streams: self.streams,
            threads: self.threads,
            pace: self.rate.map(|per_second| Pace { per_second, spacing: self.spacing }),
            seed: self.scenario.seed,
        })
    }
}

impl ScenarioArgs {
    /// The same with another number of policies.
    pub(crate) fn with_policies(&self, policies: usize) -> Self {
        Self { policies, ..self.clone() }
    }

    /// The size, if it is one.
    pub(crate) fn scale(&self) -> anyhow::Result<Scale> {
        if self.policies > 200_000 || self.assignments > 1_000_000 || self.entities > 1_000_000 {
            misused!("`--policies` is at most 200,000, `--assignments` and `--entities` at most 1,000,000");
        }
        if !(1..=4_096).contains(&self.questions) {
            misused!("`--questions` is between 1 and 4,096");
        }
        if !(0.0..=1.0).contains(&self.deny_share) {
            misused!("`--deny-share` is {}; it is a share between 0 and 1", self.deny_share);
        }
        Ok(Scale { policies: self.policies, assignments: self.assignments, entities: self.entities })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> anyhow::Result<Plan> {
        let cli = Cli::try_parse_from([&["magistrate-load", "run", "--program", "echo"], arguments].concat())?;
        match cli.verb {
            Verb::Run { load, .. } => load.scenario.scale().and_then(|_| load.plan()),
            Verb::Ab { .. }
            | Verb::Scenario { .. }
            | Verb::Baselines { .. }
            | Verb::Flat(_)
            | Verb::Scale(_)
            | Verb::Report(_)
            | Verb::Profile(_)
            | Verb::Echo(_) => {
                anyhow::bail!("not a run")
            }
        }
    }

    #[test]
    fn nothing_runs_without_an_end() {
        assert!(plan(&[]).is_ok() && plan(&["--requests", "10000000", "--seconds", "600"]).is_ok());
        for wrong in [
            &["--requests", "0"][..],
            &["--requests", "10000001"],
            &["--seconds", "0"],
            &["--seconds", "601"],
            &["--connections", "0"],
            &["--streams", "1025"],
            &["--threads", "0"],
            &["--threads", "9"],
            &["--rate", "0"],
            &["--rate", "NaN"],
            &["--batch", "1001"],
            &["--policies", "200001"],
            &["--questions", "0"],
            &["--deny-share", "2"],
            &["--deny-share", "NaN"],
        ] {
            assert!(plan(wrong).is_err(), "{wrong:?}");
        }
    }
}
