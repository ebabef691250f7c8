//! From the start of a process to its first answer, and what it holds then.

use magistrate_testkit::Scale;
use serde_json::json;

use super::table::{Table, number, spread};
use super::{Reporter, asked};

/// By the size of the store. Not pinned: starting uses every core.
pub(super) fn table(reporter: &Reporter) -> anyhow::Result<Vec<Table>> {
    let starts = if reporter.short { 5 } else { 9 };
    let about = format!(
        "From the start of the process to its first answer over gRPC, on the embedded store, on all cores; {starts} \
         starts: median (least to most). Memory is what is resident then."
    );
    let columns = ["policies", "entities", "grants", "ready after ms", "CPU ms", "MiB resident"];
    let mut table = Table::new("Starting and memory", about, &columns);
    for (policies, entities, assignments) in [(62, 0, 0), (1_000, 1_000, 0), (62, 10_000, 10_000)] {
        let asked = asked(Scale { policies, assignments, entities })?;
        let prepared = reporter.prepare(&reporter.program, &asked)?;
        let (mut ready, mut cpu, mut resident) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..starts {
            let running = prepared.start(None)?;
            let Some((after, usage)) = running.ready_after.zip(running.sample().server) else { continue };
            ready.push(after.as_secs_f64() * 1e3);
            cpu.push(usage.cpu * 1e3);
            resident.push(mebibytes(usage.resident));
        }
        let behind = json!({ "ready_after_ms": ready, "cpu_ms": cpu, "resident_mib": resident });
        let told = |values| crate::figures::spread(values);
        let cells = vec![
            policies.to_string(),
            entities.to_string(),
            assignments.to_string(),
            told(ready).map_or("–".into(), spread),
            told(cpu).map_or("–".into(), |[median, ..]| number(median)),
            told(resident).map_or("–".into(), |[median, ..]| number(median)),
        ];
        table.row(cells, behind);
    }
    Ok(vec![table])
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 bytes")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
