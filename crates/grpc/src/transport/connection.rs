//! The life of one connection.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::TcpConnectInfo;
use tower_service::Service as _;
use tracing::debug;

use super::io::{NO_HELLO, Watched};
use super::limits::Limits;
use super::stats::{Ended, TransportStats};
use super::tls::Certificates;
use crate::server::Stack;

/// What connections are served with.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) stack: Stack,
    pub(crate) limits: Limits,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) stats: Arc<TransportStats>,
}

/// Serves a connection until it ends, is too old or idle, or everything stops.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, serving: Serving, stopping: watch::Receiver<bool>) {
    let _unsupported = stream.set_nodelay(true);
    let info = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(peer) };
    let hello_until = Instant::now() + serving.limits.hello;
    let stats = Arc::clone(&serving.stats);
    let ended = match &serving.certificates {
        None => calls(stream, info, hello_until, serving, stopping).await,
        Some(certificates) => {
            let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
            match tokio::time::timeout_at(hello_until, handshake).await {
                Ok(Ok(stream)) => calls(stream, info, hello_until, serving, stopping).await,
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
async fn calls<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    info: TcpConnectInfo,
    hello_until: Instant,
    serving: Serving,
    mut stopping: watch::Receiver<bool>,
) -> Option<Ended> {
    let Serving { stack, limits, .. } = serving;
    let under_way = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&under_way);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(info.clone());
        let call = UnderWay::begin(&counted);
        let mut stack = stack.clone();
        async move {
            let response = stack.call(request.map(tonic::body::Body::new)).await;
            drop(call);
            response
        }
    });
    let stream = Watched::new(stream, hello_until, limits.stall);
    let mut connection = pin!(builder(&limits).serve_connection(TokioIo::new(stream), service));
    let old_at = Instant::now() + spread(limits.age);
    let mut idle = pin!(idle(under_way, limits.idle));
    let mut why = None;
    // Told to go, a peer has its calls answered; then there is an end.
    tokio::select! {
        ended = connection.as_mut() => return ended.err().map(|error| broken(&error)),
        () = tokio::time::sleep_until(old_at) => why = Some(Ended::Age),
        () = idle.as_mut() => why = Some(Ended::Idle),
        _ = stopping.wait_for(|stop| *stop) => {}
    }
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

/// Completes once no call was under way for `limit`.
async fn idle(under_way: Arc<AtomicU32>, limit: Duration) {
    const LOOKS: u32 = 8;
    let mut quiet = 0;
    while quiet < LOOKS {
        tokio::time::sleep(limit / LOOKS).await;
        quiet = if is_quiet(&under_way) { quiet + 1 } else { 0 };
    }
}

/// The lowest bit: a call has begun since somebody looked.
const BEGUN: u32 = 1;
/// What a call under way counts.
const CALL: u32 = 2;

/// Whether no call is under way and none has begun since the last question.
fn is_quiet(under_way: &AtomicU32) -> bool {
    under_way.fetch_and(!BEGUN, Ordering::Relaxed) == 0
}

struct UnderWay(Arc<AtomicU32>);

impl UnderWay {
    fn begin(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(CALL, Ordering::Relaxed);
        count.fetch_or(BEGUN, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(CALL, Ordering::Relaxed);
    }
}

/// Between nine and eleven tenths: connections made at once do not end at once.
fn spread(age: Duration) -> Duration {
    let chance = u32::from(fastrand::u8(..));
    age * 9 / 10 + age * chance / (5 * 255)
}

/// Whether a peer never said hello, or broke something.
fn broken(error: &hyper::Error) -> Ended {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains(NO_HELLO) {
            return Ended::NoHello;
        }
        cause = error.source();
    }
    debug!(%error, "a connection broke");
    Ended::Broken
}
