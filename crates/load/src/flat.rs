//! What a Check costs by the number of policies, with everything else as it is.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::sync::Arc;

use crate::cli::{Load, Misused, PROGRAM, misused};
use crate::figures::{Figures, compare};
use crate::output::{show, tell};
use crate::report::ratios::median;
use crate::report::table::{Table, number, spread};
use crate::run::{conclude, measure};
use crate::target::{Prepared, Spec};

/// Which program, and how many policies.
#[derive(Debug, Args)]
pub(crate) struct FlatArgs {
    #[arg(long, default_value = "target/dist/magistrate", value_name = "PROGRAM", help = PROGRAM)]
    program: Spec,
    /// Policies in all, instead of `--policies`; the others are compared with the first
    #[arg(long, value_delimiter = ',', default_value = "62,10000,100000", value_name = "POLICIES,…")]
    sizes: Vec<usize>,
    /// How often each is loaded, at most 50
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    #[command(flatten)]
    load: Load,
}

/// `flat`
pub(crate) fn flat(args: &FlatArgs) -> anyhow::Result<()> {
    if !(2..=5).contains(&args.sizes.len()) || !(1..=50).contains(&args.rounds) {
        misused!("`--sizes` are between 2 and 5, and `--rounds` is between 1 and 50");
    }
    let how = args.load.how(false)?;
    let mut all: Vec<(Prepared, Vec<Figures>)> = Vec::new();
    for policies in &args.sizes {
        tell(&format!("preparing {policies} policies, which takes a while"));
        let asked = args.load.scenario.with_policies(*policies).generate()?;
        all.push((Prepared::new(&args.program, &Arc::new(asked), &args.load.baselines)?, Vec::new()));
    }
    for round in 1..=args.rounds {
        for ((prepared, figures), policies) in all.iter_mut().zip(&args.sizes) {
            let one = measure(prepared, &how)?;
            tell(&format!("round {round} of {}, {policies} policies: {}", args.rounds, one.line()));
            conclude(&one, &how)?;
            figures.push(one);
        }
    }
    let table = table(args, all.into_iter().map(|(_, figures)| figures))?;
    let json = json!({ "circumstances": args.load.circumstances(&how.plan), "table": table.json() });
    show(&json, &table.markdown(), args.load.json)
}

fn table(args: &FlatArgs, all: impl Iterator<Item = Vec<Figures>>) -> anyhow::Result<Table> {
    let about = format!(
        "{}: {} rounds in turn, median (least to most). Flat is what is answered for the processor time that the first \
         takes for one answer.",
        args.program.written, args.rounds
    );
    let columns = ["policies", "CPU µs a decision", "CPU, over the first", "flat", "p50, over the first"];
    let mut table = Table::new("A Check by the number of policies", about, &columns);
    let mut first: Option<Vec<Figures>> = None;
    for (policies, figures) in args.sizes.iter().zip(all) {
        let compared = compare(first.as_ref().unwrap_or(&figures), &figures).context("there is nothing to compare")?;
        let ratio = compared.cost.map_or("–".into(), spread);
        let flat = compared.cost.map_or("–".into(), |[median, ..]| number(1.0 / median));
        let behind = json!([figures.iter().map(Figures::json).collect::<Vec<_>>(), compared.json()]);
        table.row(vec![policies.to_string(), median(&figures), ratio, flat, spread(compared.p50)], behind);
        first.get_or_insert(figures);
    }
    Ok(table)
}
