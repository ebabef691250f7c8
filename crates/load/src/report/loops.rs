//! One Magistrate under one load after another: closed loops, open loops, batches.

use serde_json::json;

use super::ratios::cost;
use super::table::{Table, number};
use super::{Reporter, USUAL, asked};
use crate::figures::Figures;
use crate::output::tell;
use crate::run::{How, measure_running};
use crate::target::Prepared;

/// On the embedded store.
pub(super) fn embedded(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    on(reporter, &reporter.program, "SQLite")
}

/// On PostgreSQL, its data on a disk and synchronised.
pub(super) fn postgres(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    if !Prepared::postgres_is_there() {
        return Ok(vec![Table::skipped("Loops on PostgreSQL", "PostgreSQL is not installed (package `postgresql`)")]);
    }
    on(reporter, &format!("{},store=postgres", reporter.program), "PostgreSQL")
}

/// Each table from one start of the server: the load differs, not what is loaded.
fn on(reporter: &Reporter, program: &str, store: &str) -> anyhow::Result<Vec<Table>> {
    let asked = asked(USUAL)?;
    let prepared = reporter.prepare(program, &asked)?;
    let running = prepared.start(reporter.cores)?;
    let one = |how: &How<'_>| measure_running(&prepared, &running, how);
    let about =
        format!("Example policies, 1,000 entities and grants, class `database`, 75 % allowed. {}", reporter.placed());
    let columns = ["loop", "decisions/s", "CPU µs a decision", "p50, p99, p99.9 in ms", "sent late, p99 in ms"];
    let mut table = Table::new(&format!("Check on {store}"), about, &columns);
    let mut saturated: f64 = 0.0;
    for (connections, streams) in [(1, 1), (8, 1), (8, 8), (8, 16)] {
        let figures = one(&reporter.how(connections, streams, None))?;
        saturated = saturated.max(figures.per_second());
        row(&mut table, format!("closed, {connections} x {streams}"), &figures);
    }
    for (share, name) in [(0.25, "25 %"), (0.5, "50 %")] {
        let rate = saturated * share;
        let figures = one(&reporter.how(8, 16, Some(rate)))?;
        row(&mut table, format!("open, {} ({name})", number(rate)), &figures);
    }
    let about = "4 connections with one batch under way on each; latency is of whole batches.".to_owned();
    let columns = ["items", "decisions/s", "CPU µs a decision", "p50, p99 in ms"];
    let mut batches = Table::new(&format!("CheckBatch on {store}"), about, &columns);
    for batch in [1, 10, 100, 1_000] {
        let mut how = How { batch, ..reporter.how(4, 1, None) };
        how.plan.warm_up = 20;
        let figures = one(&how)?;
        tell(&format!("batches of {batch}: {}", figures.line()));
        let cells = vec![batch.to_string(), decisions(&figures), cost(&figures), latency(&figures)];
        batches.row(cells, figures.json());
    }
    Ok(vec![table, batches])
}

fn row(table: &mut Table, name: String, figures: &Figures) {
    tell(&format!("{name}: {}", figures.line()));
    let p999 = millis(figures.latency(0.999));
    let late = millis(figures.lag(0.99));
    let cells = vec![name, decisions(figures), cost(figures), format!("{}, {p999}", latency(figures)), late];
    table.row(cells, json!(figures.json()));
}

pub(super) fn decisions(figures: &Figures) -> String {
    number(figures.decisions_per_second())
}

pub(super) fn latency(figures: &Figures) -> String {
    format!("{}, {}", millis(figures.latency(0.5)), millis(figures.latency(0.99)))
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53")]
fn millis(micros: u64) -> String {
    number(micros as f64 / 1_000.0)
}
