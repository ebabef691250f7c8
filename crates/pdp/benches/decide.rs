//! What one decision costs in process, by the number of policies: `cargo bench -p magistrate-pdp`.
//!
//! Gathering facts and evaluating, without door and record. Wall time of one thread; compare within a run.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark reads the clock and prints")]

use std::sync::Arc;
use std::time::Instant;

use magistrate_model::Span;
use magistrate_pdp::View;
use magistrate_testkit::{Scale, Scenario, World};

const ROUNDS: usize = 7;

fn main() {
    let world = World::example();
    let query = world.ask("Company::User::mia", "readDocument", "Company::Document::welcome").query;
    println!("{:>9} {:>12} {:>14}", "policies", "us/decision", "ratio to first");
    let mut first = None;
    for (policies, decisions) in [(62, 2_000), (200, 1_000), (1_000, 200), (5_000, 40)] {
        let scale = Scale { policies, assignments: 1_000, entities: 1_000 };
        let (snapshot, dataset) = Scenario::generate(1, scale).build(world.now());
        let view = View::offline(Arc::new(snapshot), dataset);
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&view, &query, decisions, world.now())).collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
        println!("{policies:>9} {median:>12.1} {:>14.2}", median / *first.get_or_insert(median));
    }
}

/// Microseconds a decision, over one round.
#[expect(clippy::cast_precision_loss, reason = "a count of decisions")]
fn round(view: &View, query: &magistrate_model::Query, decisions: usize, now: magistrate_model::Instant) -> f64 {
    let started = Instant::now();
    for _ in 0..decisions {
        let answer = view.answer(query.clone(), now, Span::ZERO);
        assert!(std::hint::black_box(answer).is_ok());
    }
    started.elapsed().as_secs_f64() * 1e6 / decisions as f64
}
