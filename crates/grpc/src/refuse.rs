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
use tonic_types::StatusExt as _;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Inbound, Known, Outbound, Outcome};
use crate::observe::{Causes, Method, code_name};

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

impl<C, S, B> Service<Request<Inbound<B>>> for Told<C, S>
where
    C: Clock + Clone,
    S: Service<Request<Inbound<B>>, Response = Response<Outbound>>,
{
    type Response = Response<Outbound>;
    type Error = S::Error;
    type Future = Telling<C, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Inbound<B>>) -> Self::Future {
        let Known { method, address, trace, .. } = request.body().known;
        let call = Call { layer: self.layer.clone(), method, address, trace };
        Telling { call, inner: self.inner.call(request) }
    }
}

struct Call<C> {
    layer: TellLayer<C>,
    method: Method,
    address: Option<IpAddr>,
    trace: Option<TraceId>,
}

impl<C: Clock> Call<C> {
    fn tell(&self, ended: &Outbound) {
        let Some((reason, count)) = refused(&ended.outcome) else { return };
        let refused = Refused {
            reason,
            count,
            caller: ended.caller.as_ref(),
            address: self.address,
            method: self.method.name(),
            trace: self.trace,
        };
        self.layer.refusals.tell(&refused, self.layer.clock.now(), || match &ended.outcome {
            Outcome::Refused(status) => {
                let about = std::error::Error::source(&**status).and_then(|source| source.downcast_ref::<About>());
                (about.map(|About(asked)| asked.clone()).unwrap_or_default(), status.message().to_owned())
            }
            Outcome::Decided(_) | Outcome::Other => Default::default(),
        });
    }
}

/// Why something was refused, and how much; `None` where nothing was.
pub(crate) fn refused(outcome: &Outcome) -> Option<(Reason, u64)> {
    match outcome {
        Outcome::Decided(decided) => match &decided.causes {
            Causes::Batch { malformed, .. } if *malformed > 0 => Some((Reason::Malformed, *malformed as u64)),
            Causes::Batch { .. } | Causes::One(_) => None,
        },
        Outcome::Other => None,
        Outcome::Refused(status) => {
            let info = status.get_details_error_info();
            let reason = info.as_ref().map_or_else(|| code_name(status.code()), |info| &info.reason);
            Some((Reason::named(reason), 1))
        }
    }
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
    F: Future<Output = Result<Response<Outbound>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(context));
        if let Ok(response) = &outcome {
            this.call.tell(response.body());
        }
        Poll::Ready(outcome)
    }
}
