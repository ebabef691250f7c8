//! What is measured of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use http::HeaderMap;
use magistrate_grpc::{Causes, Decided, Exit, Method, Observe, code_name};
use magistrate_model::{Cause, TraceId};
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};
use opentelemetry::{KeyValue, Value};

use super::SECONDS;
use super::trace::{Traced, Traces};

/// The code of a call whose caller has gone away.
const ABANDONED: &str = "CANCELLED";

/// Watches the calls of the door. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Calls(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    traces: Traces,
    in_flight: Arc<AtomicI64>,
    calls: Histogram<f64>,
    /// The two methods that are called all the time and end well nearly always.
    check: BoundHistogram<f64>,
    batch: BoundHistogram<f64>,
    /// One for each cause, in the order of `Cause::ALL`.
    causes: [OfCause; Cause::ALL.len()],
    refusals: Counter<u64>,
}

#[derive(Debug)]
struct OfCause {
    decisions: BoundCounter<u64>,
    checks: BoundHistogram<f64>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    started: Instant,
    traced: Traced,
}

impl Calls {
    pub(super) fn new(meter: &Meter, traces: Traces) -> Self {
        let calls = seconds(meter, "rpc.server.call.duration", "Time from the headers of a call to its answer");
        let decisions = meter.u64_counter("magistrate.decisions").with_description("Decisions given, each recorded");
        let decisions = decisions.build();
        let checks = seconds(meter, "magistrate.check.duration", "Time of a Check that was decided");
        let causes = Cause::ALL.map(|cause| OfCause {
            decisions: decisions.bind(&of_cause(cause)),
            checks: checks.bind(&of_cause(cause)),
        });
        let refusals = meter.u64_counter("magistrate.refusals").with_description("Questions that got no decision");
        let (check, batch) =
            (calls.bind(&of_call(Method::Check, "OK")), calls.bind(&of_call(Method::CheckBatch, "OK")));
        let in_flight = Arc::new(AtomicI64::new(0));
        let observed = Arc::clone(&in_flight);
        let _gauge = meter
            .i64_observable_up_down_counter("magistrate.calls.in_flight")
            .with_description("Calls under way")
            .with_callback(move |gauge| gauge.observe(observed.load(Ordering::Relaxed), &[]))
            .build();
        let refusals = refusals.build();
        Self(Arc::new(Instruments { traces, in_flight, calls, check, batch, causes, refusals }))
    }
}

impl Observe for Calls {
    type Call = Call;

    fn begin(&self, method: Method, headers: &HeaderMap) -> (Call, Option<TraceId>) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        let traced = self.0.traces.begin(headers);
        let trace = traced.id().map(|id| TraceId::new(id.to_bytes()));
        (Call { method, started: now(), traced }, trace)
    }

    fn end(&self, call: Call, exit: Exit<'_>) {
        let this = &*self.0;
        this.in_flight.fetch_sub(1, Ordering::Relaxed);
        let seconds = now().duration_since(call.started).as_secs_f64();
        let code = match &exit {
            Exit::Decided(decided) => {
                this.decided(decided, seconds);
                "OK"
            }
            Exit::Other => "OK",
            Exit::Refused { code, reason } => {
                if matches!(call.method, Method::Check | Method::CheckBatch) {
                    this.refusals.add(1, &[KeyValue::new("reason", known_reason(reason))]);
                }
                code_name(*code)
            }
            Exit::Abandoned => ABANDONED,
        };
        match (call.method, code) {
            (Method::Check, "OK") => this.check.record(seconds),
            (Method::CheckBatch, "OK") => this.batch.record(seconds),
            (method, code) => this.calls.record(seconds, &of_call(method, code)),
        }
        let known = code != "UNAUTHENTICATED";
        let error = (code != "OK").then_some(code);
        this.traces.end(&call.traced, call.method.name(), known, error, || attributes(call.method, code, &exit));
    }
}

impl Instruments {
    fn decided(&self, decided: &Decided, seconds: f64) {
        match &decided.causes {
            Causes::One(cause) => {
                if let Some(of) = self.of(*cause) {
                    of.decisions.add(1);
                    of.checks.record(seconds);
                }
            }
            Causes::Batch { causes, malformed } => {
                causes.iter().filter_map(|cause| self.of(*cause)).for_each(|of| of.decisions.add(1));
                if *malformed > 0 {
                    self.refusals.add(*malformed as u64, &[KeyValue::new("reason", "MALFORMED")]);
                }
            }
        }
    }

    fn of(&self, cause: Cause) -> Option<&OfCause> {
        let position = Cause::ALL.iter().position(|it| *it == cause)?;
        self.causes.get(position)
    }
}

/// Reasons that are told by name; a reason of a peer's making would be a label without bounds.
fn known_reason(reason: &str) -> &'static str {
    const REASONS: [&str; 10] = [
        "MALFORMED",
        "UNAUTHENTICATED",
        "NOT_PERMITTED_TO_ASK",
        "OVERLOADED",
        "NOT_READY",
        "NOT_RECORDED",
        "REVISION_AHEAD",
        "IDENTITY_UNSUPPORTED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
    ];
    REASONS.into_iter().find(|known| *known == reason).unwrap_or("OTHER")
}

fn seconds(meter: &Meter, name: &'static str, says: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(says);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}

fn of_cause(cause: Cause) -> [KeyValue; 2] {
    [KeyValue::new("decision", cause.decision().name()), KeyValue::new("cause", cause.name())]
}

fn of_call(method: Method, code: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method.name()),
        KeyValue::new("rpc.response.status_code", code),
    ]
}

/// What a span tells: never who asked, nor what.
fn attributes(method: Method, code: &'static str, exit: &Exit<'_>) -> Vec<KeyValue> {
    let mut attributes = of_call(method, code).to_vec();
    let mut tell = |name: &'static str, value: Value| attributes.push(KeyValue::new(name, value));
    match exit {
        Exit::Decided(decided) => {
            tell("magistrate.revision", i64::try_from(decided.revision).unwrap_or(i64::MAX).into());
            if let Some(id) = decided.decision_id {
                tell("magistrate.decision_id", id.to_string().into());
            }
            match &decided.causes {
                Causes::One(cause) => {
                    tell("magistrate.decision", cause.decision().name().into());
                    tell("magistrate.cause", cause.name().into());
                }
                Causes::Batch { causes, malformed } => {
                    let size = i64::try_from(causes.len() + malformed).unwrap_or(i64::MAX);
                    tell("magistrate.batch.size", size.into());
                }
            }
        }
        Exit::Refused { reason, .. } => tell("error.type", known_reason(reason).into()),
        Exit::Abandoned => tell("error.type", ABANDONED.into()),
        Exit::Other => {}
    }
    attributes
}

#[expect(clippy::disallowed_methods, reason = "durations are measured here and nowhere decided by")]
fn now() -> Instant {
    Instant::now()
}
