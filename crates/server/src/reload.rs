//! SIGHUP: what may change while a server runs is read again. What does not hold keeps the old.

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::cli::Global;
use crate::config::Config;
use crate::notify;
use crate::telemetry::LogHandle;

/// What is read again.
#[derive(Debug)]
pub(crate) struct Reload {
    global: Global,
    log: LogHandle,
}

impl Reload {
    pub(crate) fn new(global: Global, log: LogHandle) -> Self {
        Self { global, log }
    }

    /// Reloads at every SIGHUP; never ends.
    pub(crate) async fn run(self) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => {
                warn!(%error, "SIGHUP cannot be heard: nothing is reloaded while the server runs");
                return std::future::pending().await;
            }
        };
        while hangups.recv().await.is_some() {
            notify::reloading();
            match self.reload() {
                Ok(()) => info!("reloaded"),
                Err(error) => warn!(error = format!("{error:#}"), "cannot reload; what was loaded before stays"),
            }
            notify::ready();
        }
    }

    fn reload(&self) -> anyhow::Result<()> {
        let config = Config::resolve(&self.global, None)?;
        match config.telemetry.log_is_fixed {
            true => info!("`MAGISTRATE_LOG` says what is logged; the file is not asked"),
            false => {
                self.log.set(&config.telemetry.log)?;
                info!(log = %config.telemetry.log, "the file says what is logged");
            }
        }
        Ok(())
    }
}
