//! From the layers to the services: Check on a way of its own, every other method by tonic's router.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service;

use crate::call::{Inbound, Outbound};
use crate::observe::Method;
use crate::transport::Arriving;
use crate::unary;

/// A Check under way.
pub(crate) type Checking = Pin<Box<dyn Future<Output = Response<Outbound>> + Send>>;

/// Answers Checks; whatever goes wrong is an answer.
pub(crate) trait CheckUnary: Send + Sync {
    fn check(self: Arc<Self>, request: Request<Inbound<Arriving<Incoming>>>) -> Checking;
}

/// Every service of a listener.
#[derive(Clone)]
pub(crate) struct Routing {
    pub(crate) check: Option<Arc<dyn CheckUnary>>,
    pub(crate) routes: Routes,
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Service<Request<Inbound<Arriving<Incoming>>>> for Routing {
    type Response = Response<Outbound>;
    type Error = Infallible;
    type Future = Routed;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Inbound<Arriving<Incoming>>>) -> Routed {
        match &self.check {
            Some(check) if request.body().known.method == Method::Check && unary::is_plain(request.headers()) => {
                Routed::Check { checking: Arc::clone(check).check(request) }
            }
            Some(_) | None => {
                let (mut parts, Inbound { known, body }) = request.into_parts();
                parts.extensions.insert(known);
                Routed::Other { inner: self.routes.call(Request::from_parts(parts, Body::new(body))) }
            }
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum Routed {
        Check { checking: Checking },
        Other {
            #[pin]
            inner: <Routes as Service<Request<Body>>>::Future,
        },
    }
}

impl Future for Routed {
    type Output = Result<Response<Outbound>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Check { checking } => checking.as_mut().poll(context).map(Ok),
            Projected::Other { inner } => {
                let response = ready!(inner.poll(context))?;
                Poll::Ready(Ok(Outbound::routed(response)))
            }
        }
    }
}
