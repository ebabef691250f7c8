//! Others on the same policies and questions, in the same rounds.

use serde_json::json;

use super::ratios::median;
use super::table::{Table, spread};
use super::{Reporter, asked};
use crate::figures::{Figures, compare};
use crate::output::tell;
use crate::run::measure;
use magistrate_testkit::Scale;

/// Every contender in turn, and what each costs beside Magistrate.
pub(super) fn table(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    let asked = asked(Scale { policies: 162, assignments: 1_000, entities: 1_000 })?;
    let installed = reporter.peers();
    let mut contenders = vec![reporter.prepare(&reporter.program, &asked)?, reporter.prepare("echo", &asked)?];
    for (peer, written) in
        [("cerbos", "cerbos"), ("cerbos", "cerbos-local"), ("cerbos", "cerbos-off"), ("cedar-agent", "cedar-agent")]
    {
        if installed.contains(&peer) {
            contenders.push(reporter.prepare(written, &asked)?);
        }
    }
    let rounds = if reporter.short { 2 } else { 3 };
    let mut measured: Vec<Vec<Figures>> = contenders.iter().map(|_| Vec::new()).collect();
    let how = reporter.how(8, 16, None);
    for round in 1..=rounds {
        for (contender, figures) in contenders.iter().zip(&mut measured) {
            let one = measure(contender, &how)?;
            tell(&format!("round {round} of {rounds}, {}: {}", contender.name(), one.line()));
            one.judge(false)?;
            figures.push(one);
        }
    }
    let about = format!(
        "100 policies on folders beside the example's (which the peers get only where they concern documents), 1,000 \
         entities, 1,000 grants; every answer checked. Magistrate finds entities and grants itself and has each record \
         committed before it answers; the callers of the others send attributes or roles along, and nobody waits for \
         their logs. Cerbos is asked over gRPC, cedar-agent (which keeps no log) over HTTP/1.1 with JSON, on 128 \
         connections; the rest 8 x 16. {} {rounds} rounds in turn: median (least to most).",
        reporter.placed()
    );
    let columns = ["", "decision log", "CPU µs a decision", "CPU, over Magistrate's", "p50, over Magistrate's", "MiB"];
    let mut table = Table::new("Others on the same questions", about, &columns);
    let Some(ours) = measured.first() else { return Ok(Vec::new()) };
    for (contender, figures) in contenders.iter().zip(&measured) {
        let (log, compared) = (log_of(contender.name()), compare(ours, figures));
        let ratio = compared.and_then(|it| it.cost).map_or("–".into(), spread);
        let p50 = compared.map_or("–".into(), |it| spread(it.p50));
        let resident = figures.iter().filter_map(Figures::resident).max().unwrap_or_default() / 1_048_576;
        let cells = vec![name_of(contender.name()), log.into(), median(figures), ratio, p50, resident.to_string()];
        table.row(cells, json!(figures.iter().map(Figures::json).collect::<Vec<_>>()));
    }
    Ok(vec![table])
}

fn name_of(written: &str) -> String {
    match written {
        "echo" => "the bare echo".into(),
        "cedar-agent" => "cedar-agent 0.2.2".into(),
        it if it.starts_with("cerbos") => "Cerbos 0.55".into(),
        _ => "Magistrate, SQLite".into(),
    }
}

fn log_of(written: &str) -> &'static str {
    match written {
        "echo" | "cedar-agent" => "none",
        "cerbos" => "file, not waited for",
        "cerbos-local" => "embedded database, not waited for",
        "cerbos-off" => "off",
        _ => "committed before the answer",
    }
}
