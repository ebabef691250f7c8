//! Accepting connections and handing them out.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing::{debug, warn};

use super::places::Places;
use super::stats::{Ended, TransportStats};
use super::worker::Workers;

/// The pause after a connection could not be accepted: out of file descriptors, usually.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until dropped; returns only when no worker is left.
pub(crate) async fn accept(listener: TcpListener, workers: &Workers, stats: Arc<TransportStats>) {
    let places = Places::new(workers.limits(), Arc::clone(&stats));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                stats.end(Ended::AcceptFailed);
                warn!(%error, "cannot accept a connection; pausing");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match places.take(peer.ip()) {
            Ok(place) => {
                if !workers.hand_out(stream, place) {
                    return;
                }
            }
            Err(why) => {
                stats.end(why);
                debug!(why = why.name(), "a connection is closed at once");
            }
        }
    }
}
