//! The closed loop: each answer is followed by a question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Plan;
use super::worker::{Lane, together};
use crate::clock;

/// Asks until all was asked; `due` counts the questions.
pub(super) async fn ask(lanes: Vec<Lane>, plan: &Plan, worker: usize, due: &Arc<AtomicU64>) {
    let (requests, within, threads) = (plan.requests, plan.within, plan.threads as u64);
    let begun = clock::now();
    together(lanes, |lane| {
        let due = Arc::clone(due);
        async move {
            // The lanes of one thread never come between reading and adding.
            while due.load(Ordering::Relaxed) < requests && begun.elapsed() < within {
                let number = due.fetch_add(1, Ordering::Relaxed);
                if !lane.ask(number * threads + worker as u64, clock::now()).await {
                    break;
                }
            }
        }
    })
    .await;
}
