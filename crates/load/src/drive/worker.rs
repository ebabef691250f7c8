//! A thread that asks, with connections of its own.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::{JoinSet, LocalSet};

use super::tally::Tally;
use super::{Aim, Plan, closed, open, share};
use crate::clock;
use crate::wire::{Connection, Failure, Protocol};

/// How long answers are waited for after the last question may have been sent.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Worker {
    number: usize,
    aim: Aim,
    plan: Plan,
    gate: Arc<Barrier>,
}

/// What one worker did.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) warm_up: Tally,
    pub(super) measured: Tally,
    pub(super) took: Duration,
}

/// One place from which one question at a time is asked.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    connection: Connection,
    aim: Rc<Aim>,
    tally: Rc<RefCell<Tally>>,
}

impl Worker {
    pub(super) fn new(number: usize, aim: &Aim, plan: &Plan, gate: &Arc<Barrier>) -> Self {
        let threads = plan.threads;
        #[expect(clippy::cast_precision_loss, reason = "a handful of threads")]
        let pace = plan.pace.map(|pace| super::Pace { per_second: pace.per_second / threads as f64, ..pace });
        let plan = Plan {
            requests: share(plan.requests, threads, number),
            warm_up: share(plan.warm_up, threads, number),
            connections: usize::try_from(share(plan.connections as u64, threads, number)).unwrap_or(usize::MAX),
            pace,
            seed: plan.seed.wrapping_add(number as u64),
            ..*plan
        };
        Self { number, aim: aim.clone(), plan, gate: Arc::clone(gate) }
    }

    pub(super) fn run(self) -> anyhow::Result<Part> {
        let gate = Arc::clone(&self.gate);
        let prepared = self.prepare();
        // Whatever happened: the others wait here.
        gate.wait();
        gate.wait();
        let (runtime, lanes, warm_up) = prepared?;
        let begun = clock::now();
        let measured = runtime.0.block_on(&runtime.1, self.phase(&lanes, &self.plan))?;
        Ok(Part { warm_up, measured, took: begun.elapsed() })
    }

    /// Connects, and asks what does not count yet.
    fn prepare(&self) -> anyhow::Result<(Local, Vec<Connection>, Tally)> {
        let runtime = Local::new()?;
        let connections = runtime.0.block_on(&runtime.1, self.connect())?;
        let plan = Plan { requests: self.plan.warm_up, pace: None, ..self.plan };
        let warm_up = runtime.0.block_on(&runtime.1, self.phase(&connections, &plan)).context("while warming up")?;
        Ok((runtime, connections, warm_up))
    }

    /// A connection for each lane; over HTTP/2 lanes share them.
    async fn connect(&self) -> anyhow::Result<Vec<Connection>> {
        let (connections, shared) = match self.aim.protocol {
            Protocol::Grpc(_) => (self.plan.connections, self.plan.streams),
            Protocol::Rest(_) => (self.plan.connections * self.plan.streams, 1),
        };
        let mut lanes = Vec::new();
        for _ in 0..connections {
            let connection = Connection::open(self.aim.address, self.aim.protocol, self.aim.key.as_deref()).await?;
            lanes.extend(std::iter::repeat_n(connection, shared));
        }
        Ok(lanes)
    }

    /// Asks on every lane until there is nothing to ask, or no more waiting for answers.
    async fn phase(&self, connections: &[Connection], plan: &Plan) -> anyhow::Result<Tally> {
        let (aim, tally) = (Rc::new(self.aim.clone()), Rc::new(RefCell::new(Tally::new()?)));
        let lanes: Vec<Lane> = connections
            .iter()
            .map(|connection| Lane { connection: connection.clone(), aim: Rc::clone(&aim), tally: Rc::clone(&tally) })
            .collect();
        let due = Arc::new(AtomicU64::new(0));
        let asking = async {
            match plan.pace {
                None => closed::ask(lanes, plan, self.number, &due).await,
                Some(pace) => open::ask(lanes, plan, pace, self.number, &due).await?,
            }
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(plan.within + GRACE, asking).await;
        ended.unwrap_or(Ok(()))?;
        let mut counted = tally.replace(Tally::new()?);
        counted.close(due.load(Ordering::Relaxed));
        Ok(counted)
    }
}

impl Lane {
    /// Asks a question; whether more can be asked here.
    pub(super) async fn ask(&self, number: u64, meant: Instant) -> bool {
        let position = usize::try_from(number).unwrap_or_default() % self.aim.calls.len().max(1);
        let Some(call) = self.aim.calls.get(position) else { return false };
        let lag = meant.elapsed();
        let answer = self.connection.call(call.body.clone()).await;
        let latency = meant.elapsed();
        let mut tally = self.tally.borrow_mut();
        match answer {
            Ok(answer) => tally.answer(self.aim.judge.judge(&answer, &call.expected), latency, lag),
            Err(failure @ Failure::Status(..)) => tally.failure(failure),
            Err(failure @ Failure::Broken(_)) => {
                tally.failure(failure);
                return false;
            }
        }
        true
    }
}

/// A runtime of this thread alone.
struct Local(LocalRuntime, LocalSet);

struct LocalRuntime(tokio::runtime::Runtime);

impl Local {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self(LocalRuntime(runtime.context("cannot start")?), LocalSet::new()))
    }
}

impl LocalRuntime {
    fn block_on<T>(&self, tasks: &LocalSet, future: impl Future<Output = T>) -> T {
        tasks.block_on(&self.0, future)
    }
}

/// Runs a task for each lane until all have ended; what is left when this is dropped ends with it.
pub(super) async fn together<F: Future<Output = ()> + 'static>(lanes: Vec<Lane>, task: impl Fn(Lane) -> F) {
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn_local(task(lane));
    }
    while tasks.join_next().await.is_some() {}
}
