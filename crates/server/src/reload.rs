//! SIGHUP: what may change while a server runs is read again. What does not hold keeps the old.

use std::sync::Arc;

use anyhow::Context as _;
use magistrate_grpc::Certificates;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::Global;
use crate::config::Config;
use crate::notify;
use crate::serve::refresh;
use crate::telemetry::LogHandle;

/// What is read again.
#[derive(Debug)]
pub(crate) struct Reload {
    global: Global,
    log: LogHandle,
    hangups: Signal,
}

impl Reload {
    /// From now on SIGHUP no longer ends the process.
    pub(crate) fn new(global: Global, log: LogHandle) -> anyhow::Result<Self> {
        let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        Ok(Self { global, log, hangups })
    }

    /// Reloads at every SIGHUP, certificates at once instead of when they are next looked at; never ends.
    pub(crate) async fn run(mut self, certificates: Option<Arc<Certificates>>) {
        while self.hangups.recv().await.is_some() {
            notify::reloading();
            certificates.iter().for_each(|it| refresh(it, "callers"));
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
