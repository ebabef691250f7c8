//! The open loop: questions come when they are meant to, and each is as late as its answer.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::{Mutex, mpsc};

use super::worker::{Lane, together};
use super::{Pace, Plan};
use crate::arrivals::Arrivals;
use crate::clock;

/// Questions that are due and wait for a lane. When there are more, the pacemaker waits, and they are later still:
/// latency counts from when they were meant to be sent, not from when there was room.
const WAITING: usize = 65_536;

/// Asks until all was asked; `due` counts the questions whose time has come.
pub(super) async fn ask(
    lanes: Vec<Lane>,
    plan: &Plan,
    pace: Pace,
    worker: usize,
    due: &Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let (sender, waiting) = mpsc::channel(WAITING);
    let (plan, begun, due) = (*plan, clock::now(), Arc::clone(due));
    let arrivals = Arrivals::new(pace.spacing, pace.per_second, plan.seed);
    let pacemaker = std::thread::Builder::new().name("pacemaker".into());
    // It ends by itself: with the questions, or soon after nobody takes any.
    let _ending =
        pacemaker.spawn(move || keep_pace(arrivals, &plan, begun, &due, &sender)).context("cannot start a thread")?;
    let waiting = Rc::new(Mutex::new(waiting));
    together(lanes, |lane| {
        let (waiting, threads) = (Rc::clone(&waiting), plan.threads as u64);
        async move {
            while let Some((number, meant)) = next(&waiting).await {
                if !lane.ask(number * threads + worker as u64, meant).await {
                    break;
                }
            }
        }
    })
    .await;
    Ok(())
}

async fn next(waiting: &Mutex<mpsc::Receiver<(u64, Instant)>>) -> Option<(u64, Instant)> {
    waiting.lock().await.recv().await
}

/// Tells each question when it is due. A thread of its own sleeps to a twentieth of a millisecond; the runtime's
/// timer rounds up to a whole one.
fn keep_pace(arrivals: Arrivals, plan: &Plan, begun: Instant, due: &AtomicU64, sender: &mpsc::Sender<(u64, Instant)>) {
    for (number, after) in (0..plan.requests).zip(arrivals) {
        if after > plan.within {
            return;
        }
        let meant = begun + after;
        let early = meant.saturating_duration_since(clock::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        due.fetch_add(1, Ordering::Relaxed);
        if sender.blocking_send((number, meant)).is_err() {
            return;
        }
    }
}
