//! Calls over what can be served are refused at once, while refusing is all they cost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use magistrate_pdp::CheckError;
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::observe::Method;
use crate::status::{Refusal, status};

/// When whoever was refused may try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Lets so many calls in as there are permits. Health is let in always: it must be told under load most of all.
#[derive(Debug, Clone)]
pub(crate) struct ShedLayer(Arc<Semaphore>);

impl ShedLayer {
    pub(crate) fn new(permits: Arc<Semaphore>) -> Self {
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
    permits: Arc<Semaphore>,
    inner: S,
}

impl<S, B> Service<Request<B>> for Shed<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Shedding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if Method::of_path(request.uri().path()) == Method::Health {
            return Shedding::Let { permit: None, inner: self.inner.call(request) };
        }
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Shedding::Let { permit: Some(permit), inner: self.inner.call(request) },
            Err(_) => Shedding::Refused,
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum Shedding<F> {
        Let {
            permit: Option<OwnedSemaphorePermit>,
            #[pin]
            inner: F,
        },
        Refused,
    }
}

impl<F, E> Future for Shedding<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
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
                Poll::Ready(Ok(status(&refusal).into_http()))
            }
        }
    }
}
