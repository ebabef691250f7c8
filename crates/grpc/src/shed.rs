//! Calls over what can be served are refused at once, while refusing is all they cost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use magistrate_pdp::{Capacity, CheckError, Taken};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Inbound, Outbound};
use crate::observe::Method;
use crate::status::{Refusal, status};

/// When whoever was refused may try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Lets so many calls in as there are permits. Health is let in always: it must be told under load most of all.
#[derive(Debug, Clone)]
pub(crate) struct ShedLayer(Arc<Capacity>);

impl ShedLayer {
    pub(crate) fn new(permits: Arc<Capacity>) -> Self {
        Self(permits)
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed { permits: Arc::clone(&self.0), inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Shed<S> {
    permits: Arc<Capacity>,
    inner: S,
}

impl<S, B> Service<Request<Inbound<B>>> for Shed<S>
where
    S: Service<Request<Inbound<B>>, Response = Response<Outbound>>,
{
    type Response = Response<Outbound>;
    type Error = S::Error;
    type Future = Shedding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Inbound<B>>) -> Self::Future {
        if request.body().known.method == Method::Health {
            return Shedding::Let { permit: None, inner: self.inner.call(request) };
        }
        match self.permits.take(1) {
            Some(permit) => Shedding::Let { permit: Some(permit), inner: self.inner.call(request) },
            None => Shedding::Refused,
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum Shedding<F> {
        Let {
            permit: Option<Taken>,
            #[pin]
            inner: F,
        },
        Refused,
    }
}

impl<F, E> Future for Shedding<F>
where
    F: Future<Output = Result<Response<Outbound>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Let { permit, inner } => {
                let outcome = ready!(inner.poll(context));
                drop(permit.take());
                Poll::Ready(outcome)
            }
            Projected::Refused => {
                let refusal = Refusal::Check(CheckError::Overloaded { retry_after: RETRY_AFTER });
                Poll::Ready(Ok(Outbound::refused(status(&refusal))))
            }
        }
    }
}
