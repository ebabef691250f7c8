//! The operations listener: `/livez`, `/readyz` and `/metrics` over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use magistrate_pdp::Readiness;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::lifecycle::Lifecycle;
use crate::telemetry::Scrapes;

/// Connections at a time: probes and a few scrapers.
const CONNECTIONS: usize = 64;
/// A client that takes longer over its headers is cut off.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// A connection lives no longer, whatever it does.
const CONNECTION_LIFE: Duration = Duration::from_mins(2);
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bound listeners; nothing is served yet.
#[derive(Debug)]
pub(crate) struct Ops {
    listeners: Vec<TcpListener>,
}

impl Ops {
    /// Binds every address.
    pub(crate) async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            if !address.ip().is_loopback() {
                bail!("cannot listen for operations on `{address}`: only loopback addresses are served");
            }
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.with_context(|| {
                format!(
                    "cannot listen for operations on `{address}`; is another server running there? choose another \
                     address with --ops-listen, or `off`"
                )
            })?);
        }
        Ok(Self { listeners })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves on every listener; dropping what is returned ends it.
    pub(crate) fn start(self, lifecycle: Lifecycle, scrapes: Scrapes) -> JoinSet<()> {
        let router = router(lifecycle, scrapes);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(accept(listener, router.clone(), Arc::clone(&places)));
        }
        tasks
    }
}

async fn accept(listener: TcpListener, router: Router, places: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // Over the limit the connection is closed at once: a probe that fails is better than one that hangs.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let router = router.clone();
                connections.spawn(async move {
                    let _late = tokio::time::timeout(CONNECTION_LIFE, serve(stream, router)).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection for operations; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await {
        debug!(%error, "a connection for operations ended badly");
    }
}

fn router(lifecycle: Lifecycle, scrapes: Scrapes) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz).with_state(lifecycle))
        .route("/metrics", get(metrics).with_state(scrapes))
}

async fn readyz(State(lifecycle): State<Lifecycle>, headers: HeaderMap) -> Response {
    let (ready, sentences) = match lifecycle.readiness() {
        Readiness::Ready { remarks } => (true, remarks),
        Readiness::NotReady { reasons } => (false, reasons),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wants_json =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|it| it.contains("json"));
    if wants_json {
        let body = json!({ "ready": ready, "says": sentences }).to_string();
        return (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let word = if ready { "ready" } else { "not ready" };
    let lines = std::iter::once(word.to_owned()).chain(sentences).map(|line| line + "\n");
    (status, lines.collect::<String>()).into_response()
}

async fn metrics(State(scrapes): State<Scrapes>) -> Response {
    match scrapes.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Scrapes::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            warn!(%error, "cannot tell the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
