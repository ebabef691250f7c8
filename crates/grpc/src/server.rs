//! The door as a whole: its services, the layers around them, and the workers that serve them.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use magistrate_pdp::Clock;
use magistrate_proto::v1::authorization_service_server::AuthorizationServiceServer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use crate::authenticate::{Authenticate, AuthenticateLayer};
use crate::deadline::DeadlineLayer;
use crate::health::Health;
use crate::observe::{Method, Observe, ObserveLayer};
use crate::service::Door;
use crate::shed::ShedLayer;
use crate::transport::{self, Certificates, Limits, Plan, Serving, TransportStats, Workers};

/// Bytes of a Check: two asserted entities with all their parents, a context and an environment fit.
const MAX_CHECK: usize = 256 * 1024;
/// Bytes of a batch: 1,000 items of 4 KiB.
const MAX_BATCH: usize = 4 * 1024 * 1024;

/// Everything around a call; each connection has a clone.
pub(crate) type Stack = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// How a door is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that serve.
    pub workers: usize,
    /// Bytes of the stack of each: evaluation recurses along policies.
    pub stack_bytes: usize,
    /// What a peer may take.
    pub limits: Limits,
    /// What is shown to peers; `None`: nothing is encrypted.
    pub certificates: Option<Arc<Certificates>>,
    /// Where what happens to connections is counted.
    pub stats: Arc<TransportStats>,
}

/// Why serving ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor set does not describe the contract.
    #[error("cannot describe the service to reflection clients: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A thread cannot be had.
    #[error("cannot start the threads that serve: {0}")]
    Threads(#[from] std::io::Error),
    /// A thread has ended that was not told to.
    #[error("a thread that serves has crashed")]
    Crashed,
}

/// Serves the door, its health and its description on a bound listener until `shutdown` completes.
///
/// Then health turns to not serving, no connection is accepted any more, calls in flight are answered,
/// and this returns once every connection is closed. A client that watches health or holds a reflection
/// stream open delays that by as long as connections may outlive their age: whoever calls this bounds the wait.
pub async fn serve<C: Clock + Clone, O: Observe>(
    listener: TcpListener,
    door: Door<C>,
    health: Health,
    observer: O,
    authenticate: Authenticate<C>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Settings { workers, stack_bytes, limits, certificates, stats } = settings;
    let stack = stack(door, &health, observer, authenticate, &limits)?;
    let serving = Serving { stack, limits, certificates, stats: Arc::clone(&stats) };
    let workers = Workers::start(&Plan { workers, stack_bytes, limits }, &serving)?;
    tokio::select! {
        () = transport::accept(listener, &workers, stats) => return Err(ServeError::Crashed),
        () = workers.crashed() => return Err(ServeError::Crashed),
        () = shutdown => {}
    }
    health.set(false).await;
    workers.stop().await;
    Ok(())
}

/// The services within their layers, outermost first: who watches sees everything, and what is shed costs little.
fn stack<C: Clock + Clone, O: Observe>(
    door: Door<C>,
    health: &Health,
    observer: O,
    authenticate: Authenticate<C>,
    limits: &Limits,
) -> Result<Stack, ServeError> {
    let services = Routes::new(Door::sized(&Arc::new(door)))
        .add_service(health.service())
        .add_service(description().build_v1()?)
        .add_service(description().build_v1alpha()?)
        .prepare();
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer(observer))
        .layer(ShedLayer::new(Arc::new(Semaphore::new(limits.in_flight))))
        .layer(AuthenticateLayer(authenticate))
        .layer(DeadlineLayer::new(limits));
    Ok(BoxCloneSyncService::new(layers.service(services)))
}

impl<C: Clock> Door<C> {
    /// Its service, with a limit of its own for each method.
    fn sized(door: &Arc<Self>) -> Sized<C> {
        let service = |limit| AuthorizationServiceServer::from_arc(Arc::clone(door)).max_decoding_message_size(limit);
        Sized { check: service(MAX_CHECK), batch: service(MAX_BATCH) }
    }
}

/// One service twice, since message sizes are limited by service.
struct Sized<C> {
    check: AuthorizationServiceServer<Door<C>>,
    batch: AuthorizationServiceServer<Door<C>>,
}

impl<C> Clone for Sized<C> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), batch: self.batch.clone() }
    }
}

impl<C: Clock> NamedService for Sized<C> {
    const NAME: &'static str = <AuthorizationServiceServer<Door<C>> as NamedService>::NAME;
}

impl<C: Clock> Service<Request<Body>> for Sized<C> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <AuthorizationServiceServer<Door<C>> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match Method::of_path(request.uri().path()) {
            Method::CheckBatch => self.batch.call(request),
            Method::Check | Method::Health | Method::Reflection | Method::Unknown => self.check.call(request),
        }
    }
}

fn description() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(magistrate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
