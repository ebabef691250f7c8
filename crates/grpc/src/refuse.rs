//! Every call that is refused is told to the lane of refusals, in one place. What a peer gives up itself is no refusal.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use magistrate_ledger::Asked;
use magistrate_model::TraceId;
use magistrate_pdp::{Clock, Reason, Refusals, Refused};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower_layer::Layer;
use tower_service::Service;

use crate::authenticate::Authenticated;
use crate::observe::{Causes, Decided, Method, code_name};
use crate::service::address;

/// What was asked, as the source of the status that refuses it: a handler has no other way to say so.
#[derive(Debug)]
pub(crate) struct About(pub(crate) Asked);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a question")
    }
}

impl std::error::Error for About {}

/// Tells what is refused.
#[derive(Debug, Clone)]
pub(crate) struct TellLayer<C> {
    refusals: Arc<Refusals>,
    clock: C,
}

impl<C> TellLayer<C> {
    pub(crate) fn new(refusals: Arc<Refusals>, clock: C) -> Self {
        Self { refusals, clock }
    }
}

impl<C: Clone, S> Layer<S> for TellLayer<C> {
    type Service = Told<C, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Told { layer: self.clone(), inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Told<C, S> {
    layer: TellLayer<C>,
    inner: S,
}

impl<C, S, B> Service<Request<B>> for Told<C, S>
where
    C: Clock + Clone,
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Telling<C, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = Call {
            layer: self.layer.clone(),
            method: Method::of_path(request.uri().path()),
            address: address(request.extensions()),
            trace: request.extensions().get::<TraceId>().copied(),
        };
        Telling { call, inner: self.inner.call(request) }
    }
}

/// What is known of a call before anybody has looked at it.
struct Call<C> {
    layer: TellLayer<C>,
    method: Method,
    address: Option<IpAddr>,
    trace: Option<TraceId>,
}

impl<C: Clock> Call<C> {
    fn tell(&self, response: &Response<Body>) {
        let Some((reason, count)) = refused(response) else { return };
        let extensions = response.extensions();
        let refused = Refused {
            reason,
            count,
            caller: extensions.get::<Authenticated>().map(|caller| &caller.key),
            address: self.address,
            method: self.method.name(),
            trace: self.trace,
        };
        self.layer.refusals.tell(&refused, self.layer.clock.now(), || {
            let status = extensions.get::<Status>();
            let about = status.and_then(|status| std::error::Error::source(status)?.downcast_ref::<About>());
            let asked = about.map(|About(asked)| asked.clone());
            (asked.unwrap_or_default(), status.map(|status| status.message().to_owned()).unwrap_or_default())
        });
    }
}

/// Why a response refuses, and how many questions: a whole call, or the items of a batch that were none.
pub(crate) fn refused<B>(response: &Response<B>) -> Option<(Reason, u64)> {
    let extensions = response.extensions();
    if let Some(decided) = extensions.get::<Decided>() {
        return match &decided.causes {
            Causes::Batch { malformed, .. } if *malformed > 0 => Some((Reason::Malformed, *malformed as u64)),
            Causes::Batch { .. } | Causes::One(_) => None,
        };
    }
    let written;
    let status = match extensions.get::<Status>() {
        Some(status) => status,
        // By a layer of tonic's own, which writes the header alone.
        None => {
            written = Status::from_header_map(response.headers())?;
            &written
        }
    };
    if status.code() == Code::Ok {
        return None;
    }
    let info = status.get_details_error_info();
    Some((Reason::named(info.as_ref().map_or_else(|| code_name(status.code()), |info| &info.reason)), 1))
}

pin_project! {
    pub(crate) struct Telling<C, F> {
        call: Call<C>,
        #[pin]
        inner: F,
    }
}

impl<C, F, E> Future for Telling<C, F>
where
    C: Clock,
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(context));
        if let Ok(response) = &outcome {
            this.call.tell(response);
        }
        Poll::Ready(outcome)
    }
}
