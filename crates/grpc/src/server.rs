//! Serving the door on a listener.

use std::future::Future;
use std::io;
use std::time::Duration;

use magistrate_pdp::Clock;
use magistrate_proto::v1::authorization_service_server::AuthorizationServiceServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::health::Health;
use crate::observe::{Observe, ObserveLayer};
use crate::service::Door;

/// Bytes of one request: a batch of 1,000 items of 4 KiB.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// Calls in flight on one connection.
const MAX_STREAMS: u32 = 200;
/// Bytes of a request's headers.
const MAX_HEADERS: u32 = 16 * 1024;
/// Calls a client may cancel before they were accepted (CVE-2023-44487) and errors it may provoke.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 1_024;
/// How often an idle peer is asked whether it lives, and how long it may take to say so.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted: out of file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why serving ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor set does not describe the contract.
    #[error("cannot describe the service to reflection clients: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport gave up.
    #[error("cannot serve gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the door, its health and its description on a bound listener until `shutdown` completes.
///
/// Then health turns to not serving, no connection is accepted any more, calls in flight are answered,
/// and this returns once every connection is closed. A client that watches health or holds a reflection
/// stream open delays that without end: whoever calls this bounds the wait and drops the future.
pub async fn serve<C: Clock, O: Observe>(
    listener: TcpListener,
    door: Door<C>,
    health: Health,
    observer: O,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let service = AuthorizationServiceServer::new(door).max_decoding_message_size(MAX_REQUEST);
    let stop = async {
        shutdown.await;
        health.set(false).await;
    };
    limited()
        .layer(ObserveLayer(observer))
        .add_service(service)
        .add_service(health.service())
        .add_service(description().build_v1()?)
        .add_service(description().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming(listener), stop)
        .await?;
    Ok(())
}

/// A transport with limits; those tonic leaves open are unlimited.
fn limited() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
}

fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE));
    incoming.then(|accepted| async {
        if let Err(error) = &accepted {
            tracing::warn!(%error, "cannot accept a connection; pausing");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        accepted
    })
}

fn description() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(magistrate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
