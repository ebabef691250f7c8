//! The door as a whole: its services, the layers around them, and the workers that serve them.

use std::future::Future;
use std::sync::Arc;

use magistrate_pdp::{Capacity, Clock, Refusals};
use magistrate_proto::v1::audit_service_server::AuditServiceServer;
use magistrate_proto::v1::authorization_service_server::AuthorizationServiceServer;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::ServiceBuilder;

use crate::audit::{Archive, AuditDoor};
use crate::authenticate::{Authenticate, AuthenticateLayer};
use crate::deadline::DeadlineLayer;
use crate::health::Health;
use crate::observe::{Observe, ObserveLayer};
use crate::refuse::TellLayer;
use crate::routing::Routing;
use crate::service::Door;
use crate::shed::ShedLayer;
use crate::transport::{self, Certificates, Limits, Plan, Room, Serving, Stack, TransportStats, Workers};

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
    /// Where refused calls are told.
    pub refusals: Arc<Refusals>,
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

/// What a listener serves, besides its health and its description.
#[derive(Debug)]
pub struct Services(Routing);

impl Services {
    /// Decisions.
    pub fn authorization<C: Clock>(door: Door<C>, limits: &Limits) -> Self {
        let door = Arc::new(door);
        // What arrives is measured by method before it gets here.
        let service = AuthorizationServiceServer::from_arc(Arc::clone(&door));
        let routes = Routes::new(service.max_decoding_message_size(limits.batch_bytes));
        Self(Routing { check: Some(door), routes })
    }

    /// The decision history.
    pub fn audit<S: Archive, C: Clock + Clone>(door: AuditDoor<S, C>) -> Self {
        Self(Routing { check: None, routes: Routes::new(AuditServiceServer::new(door)) })
    }
}

/// Serves a door, its health and its description on a bound listener until `shutdown` completes.
///
/// Then health turns to not serving, no connection is accepted any more, calls in flight are answered, streams are
/// ended, and this returns once every connection is closed. A peer that does not take its answers delays that:
/// whoever calls this bounds the wait, and cuts off what is left by dropping the future.
pub async fn serve<C: Clock + Clone, O: Observe>(
    listener: TcpListener,
    services: Services,
    health: Health,
    observer: O,
    authenticate: Authenticate<C>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Settings { workers, stack_bytes, limits, certificates, stats, refusals } = settings;
    let stack = stack(services, &health, observer, authenticate, refusals, &limits)?;
    let room = Room::new(limits.kept_bytes);
    let serving = Serving { stack, limits, certificates, room, stats: Arc::clone(&stats) };
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
    Services(Routing { check, routes }): Services,
    health: &Health,
    observer: O,
    authenticate: Authenticate<C>,
    refusals: Arc<Refusals>,
    limits: &Limits,
) -> Result<impl Stack, ServeError> {
    let routes = routes
        .add_service(health.service())
        .add_service(description().build_v1()?)
        .add_service(description().build_v1alpha()?)
        .prepare();
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer(observer))
        .layer(TellLayer::new(refusals, authenticate.clock().clone()))
        .layer(ShedLayer::new(Capacity::new(limits.in_flight)))
        .layer(AuthenticateLayer(authenticate))
        .layer(DeadlineLayer::new(limits));
    Ok(layers.service(Routing { check, routes }))
}

fn description() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(magistrate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
