//! Asking: as fast as answers come, or as fast as was said.

mod closed;
mod open;
mod tally;
mod worker;

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::arrivals::Spacing;
use crate::call::{Call, Judge};
use crate::process::Usage;
use crate::wire::Protocol;

pub(crate) use tally::Tally;

/// What to do, and when to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Questions in all.
    pub(crate) requests: u64,
    /// Questions are sent for so long at most; answers are waited for a little longer.
    pub(crate) within: Duration,
    /// Questions before it counts, asked in a closed loop.
    pub(crate) warm_up: u64,
    pub(crate) connections: usize,
    /// Questions under way on each connection at most.
    pub(crate) streams: usize,
    /// Threads that ask.
    pub(crate) threads: usize,
    /// An open loop; without it, each answer is followed by a question.
    pub(crate) pace: Option<Pace>,
    pub(crate) seed: u64,
}

/// How fast questions come, whatever the server does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    pub(crate) spacing: Spacing,
}

/// Who is asked what.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) judge: Judge,
    /// An API key to send along.
    pub(crate) key: Option<String>,
    pub(crate) calls: Arc<[Call]>,
}

/// What a process, and the database behind it, used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) server: Option<Usage>,
    /// Seconds of processor time.
    pub(crate) database: Option<f64>,
}

/// What came of a plan.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) warm_up: Tally,
    pub(crate) measured: Tally,
    pub(crate) took: Duration,
    /// What was used while it counted.
    pub(crate) used: Sample,
    /// Seconds of processor time that asking took.
    pub(crate) client_cpu: f64,
}

/// Carries out a plan. `sample` is asked just before it counts and just after.
pub(crate) fn run(aim: &Aim, plan: &Plan, sample: &dyn Fn() -> Sample) -> anyhow::Result<Ran> {
    if aim.calls.is_empty() {
        bail!("there are no questions to ask");
    }
    let gate = Arc::new(Barrier::new(plan.threads + 1));
    let mut workers = Vec::new();
    for number in 0..plan.threads {
        let worker = worker::Worker::new(number, aim, plan, &gate);
        let thread = std::thread::Builder::new().name(format!("asking-{number}"));
        workers.push(thread.spawn(move || worker.run()).context("cannot start a thread")?);
    }
    gate.wait();
    let (before, own) = (sample(), Usage::own());
    gate.wait();
    let (mut warm_up, mut measured, mut took) = (Tally::new()?, Tally::new()?, Duration::ZERO);
    let ended: Vec<_> = workers.into_iter().map(std::thread::JoinHandle::join).collect();
    let (after, own) = (sample(), Usage::own().since(own));
    for ended in ended {
        let part = ended.map_err(|_| anyhow!("a thread that asks has crashed"))??;
        warm_up.add(part.warm_up)?;
        measured.add(part.measured)?;
        took = took.max(part.took);
    }
    Ok(Ran { warm_up, measured, took, used: after.since(before), client_cpu: own.cpu })
}

impl Sample {
    fn since(self, before: Self) -> Self {
        let server = self.server.zip(before.server).map(|(after, before)| after.since(before));
        let database = self.database.zip(before.database).map(|(after, before)| after - before);
        Self { server, database }
    }
}

/// Which part of a whole one of several gets; the parts add up to it.
fn share(whole: u64, parts: usize, number: usize) -> u64 {
    let (parts, number) = (parts.max(1) as u64, number as u64);
    whole / parts + u64::from(number < whole % parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (whole, parts) in [(10, 3), (2, 4), (0, 2), (1_000_001, 7)] {
            let shares: Vec<u64> = (0..parts).map(|number| share(whole, parts, number)).collect();
            assert_eq!(shares.iter().sum::<u64>(), whole);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }
}
