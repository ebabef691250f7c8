//! What it costs to compile policies when a server starts, and one that changed beside those that stay:
//! `cargo bench -p magistrate-pdp --bench start -- 10000`.
//!
//! Over the example grown to so many policies, read back as from a store; the product's allocator. Processor time is
//! that of all threads, by the kernel's accounting in ticks of 10 ms, so changes are made many times; medians of the
//! rounds. Compare within a run.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what it is given is its own")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use magistrate_engine::Snapshot;
use magistrate_model::PolicySet;
use magistrate_testkit::{Scale, Scenario, World};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// Changes of a round.
const CHANGES: u32 = 20;

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![62, 1_000, 10_000] } else { sizes };
    println!("{:>9} {:>9} {:>9} {:>12} {:>12} {:>9}", "policies", "all ms", "CPU ms", "change ms", "CPU ms", "MiB");
    for policies in sizes {
        let scale = Scale { policies, assignments: 0, entities: 3 * policies };
        let set = Scenario::generate(1, scale).build(World::example().now()).1.policy_set.unwrap();
        let sets: Vec<PolicySet> = (0..CHANGES).map(|n| changed(&set, n)).collect();
        let (all, all_cpu) = median(|| drop(black_box(Snapshot::of(&set).unwrap())));
        let before = resident();
        let mut live = Snapshot::of(&set).unwrap();
        let held = resident() - before;
        let (change, change_cpu) = median(|| {
            for next in &sets {
                live = black_box(live.followed_by(next).unwrap());
            }
        });
        let (change, change_cpu) = (change / f64::from(CHANGES), change_cpu / f64::from(CHANGES));
        println!("{policies:>9} {all:>9.1} {all_cpu:>9.0} {change:>12.2} {change_cpu:>12.2} {held:>9}");
    }
}

/// The set with a policy of another text.
fn changed(set: &PolicySet, n: u32) -> PolicySet {
    let mut set = set.clone();
    let at = set.policies.len() / 2;
    let id = set.policies[at].id.clone();
    set.policies[at].text = Arc::from(format!(
        "@id(\"{id}\")\npermit (principal == Company::User::\"user-{n}\", \
         action == Company::Action::\"readDocument\", resource);"
    ));
    set
}

/// Milliseconds by the clock, and of processor time, of a round.
fn median(mut round: impl FnMut()) -> (f64, f64) {
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let (started, used) = (Instant::now(), cpu());
            round();
            (started.elapsed().as_secs_f64() * 1e3, cpu() - used)
        })
        .collect();
    rounds.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.total_cmp(&other.0)));
    rounds[ROUNDS / 2]
}

/// Milliseconds of processor time of this process: `proc_pid_stat(5)`.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}

/// MiB that are resident: `proc_pid_status(5)`.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap() / 1024
}
