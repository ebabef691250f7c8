//! How long a caller will wait, and the end of calls that take longer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use magistrate_pdp::CheckError;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Inbound, Outbound};
use crate::status::{Refusal, status};
use crate::transport::Limits;

/// When the caller stops waiting, as the layer found it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// How long the caller still waits.
    pub(crate) fn patience(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Ends calls at their deadline: what `grpc-timeout` says within the limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadlineLayer {
    default: Duration,
    longest: Duration,
}

impl DeadlineLayer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { default: limits.deadline, longest: limits.longest_deadline }
    }

    pub(crate) fn patience(&self, headers: &HeaderMap) -> Duration {
        let value = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
        value.and_then(parse).unwrap_or(self.default).min(self.longest)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { layer: *self, inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Timed<S> {
    layer: DeadlineLayer,
    inner: S,
}

impl<S, B> Service<Request<Inbound<B>>> for Timed<S>
where
    S: Service<Request<Inbound<B>>, Response = Response<Outbound>>,
{
    type Response = Response<Outbound>;
    type Error = S::Error;
    type Future = Timing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Inbound<B>>) -> Self::Future {
        let until = Instant::now() + self.layer.patience(request.headers());
        request.body_mut().known.deadline = Some(Deadline(until));
        Timing { inner: self.inner.call(request), until, late: None }
    }
}

pin_project! {
    pub(crate) struct Timing<F> {
        #[pin]
        inner: F,
        until: Instant,
        // Made when a call waits for anything, be it that others are decided with it: what is refused at once needs none.
        #[pin]
        late: Option<Sleep>,
    }
}

impl<F, E> Future for Timing<F>
where
    F: Future<Output = Result<Response<Outbound>, E>>,
{
    type Output = F::Output;

    /// INVARIANT: a deadline that has passed is told, whatever the call came to meanwhile.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let outcome = this.inner.poll(context);
        if outcome.is_pending() && this.late.is_none() {
            this.late.set(Some(tokio::time::sleep_until(*this.until)));
        }
        let is_late = match this.late.as_pin_mut() {
            Some(late) if outcome.is_pending() => late.poll(context).is_ready(),
            Some(_) | None => *this.until <= Instant::now(),
        };
        if is_late {
            let late = Refusal::Check(CheckError::DeadlineExceeded(LATE.to_owned()));
            return Poll::Ready(Ok(Outbound::refused(status(&late))));
        }
        outcome
    }
}

pub(crate) const LATE: &str =
    "the call was not answered within its deadline; a decision may still appear in the history";

/// Parses 1 to 8 digits and a unit, as the gRPC specification writes timeouts.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = well_formed.then(|| digits.parse().ok())??;
    match unit {
        'H' => Some(Duration::from_secs(number * 3_600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
