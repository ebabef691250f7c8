//! Threads that serve, one for each core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::connection::{self, Serving, Stack};
use super::limits::Limits;
use super::places::Place;
use super::stats::{Ended, TransportStats};

/// Connections on their way to a worker; its place is taken already.
const WAITING: usize = 1_024;

/// A connection that was accepted, off every runtime until a worker takes it.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    held: (Place, Counted),
}

#[derive(Debug)]
struct Worker {
    handed: mpsc::Sender<Accepted>,
    /// Connections it has.
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// Every worker. They end once `stop` was told and their connections have ended.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<Worker>,
    limits: Limits,
    stats: Arc<TransportStats>,
    /// Where the search for the least loaded begins, so that equals take turns.
    turn: AtomicUsize,
    stop: watch::Sender<bool>,
    /// Closed once every worker has ended.
    ended: mpsc::Receiver<()>,
}

/// How many workers, with how much stack, and within which limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) limits: Limits,
}

impl Workers {
    /// Starts them.
    pub(crate) fn start<K: Stack>(plan: &Plan, serving: &Serving<K>) -> std::io::Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let mut workers = Vec::new();
        for number in 0..plan.workers {
            let (handed, taken) = mpsc::channel(WAITING);
            let load = Arc::new(AtomicUsize::new(0));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (serving, stopping, alive) = (serving.clone(), stopping.clone(), alive.clone());
            let work = move || {
                runtime.block_on(work(taken, serving, stopping));
                // Calls that were cut off end with the runtime, and with them what they hold.
                drop(runtime);
                drop(alive);
            };
            let thread = std::thread::Builder::new().name(format!("door-{number}")).stack_size(plan.stack_bytes);
            workers.push(Worker { handed, load, thread: thread.spawn(work)? });
        }
        let stats = Arc::clone(&serving.stats);
        Ok(Self { all: workers, limits: plan.limits, stats, turn: AtomicUsize::new(0), stop, ended })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Hands a connection to the worker that has fewest; whether any worker is left to take it.
    pub(super) fn hand_out(&self, stream: TcpStream, place: Place) -> bool {
        let Ok(peer) = stream.peer_addr() else { return true };
        let Ok(stream) = stream.into_std() else { return true };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.all.len();
        let in_turn = (0..count).filter_map(|n| self.all.get((turn + n).checked_rem(count)?));
        let Some(worker) =
            in_turn.filter(|it| !it.thread.is_finished()).min_by_key(|it| it.load.load(Ordering::Relaxed))
        else {
            return false;
        };
        let held = (place, Counted::new(&worker.load));
        // A worker that is behind with a thousand connections takes no more: this one is closed.
        if worker.handed.try_send(Accepted { stream, peer, held }).is_err() {
            self.stats.end(Ended::Busy);
        }
        true
    }

    /// Completes when a worker has ended that was not told to.
    pub(crate) async fn crashed(&self) {
        while self.all.iter().all(|worker| !worker.handed.is_closed()) {
            let closed = self.all.iter().map(|worker| Box::pin(worker.handed.closed()));
            futures_util::future::select_all(closed).await;
        }
    }

    /// Tells every worker to end: no call is begun any more, and those under way are finished. Dropped before that,
    /// it cuts them off.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        self.all.clear();
        while self.ended.recv().await.is_some() {}
    }
}

async fn work<K: Stack>(mut taken: mpsc::Receiver<Accepted>, serving: Serving<K>, stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stopped = stopping.clone();
    loop {
        tokio::select! {
            accepted = taken.recv() => match accepted {
                Some(Accepted { stream, peer, held }) => {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        let serve = connection::serve(stream, peer, serving.clone(), stopping.clone());
                        connections.spawn(async move {
                            serve.await;
                            drop(held);
                        });
                    }
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    drop(taken);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Whoever told to stop waits no longer.
    let cut_off = async { while stopped.changed().await.is_ok() {} };
    tokio::select! {
        () = all_ended => {}
        () = cut_off => {}
    }
}

/// Counts a connection of a worker until dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
