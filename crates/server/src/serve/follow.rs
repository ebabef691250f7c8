//! The follower's thread, and what is told of it.

use anyhow::Context as _;
use magistrate_pdp::{FollowError, Follower, Polled};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::POLL_EVERY;
use crate::WORKER_STACK_BYTES;
use crate::os::SystemClock;
use crate::store::Store;
use crate::telemetry::Polls;

/// Runs the follower on a thread of its own, off the serving threads; the receiver completes when it ends.
pub(super) fn spawn_follower(follower: Follower<Store>, polls: Polls) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the follower")?;
    let follow = move || {
        let mut told = None;
        runtime.block_on(follower.run(&SystemClock, POLL_EVERY, |outcome| {
            polls.count(outcome);
            tell(outcome, &mut told);
        }));
        drop(ended);
    };
    std::thread::Builder::new()
        .name("follower".into())
        .stack_size(WORKER_STACK_BYTES)
        .spawn(follow)
        .context("cannot start the follower")?;
    Ok(end)
}

/// Logs a poll that changed something; the same failure again is not news.
fn tell(outcome: &Result<Polled, FollowError>, told: &mut Option<String>) {
    match outcome {
        Ok(Polled::Advanced(revision)) => info!(%revision, "serving a new revision"),
        Ok(Polled::Unchanged(_) | Polled::Empty) if told.is_some() => info!("the policy store answers again"),
        Ok(Polled::Unchanged(_) | Polled::Empty) => {}
        Err(error) if told.as_deref() == Some(error.to_string().as_str()) => {}
        Err(error) => {
            warn!(%error, "cannot follow the policy store; serving what was loaded before, as long as it may");
        }
    }
    *told = outcome.as_ref().err().map(ToString::to_string);
}
