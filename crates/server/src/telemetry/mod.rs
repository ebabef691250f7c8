//! Logs, metrics and traces. Nothing is sent anywhere unless an endpoint is configured.
//!
//! Metrics have one set of instruments and two readers: `/metrics` is read by Prometheus, and OTLP pushes the
//! same. Names follow the semantic conventions of OpenTelemetry where there is one.

mod calls;
mod export;
mod feed;
mod follower;
mod gauges;
mod log;
mod process;
mod refusals;
mod sink;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use magistrate_grpc::{CallerStats, Certificates, TransportStats};
use magistrate_pdp::{Pdp, Refusals};
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};

pub(crate) use calls::Calls;
pub(crate) use follower::Polls;
pub(crate) use log::{LogHandle, LogLevel, start_log};
pub(crate) use sink::Timed;

use crate::config::Telemetry as Settings;
use crate::journal::Watch;
use crate::sequencing::LogWatch;
use crate::telemetry::feed::Feed;
use crate::telemetry::trace::Traces;

/// Upper bounds of duration buckets in seconds: fine below a millisecond, where a PDP lives.
const SECONDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_35, 0.000_5, 0.000_75, 0.001, 0.002, 0.003_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 5.0,
];
/// Upper bounds of the sizes of shipments, in records.
const RECORDS: [f64; 10] = [1.0, 4.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0];
/// How long what is not yet exported may take at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// The telemetry of a server.
#[derive(Debug)]
pub(crate) struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
    /// Where decisions are told, if they are.
    decisions: Option<SdkLoggerProvider>,
    calls: Calls,
}

impl Telemetry {
    /// Makes the instruments and starts exporters; within a runtime, on which exporters run.
    pub(crate) fn start(settings: &Settings, node: &str) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let resource = export::resource(node);
        let meters = export::meters(settings, &registry, resource.clone()).context("cannot set up metrics")?;
        let decisions = export::decisions(settings, resource.clone()).context("cannot set up the feed of decisions")?;
        let traces = export::traces(settings, resource).context("cannot set up traces")?;
        let meter = meters.meter("magistrate");
        let calls = Calls::new(&meter, Traces::new(traces.as_ref(), settings.trace_ratio));
        process::register(&meter);
        Ok(Self { registry, meters, traces, decisions, calls })
    }

    /// Watches calls.
    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Counts the polls of the follower.
    pub(crate) fn polls(&self) -> Polls {
        Polls::new(&self.meter())
    }

    /// A sink whose shipments are measured, and told elsewhere if that is wanted.
    pub(crate) fn timed<S>(&self, sink: S) -> Timed<S> {
        Timed::new(sink, &self.meter(), Feed::new(self.decisions.as_ref()))
    }

    /// Gauges of a decision point; they do not keep it alive.
    pub(crate) fn watch(&self, pdp: &Arc<Pdp>) {
        gauges::register(&self.meter(), pdp);
    }

    /// How the journal is.
    pub(crate) fn watch_journal(&self, journal: &Watch) {
        gauges::register_journal(&self.meter(), journal);
    }

    /// How the global log is.
    pub(crate) fn watch_log(&self, log: &LogWatch) {
        gauges::register_log(&self.meter(), log);
    }

    /// What happens to connections, and until when the certificate is valid.
    pub(crate) fn watch_transport(&self, stats: &Arc<TransportStats>, certificates: Option<&Arc<Certificates>>) {
        gauges::register_transport(&self.meter(), stats, certificates);
    }

    /// How often somebody was not let in.
    pub(crate) fn watch_callers(&self, stats: &Arc<CallerStats>) {
        gauges::register_callers(&self.meter(), stats);
    }

    /// What becomes of refusals.
    pub(crate) fn watch_refusals(&self, lane: &Arc<Refusals>) {
        refusals::register(&self.meter(), lane);
    }

    fn meter(&self) -> Meter {
        self.meters.meter("magistrate")
    }

    /// Everything that can be scraped.
    pub(crate) fn scrapes(&self) -> Scrapes {
        Scrapes(self.registry.clone())
    }

    /// Exports what is left, as far as that succeeds within a short time.
    pub(crate) async fn stop(self) {
        let Self { meters, traces, decisions, .. } = self;
        let flushing = tokio::task::spawn_blocking(move || {
            // Telemetry that cannot be delivered keeps nobody from stopping.
            let _unsent = meters.shutdown_with_timeout(FLUSH);
            if let Some(traces) = traces {
                let _unsent = traces.shutdown_with_timeout(FLUSH);
            }
            if let Some(decisions) = decisions {
                let _unsent = decisions.shutdown_with_timeout(FLUSH);
            }
        });
        let _late = tokio::time::timeout(FLUSH * 2, flushing).await;
    }
}

/// The metrics in the text form that Prometheus reads.
#[derive(Debug, Clone)]
pub(crate) struct Scrapes(Registry);

impl Scrapes {
    /// The content type of the text.
    pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    pub(crate) fn text(&self) -> anyhow::Result<String> {
        TextEncoder::new().encode_to_string(&self.0.gather()).context("cannot write the metrics as text")
    }
}
