//! The trace a call belongs to (W3C Trace Context), and whether it is sampled.
//!
//! Whether a call is sampled is decided before anything is built, so that the many that are not cost nothing:
//! as its parent was, else by chance. A parent's word counts only once its caller is known.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};

/// Makes traces of calls.
#[derive(Debug, Clone)]
pub(super) struct Traces(Option<Arc<Exported>>);

#[derive(Debug)]
struct Exported {
    tracer: SdkTracer,
    /// Of 2^63 root trace ids, so many are sampled.
    threshold: u64,
}

/// What a call knows of its trace.
#[derive(Debug)]
pub(super) struct Traced {
    /// What the caller said it belongs to.
    parent: Option<SpanContext>,
    /// The trace it begins, where it has no parent and is sampled.
    root: Option<TraceId>,
    started: Option<SystemTime>,
}

impl Traces {
    /// Traces to a provider; to none, only the ids of callers are carried.
    pub(super) fn new(provider: Option<&SdkTracerProvider>, ratio: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a ratio between 0 and 1 of 2^63 fits"
        )]
        let threshold = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        Self(provider.map(|provider| Arc::new(Exported { tracer: provider.tracer("magistrate"), threshold })))
    }

    /// The trace of a call that begins now.
    pub(super) fn begin(&self, headers: &HeaderMap) -> Traced {
        let parent = parent(headers);
        let root = match (&parent, &self.0) {
            (None, Some(exported)) => exported.root(),
            (Some(_), _) | (None, None) => None,
        };
        let sampled = self.0.is_some() && (root.is_some() || parent.as_ref().is_some_and(SpanContext::is_sampled));
        Traced { parent, root, started: sampled.then(now) }
    }

    /// The span of a call that ended, if it is sampled.
    pub(super) fn end(
        &self,
        traced: &Traced,
        name: &'static str,
        known: bool,
        error: Option<&str>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) {
        let (Some(exported), Some(started)) = (&self.0, traced.started) else {
            return;
        };
        let Some(parent) = traced.parent_of_span(known) else {
            return;
        };
        NEXT.set(traced.root);
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(started)
            .with_attributes(attributes());
        let mut span = exported.tracer.build_with_context(builder, &parent);
        if let Some(error) = error {
            span.set_status(Status::error(error.to_owned()));
        }
        span.end_with_timestamp(now());
    }
}

impl Exported {
    /// The lower 63 bits of a root's id decide, as other samplers of trace ids do.
    fn root(&self) -> Option<TraceId> {
        let id = RandomIdGenerator::default().new_trace_id();
        let lower = *id.to_bytes().last_chunk::<8>()?;
        let lower = u64::from_be_bytes(lower) >> 1;
        (lower < self.threshold).then_some(id)
    }
}

impl Traced {
    /// The trace the decision record names.
    pub(super) fn id(&self) -> Option<TraceId> {
        self.parent.as_ref().map(SpanContext::trace_id).or(self.root)
    }

    /// The context of its span; `None` where there is to be none. A root has no parent.
    fn parent_of_span(&self, known: bool) -> Option<Context> {
        match (&self.parent, self.root) {
            (Some(parent), _) => known.then(|| Context::new().with_remote_span_context(parent.clone())),
            (None, root) => root.map(|_| Context::new()),
        }
    }
}

thread_local! {
    /// The id of the next root that is begun on this thread: the call has told it to the decision record already.
    static NEXT: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Random ids, but for roots whose id is known.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    headers.contains_key("traceparent").then(|| {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
    })?
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "spans carry the time of the wall clock, and only telemetry reads it")]
fn now() -> SystemTime {
    SystemTime::now()
}
