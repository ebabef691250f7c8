//! Every table of `docs/benchmarks.md` that this tool can make, by one command and within a bound of time.

mod loops;
mod peers;
pub(crate) mod ratios;
pub(crate) mod starting;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use magistrate_testkit::Scale;
use serde_json::json;

use crate::arrivals::Spacing;
use crate::clock;
use crate::drive::{Pace, Plan};
use crate::install;
use crate::output::tell;
use crate::process::{machine, pin_self};
use crate::run::How;
use crate::scenario::Asked;
use crate::target::{Prepared, Spec};
use table::Table;

/// What is reported, and how long it may take.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The `magistrate` to measure
    #[arg(long, default_value = "target/dist/magistrate")]
    program: String,
    /// At most 3 minutes instead of 10: fewer and shorter rounds
    #[arg(long)]
    short: bool,
    /// Only tables whose name holds this; may be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Another `magistrate` to set beside it, built otherwise; may be repeated: `NAME:PROGRAM[,…]`
    #[arg(long, value_name = "NAME:PROGRAM")]
    variant: Vec<String>,
    /// Leave server and client on all cores, instead of the server on the first and the client on the second
    #[arg(long)]
    unpinned: bool,
    /// Where peers are installed
    #[arg(long, value_name = "DIR", default_value = "target/baselines")]
    baselines: PathBuf,
    /// Where `report.json` and `report.md` go
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    out: PathBuf,
}

/// What every table needs.
#[derive(Debug)]
pub(crate) struct Reporter {
    program: String,
    variants: Vec<String>,
    baselines: PathBuf,
    cores: Option<&'static str>,
    short: bool,
    until: Instant,
}

type Section = (&'static str, fn(&Reporter) -> anyhow::Result<Vec<Table>>);

/// The most important first: what there is no time for is told as skipped.
const SECTIONS: [Section; 8] = [
    ("ratio to the echo", ratios::echo),
    ("peers", peers::table),
    ("loops", loops::embedded),
    ("postgres", loops::postgres),
    ("starting", starting::table),
    ("telemetry", ratios::telemetry),
    ("size", ratios::size),
    ("variants", ratios::variants),
];

/// `report`
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot write to `{}`", args.out.display()))?;
    let limit = Duration::from_mins(if args.short { 3 } else { 10 });
    let pinned = !args.unpinned && machine().0 >= 2;
    if pinned {
        pin_self("1")?;
    }
    let reporter = Reporter {
        program: args.program.clone(),
        variants: args.variant.clone(),
        baselines: args.baselines.clone(),
        cores: pinned.then_some("0"),
        short: args.short,
        until: clock::now() + limit,
    };
    let mut tables = Vec::new();
    for (name, section) in SECTIONS {
        if !args.only.is_empty() && !args.only.iter().any(|only| name.contains(only.as_str())) {
            continue;
        }
        tell(&format!("== {name}"));
        let made = match clock::now() < reporter.until {
            true => section(&reporter).unwrap_or_else(|error| vec![Table::skipped(name, &format!("{error:#}"))]),
            false => vec![Table::skipped(name, "there was no time left; use --only")],
        };
        for table in made {
            if table.about.starts_with("SKIPPED") {
                tell(&format!("{name}: {}", table.about));
            }
            tables.push(table);
        }
        // What there is so far, in case the rest does not come about.
        write(&args.out, &tables, pinned)?;
    }
    let text = tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
    crate::output::show(&json!(null), &text, false)
}

fn write(out: &Path, tables: &[Table], pinned: bool) -> anyhow::Result<()> {
    let (processors, load) = machine();
    let all: Vec<_> = tables.iter().map(Table::json).collect();
    let json = json!({ "processors": processors, "load_average": load, "pinned": pinned, "tables": all });
    std::fs::write(out.join("report.json"), format!("{json:#}\n"))?;
    let text = tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
    Ok(std::fs::write(out.join("report.md"), text)?)
}

/// The example, a thousand entities and as many grants: what most tables are of.
pub(crate) const USUAL: Scale = Scale { policies: 62, assignments: 1_000, entities: 1_000 };

/// Every table is of the same questions, as far as its store has them.
pub(crate) fn asked(scale: Scale) -> anyhow::Result<Arc<Asked>> {
    Asked::generate(1, scale, 256, 0.25).map(Arc::new)
}

/// A closed loop as most tables have it, for so long.
pub(crate) fn how<'a>(within: Duration) -> How<'a> {
    let plan = Plan {
        requests: 10_000_000,
        within,
        warm_up: 1_000,
        connections: 8,
        streams: 16,
        threads: 1,
        pace: None,
        seed: 1,
    };
    How { plan, batch: 1, server_cores: None, refusals_are_fine: false, verify_history: false }
}

impl Reporter {
    fn prepare(&self, written: &str, asked: &Arc<Asked>) -> anyhow::Result<Prepared> {
        let spec: Spec = written.parse()?;
        tell(&format!("preparing `{written}`"));
        Prepared::new(&spec, asked, &self.baselines)
    }

    /// The peers that are installed, or can be.
    fn peers(&self) -> Vec<&'static str> {
        install::install(&self.baselines)
    }

    fn rounds(&self) -> u32 {
        if self.short { 3 } else { 5 }
    }

    /// One run: so many connections and questions on each, for a fixed time.
    fn how(&self, connections: usize, streams: usize, pace: Option<f64>) -> How<'_> {
        let usual = how(Duration::from_secs(if self.short { 2 } else { 5 }));
        let pace = pace.map(|per_second| Pace { per_second, spacing: Spacing::Poisson });
        How { plan: Plan { connections, streams, pace, ..usual.plan }, server_cores: self.cores, ..usual }
    }

    /// How servers are placed, in words.
    fn placed(&self) -> &'static str {
        match self.cores {
            Some(_) => "Each server on one core of its own, the client on another.",
            None => "Server and client on all cores.",
        }
    }
}
