//! Where a Check's processor time goes: samples of the server's stacks while it is loaded, told by layer.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use crate::output::{show, tell};
use crate::report::table::{Table, number};
use crate::report::{USUAL, asked, how};
use crate::run::measure_running;
use crate::target::{Prepared, Spec};

/// What is sampled.
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// The `magistrate` to sample; with the names of its functions in it
    #[arg(long, default_value = "target/dist/magistrate")]
    program: Spec,
    /// For so long, at most 60
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Further stacks that no layer claims, to see what is missing
    #[arg(long, default_value_t = 0)]
    unclaimed: usize,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Layers by what names of functions hold. A sample belongs to the innermost frame that any layer claims: what a
/// layer calls in allocator and kernel is its own.
const LAYERS: [(&str, &[&str]); 9] = [
    ("store: SQLite and its driver", &["sqlite3", "sqlx", "libsqlite3", "storage_sqlite", "storage_postgres"]),
    ("record: encoding, hash, batch", &["magistrate_ledger", "minicbor", "sha2::", "recorder"]),
    ("Cedar: authorizer and evaluator", &["cedar_policy"]),
    ("engine: entities built for Cedar, stricter rules, admission", &["magistrate_engine"]),
    ("facts: entities, roles and grants gathered", &["magistrate_pdp"]),
    (
        "door: messages in and out",
        &[
            "prost",
            "magistrate_grpc::query",
            "magistrate_grpc::reply",
            "magistrate_grpc::service",
            "magistrate_grpc::value",
            "magistrate_grpc::entity",
            "magistrate_proto",
        ],
    ),
    (
        "layers: telemetry, keys, shedding, deadline",
        &[
            "magistrate_grpc::observe",
            "magistrate_grpc::shed",
            "magistrate_grpc::authenticate",
            "magistrate_grpc::deadline",
            "opentelemetry",
            "tracing",
            "magistrate::telemetry",
        ],
    ),
    (
        "HTTP/2 and gRPC framing, sockets",
        &["h2::", "hyper", "tonic", "tower", "magistrate_grpc::transport", "TcpStream", "tcp_"],
    ),
    ("runtime: wake-ups, timers, waiting", &["tokio", "mio::", "epoll", "futex", "eventfd"]),
];

/// `profile`
pub(crate) fn profile(args: &ProfileArgs) -> anyhow::Result<()> {
    let asked = asked(USUAL)?;
    let prepared = Prepared::new(&args.program, &asked, "target/baselines".as_ref())?;
    let running = prepared.start(None)?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("perf.data");
    let pid = running.pid().context("there is no process to sample")?;
    let mut sampling = Sampling::start(pid, args.seconds, &file)?;
    let figures = measure_running(&prepared, &running, &how(Duration::from_secs(args.seconds + 1)))?;
    sampling.end()?;
    tell(&figures.line());
    let output = Command::new("perf").args(["script", "--no-inline", "-F", "ip,sym", "-i"]).arg(&file).output()?;
    let script = String::from_utf8_lossy(&output.stdout);
    let stacks = stacks(&script);
    if stacks.len() < 100 {
        bail!("only {} samples were taken: {}", stacks.len(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let table = table(&stacks, figures.cpu_micros());
    for stack in stacks.iter().filter(|stack| layer(stack).is_none()).take(args.unclaimed) {
        tell(&stack.join(" < "));
    }
    show(&table.json(), &table.markdown(), args.json)
}

/// `perf record`, killed when dropped.
struct Sampling(Child);

impl Sampling {
    fn start(pid: u32, seconds: u64, file: &std::path::Path) -> anyhow::Result<Self> {
        let mut command = Command::new("perf");
        command.args(["record", "--freq=397", "--call-graph=dwarf,24576", "-p", &pid.to_string(), "-o"]).arg(file);
        command.args(["--", "sleep", &seconds.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("`perf` does not start; install the package `linux-perf`")?))
    }

    fn end(&mut self) -> anyhow::Result<()> {
        match self.0.wait()?.success() {
            true => Ok(()),
            false => bail!("`perf record` failed; is /proc/sys/kernel/perf_event_paranoid above 1?"),
        }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Names of functions, innermost first, of each sample that `perf script` tells.
fn stacks(script: &str) -> Vec<Vec<&str>> {
    let samples = script.split("\n\n").map(|sample| sample.lines().filter_map(frame).collect::<Vec<_>>());
    samples.filter(|frames| !frames.is_empty()).collect()
}

/// The name in a line of address and name.
fn frame(line: &str) -> Option<&str> {
    line.trim().split_once(' ').map(|(_, name)| name.trim())
}

/// Which layer a sample belongs to.
fn layer(stack: &[&str]) -> Option<&'static str> {
    stack.iter().find_map(|name| {
        let claims = |(_, parts): &&(&str, &[&str])| parts.iter().any(|part| name.contains(part));
        LAYERS.iter().find(claims).map(|(layer, _)| *layer)
    })
}

fn table(stacks: &[Vec<&str>], micros: Option<f64>) -> Table {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for stack in stacks {
        *counts.entry(layer(stack).unwrap_or(OTHER)).or_default() += 1;
    }
    let about = format!(
        "{} samples of the server's stacks under 8 connections with 16 questions under way on each. A sample belongs to \
         the innermost function that any layer claims; allocator and kernel count where they were called from.",
        stacks.len()
    );
    let mut table = Table::new("Where a Check's processor time goes", about, &["layer", "share %", "µs a Check"]);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (layer, count) in counts {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
        let share = count as f64 / stacks.len() as f64;
        let of_check = micros.map_or("–".into(), |micros| number(micros * share));
        table.row(vec![layer.into(), number(share * 100.0), of_check], json!({ "layer": layer, "samples": count }));
    }
    table
}

const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
    1a mi_malloc
    2b cedar_policy_core::evaluator::Evaluator::evaluate
    3c magistrate_engine::evaluate::respond
    4d tokio::runtime::task::poll

    5e __x64_sys_pwrite64
    6f sqlite3VdbeExec
    7a tokio::runtime::blocking

    8b [unknown]

";

    #[test]
    fn samples_belong_to_the_innermost_layer() {
        let stacks = stacks(SCRIPT);
        let layers: Vec<_> = stacks.iter().map(|stack| layer(stack).unwrap_or(OTHER)).collect();
        assert_eq!(layers, [LAYERS[2].0, LAYERS[0].0, OTHER], "{stacks:?}");
        let table = table(&stacks, Some(300.0));
        assert!(table.rows.iter().all(|row| row[1] == "33.3" && row[2] == "100"), "{:?}", table.rows);
    }
}
