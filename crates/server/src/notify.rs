//! What systemd is told, where it started us (`sd_notify(3)`). Elsewhere nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// The server accepts calls.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What `systemctl status` shows.
pub(crate) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The server was told to stop, and drains.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Configuration is being read again; `ready` ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(instant) => tell(&[NotifyState::Reloading, instant]),
        Err(error) => debug!(%error, "cannot tell systemd of a reload"),
    }
}

/// How often the watchdog wants to hear of us, if it watches.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2)
}

/// Whoever calls this is alive.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot tell systemd");
    }
}
