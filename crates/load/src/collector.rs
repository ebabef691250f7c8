//! A receiver of OTLP that takes everything and keeps nothing: without one, what telemetry costs would be what failing
//! to send it costs.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A collector on a thread of its own, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Collector {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
        listener.set_nonblocking(true)?;
        let (address, received) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counted = Arc::clone(&received);
        let serve = move || runtime.block_on(serve(listener, counted));
        let _serving = std::thread::Builder::new().name("collector".into()).spawn(serve)?;
        Ok(Self { address, received })
    }

    /// The endpoint to configure.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many exports came in.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

async fn serve(listener: std::net::TcpListener, received: Arc<AtomicU64>) -> anyhow::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let received = Arc::clone(&received);
        let service = service_fn(move |request| take(request, Arc::clone(&received)));
        connections.spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

async fn take(
    request: Request<Incoming>,
    received: Arc<AtomicU64>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    received.fetch_add(1, Ordering::Relaxed);
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    // An empty message: everything was accepted.
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
