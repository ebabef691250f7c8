//! The life of one connection.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use tracing::debug;

use super::answer::Answer;
use super::io::{NO_HELLO, STALLED, Watched};
use super::limits::Limits;
use super::line::{Line, UnderWay};
use super::request::Arriving;
use super::room::{Room, Share};
use super::stats::{Ended, TransportStats};
use super::tls::Certificates;
use crate::call::{Inbound, Known, Outbound};
use crate::observe::Method;

/// Everything around a call; each connection has a clone.
pub(crate) trait Stack:
    Service<
        http::Request<Inbound<Arriving<Incoming>>>,
        Response = http::Response<Outbound>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Stack for S where
    S: Service<
            http::Request<Inbound<Arriving<Incoming>>>,
            Response = http::Response<Outbound>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// What connections are served with.
#[derive(Clone)]
pub(crate) struct Serving<K> {
    pub(crate) stack: K,
    pub(crate) limits: Limits,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) room: Arc<Room>,
    pub(crate) stats: Arc<TransportStats>,
}

/// Serves a connection until it ends, is too old or idle, or everything stops.
pub(super) async fn serve<K: Stack>(
    stream: TcpStream,
    peer: SocketAddr,
    serving: Serving<K>,
    stopping: watch::Receiver<bool>,
) {
    let _unsupported = stream.set_nodelay(true);
    let hello_until = Instant::now() + serving.limits.hello;
    let stats = Arc::clone(&serving.stats);
    let ended = match &serving.certificates {
        None => calls(stream, peer.ip(), hello_until, serving, stopping).await,
        Some(certificates) => {
            let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
            match tokio::time::timeout_at(hello_until, handshake).await {
                Ok(Ok(stream)) => calls(stream, peer.ip(), hello_until, serving, stopping).await,
                Ok(Err(error)) => {
                    debug!(%error, "TLS could not be agreed on");
                    Some(Ended::Handshake)
                }
                Err(_) => Some(Ended::NoHello),
            }
        }
    };
    if let Some(why) = ended {
        stats.end(why);
        debug!(why = why.name(), "a connection ended");
    }
}

/// Serves the calls of a connection; why it was ended, if not by its peer.
async fn calls<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, K: Stack>(
    stream: S,
    address: IpAddr,
    hello_until: Instant,
    serving: Serving<K>,
    mut stopping: watch::Receiver<bool>,
) -> Option<Ended> {
    let Serving { stack, limits, room, stats, .. } = serving;
    let line = Line::new(room, stats);
    let calls = Arc::clone(&line);
    // One call begins at a time: each layer's state is its own, and none has to be ready for the next.
    let stack = RefCell::new(stack);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let call = UnderWay::begin(&calls);
        let method = Method::of_path(request.uri().path());
        // Held until there is an answer: what a request is parsed to occupies as much and more.
        let share = Arc::new(Share::new(&calls.room));
        let arriving = |body| Inbound {
            known: Known::new(method, Some(address)),
            body: Arriving::new(body, method, &limits, Arc::clone(&share)),
        };
        let answered = stack.borrow_mut().call(request.map(arriving));
        async move {
            let response = answered.await;
            drop(share);
            response.map(|response| response.map(|outbound| Answer::new(outbound.reply, method, call)))
        }
    });
    let stream = Watched::new(stream, hello_until, limits.stall);
    let mut connection = pin!(builder(&limits).serve_connection(TokioIo::new(stream), service));
    let old_at = Instant::now() + spread(limits.age);
    let mut why = None;
    // Told to go, a peer has its calls answered; then there is an end.
    tokio::select! {
        ended = connection.as_mut() => return ended.err().map(|error| broken(&error)),
        () = tokio::time::sleep_until(old_at) => why = Some(Ended::Age),
        () = line.idle(limits.idle) => why = Some(Ended::Idle),
        () = line.stalled(limits.stall) => return Some(Ended::Stalled),
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    line.leave();
    connection.as_mut().graceful_shutdown();
    match tokio::time::timeout(limits.age_grace, connection).await {
        Ok(Ok(())) | Err(_) => why,
        Ok(Err(error)) => why.or_else(|| Some(broken(&error))),
    }
}

fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .max_frame_size(limits.frame)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.error_resets)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(limits.send_buffer)
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive_answer);
    builder
}

/// Between nine and eleven tenths: connections made at once do not end at once.
fn spread(age: Duration) -> Duration {
    let chance = u32::from(fastrand::u8(..));
    age * 9 / 10 + age * chance / (5 * 255)
}

/// Whether a peer never said hello, took nothing, or broke something.
fn broken(error: &hyper::Error) -> Ended {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let why = innermost.to_string();
    debug!(why, "a connection broke");
    match () {
        () if why.contains(NO_HELLO) => Ended::NoHello,
        () if why.contains(STALLED) => Ended::Stalled,
        () => Ended::Broken,
    }
}
