//! The log: to standard error, for people on a terminal and as JSON lines otherwise.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::LogFormat;

/// Changes what is logged while the process runs.
#[derive(Debug, Clone)]
pub(crate) struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Logs by this level from now on.
    pub(crate) fn set(&self, level: &LogLevel) -> anyhow::Result<()> {
        self.0.reload(level.filter()).context("cannot change what is logged")
    }
}

/// What is logged, as in `info,magistrate_pdp=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLevel(String);

impl LogLevel {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed = EnvFilter::builder().parse(text);
        let _filter = parsed
            .with_context(|| format!("`{text}` is no log filter; write `info`, or `info,magistrate_pdp=debug`"))?;
        Ok(Self(text.to_owned()))
    }

    fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts the log, once a process, and returns the handle that changes it.
pub(crate) fn start_log(level: &LogLevel, format: LogFormat) -> LogHandle {
    let (filter, handle) = reload::Layer::new(level.filter());
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = match json {
        true => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
        false => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init(),
    };
    drop(started);
    LogHandle(handle)
}
