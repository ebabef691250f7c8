//! Programs side by side.

use anyhow::{Context as _, bail};
use magistrate_testkit::Scale;
use serde_json::json;

use super::table::{Table, number, spread};
use super::{Reporter, USUAL, asked};
use crate::collector::Collector;
use crate::figures::{Figures, compare};
use crate::run::in_turn;
use crate::target::Prepared;

const COLUMNS: [&str; 4] = ["", "CPU µs a decision", "CPU, b over a", "p50, b over a"];

/// What a Check costs beside the bare echo.
pub(super) fn echo(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    let asked = asked(USUAL)?;
    let (a, b) = (reporter.prepare("echo", &asked)?, reporter.prepare(&reporter.program, &asked)?);
    let about = format!("8 connections with 16 questions under way on each. {}", reporter.placed());
    Ok(vec![side_by_side(reporter, "A Check beside the bare gRPC echo", &about, [&a, &b], ["the echo", "Magistrate"])?])
}

/// What telemetry costs.
pub(super) fn telemetry(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    let asked = asked(USUAL)?;
    let collector = Collector::start()?;
    let on = format!(
        "{},OTEL_EXPORTER_OTLP_ENDPOINT={},OTEL_TRACES_SAMPLER=parentbased_traceidratio,OTEL_TRACES_SAMPLER_ARG=0.01",
        reporter.program,
        collector.url()
    );
    let (a, b) = (reporter.prepare(&reporter.program, &asked)?, reporter.prepare(&on, &asked)?);
    let about = "OTLP to a collector that takes everything, 1 % of traces sampled, over no telemetry.";
    let names = ["without", "with telemetry"];
    let table = side_by_side(reporter, "Telemetry", about, [&a, &b], names)?;
    if collector.received() == 0 {
        bail!("nothing was exported, so nothing was measured");
    }
    Ok(vec![table])
}

/// Builds of the same program.
pub(super) fn variants(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    if reporter.variants.is_empty() {
        bail!("no --variant was named");
    }
    let asked = asked(USUAL)?;
    let a = reporter.prepare(&reporter.program, &asked)?;
    let variant = |written: &String| {
        let (name, program) = written.split_once(':').context("a variant is written NAME:PROGRAM")?;
        let b = reporter.prepare(program, &asked)?;
        side_by_side(reporter, &format!("Variant: {name}"), "", [&a, &b], [&reporter.program, name])
    };
    reporter.variants.iter().map(variant).collect()
}

/// What a decision costs by the number of policies and entities.
pub(super) fn size(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    let columns = ["policies", "entities and grants", "CPU µs a decision", "p50, p99 in ms"];
    let about = format!("8 connections with 16 questions under way on each. {}", reporter.placed());
    let mut table = Table::new("A Check by the size of the store", about, &columns);
    for (policies, data) in [(62, 0), (62, 10_000), (200, 1_000), (1_000, 1_000)] {
        let asked = asked(Scale { policies, assignments: data, entities: data })?;
        let prepared = reporter.prepare(&reporter.program, &asked)?;
        let [figures] = in_turn([&prepared], 1, &reporter.how(8, 16, None))?;
        for one in &figures {
            let cells = vec![policies.to_string(), data.to_string(), cost(one), super::loops::latency(one)];
            table.row(cells, one.json());
        }
    }
    Ok(vec![table])
}

fn side_by_side(
    reporter: &Reporter,
    title: &str,
    about: &str,
    programs: [&Prepared; 2],
    names: [&str; 2],
) -> anyhow::Result<Table> {
    let rounds = reporter.rounds();
    let [a, b] = in_turn(programs, rounds, &reporter.how(8, 16, None))?;
    let compared = compare(&a, &b).context("there is nothing to compare")?;
    let about = format!("{about} {rounds} rounds in turn: median (least to most).");
    let mut table = Table::new(title, about.trim().to_owned(), &COLUMNS);
    let all = |figures: &[Figures]| json!(figures.iter().map(Figures::json).collect::<Vec<_>>());
    let [first, second] = names;
    table.row(vec![first.into(), median(&a), "1".into(), "1".into()], all(&a));
    let ratio = compared.cost.map_or("–".into(), spread);
    table.row(vec![second.into(), median(&b), ratio, spread(compared.p50)], json!([all(&b), compared.json()]));
    Ok(table)
}

/// The median cost of rounds.
pub(crate) fn median(figures: &[Figures]) -> String {
    let costs = figures.iter().filter_map(Figures::cpu_micros).collect();
    crate::figures::spread(costs).map_or("–".into(), |[median, ..]| number(median))
}

pub(super) fn cost(figures: &Figures) -> String {
    figures.cpu_micros().map_or("–".into(), number)
}
