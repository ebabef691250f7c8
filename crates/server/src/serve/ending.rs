//! Told to stop: soft stop, drain, hard stop.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use magistrate_grpc::{Health, ServeError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::lifecycle::Lifecycle;
use crate::notify;

/// How long calls in flight may take once the server was told to stop.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// How long a process that must not survive goes on for those who wait for an answer: each is refused at once.
pub(super) const LAST_REFUSALS: Duration = Duration::from_secs(1);

/// Completes once it is time to stop: when told to, and after balancers had time to look elsewhere.
pub(super) async fn leave(stop: impl Future<Output = ()>, lifecycle: Lifecycle, health: Health, delay: Duration) {
    stop.await;
    notify::stopping();
    lifecycle.drain();
    health.set(false).await;
    if !delay.is_zero() {
        info!(?delay, "told to stop; going on for a while, and saying not ready; told again, it stops at once");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = interrupted() => {}
        }
    }
}

/// Waits for calls in flight of both doors, but not for clients that never hang up.
pub(super) async fn drain(
    serving: impl Future<Output = Result<(), ServeError>>,
    administering: impl Future<Output = Result<(), ServeError>>,
    within: Duration,
) -> anyhow::Result<()> {
    let (served, administered) = tokio::join!(drained(serving, within), drained(administering, within));
    served.and(administered)
}

async fn drained(serving: impl Future<Output = Result<(), ServeError>>, within: Duration) -> anyhow::Result<()> {
    match tokio::time::timeout(within, serving).await {
        Ok(ended) => ended.context("the gRPC door failed while it was closing"),
        Err(_) => {
            warn!("some connections did not close within {within:?}; closing them");
            Ok(())
        }
    }
}

/// Spawns a task that ends when the sender is dropped.
#[expect(clippy::disallowed_methods, reason = "whoever calls this holds the handle, and joins it")]
pub(super) fn until_told<F>(task: impl FnOnce(oneshot::Receiver<()>) -> F) -> (oneshot::Sender<()>, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (end, ends) = oneshot::channel();
    (end, tokio::spawn(task(ends)))
}

/// Waits for a task that was told to end, unless it has.
pub(super) async fn join(task: JoinHandle<()>) {
    if !task.is_finished() {
        let _joined = task.await;
    }
}

/// Waits until the follower has ended. A connection that had to be cut off may still hold the decision point; nothing it is
/// answered is lost, since answers follow their records.
pub(super) async fn settle(follower_ended: oneshot::Receiver<()>) {
    if !follower_ended.is_terminated() && tokio::time::timeout(Duration::from_secs(1), follower_ended).await.is_err() {
        warn!("background tasks were cut off");
    }
}

/// Completes when the process is told to stop, from this call on: whoever is told before it is awaited stops all the same.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let terminated = signal(SignalKind::terminate());
    let interrupted = signal(SignalKind::interrupt());
    async {
        tokio::select! {
            () = arrived(terminated) => {}
            () = arrived(interrupted) => {}
        }
    }
}

async fn arrived(signal: std::io::Result<Signal>) {
    match signal {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
