//! The operations listener: `/livez`, `/readyz` and `/metrics` over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use magistrate_grpc::{Authenticate, Certificates, Denied, TlsFiles};
use magistrate_identity::KeyKind;
use magistrate_pdp::Readiness;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::os::SystemClock;
use crate::signing::Newest;
use crate::store::Store;
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
    guard: Guard,
}

/// What stands before whoever comes from elsewhere: TLS, and a key of those who operate or audit.
#[derive(Debug, Clone)]
struct Guard {
    certificates: Option<Arc<Certificates>>,
    authenticate: Authenticate<SystemClock>,
}

impl Ops {
    /// Binds every address.
    pub(crate) async fn bind(
        addresses: &[SocketAddr],
        tls: Option<&TlsFiles>,
        keys: &Keys<Store, SystemClock>,
    ) -> anyhow::Result<Self> {
        let certificates = tls.cloned().map(Certificates::http1).transpose()?.map(Arc::new);
        let guard = Guard { certificates, authenticate: keys.authenticate(true) };
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.with_context(|| {
                format!(
                    "cannot listen for operations on `{address}`; is another server running there? choose another \
                     address with --ops-listen, or `off`"
                )
            })?);
        }
        Ok(Self { listeners, guard })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves on every listener; dropping what is returned ends it.
    pub(crate) fn start(self, lifecycle: Lifecycle, scrapes: Scrapes, newest: Newest) -> JoinSet<()> {
        let router = router(lifecycle, scrapes, newest);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            let near = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
            let guard = (!near).then(|| self.guard.clone());
            tasks.spawn(accept(listener, router.clone(), guard, Arc::clone(&places)));
        }
        if let Some(certificates) = self.guard.certificates {
            tasks.spawn(crate::serve::watch_certificates(certificates, "operations"));
        }
        tasks
    }
}

async fn accept(listener: TcpListener, router: Router, guard: Option<Guard>, places: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // Over the limit the connection is closed at once: a probe that fails is better than one that hangs.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let (router, guard) = (router.clone(), guard.clone());
                connections.spawn(async move {
                    let _late = tokio::time::timeout(CONNECTION_LIFE, serve(stream, router, guard)).await;
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

async fn serve(stream: TcpStream, router: Router, guard: Option<Guard>) {
    let Some(Guard { certificates, authenticate }) = guard else {
        return speak(stream, router).await;
    };
    // INVARIANT: who comes from elsewhere is never answered in clear; without a certificate nobody listens there.
    let Some(certificates) = certificates else { return };
    let router = router.layer(axum::middleware::from_fn_with_state(authenticate, admit));
    let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
    match tokio::time::timeout(HEADERS_WITHIN, handshake).await {
        Ok(Ok(stream)) => speak(stream, router).await,
        Ok(Err(error)) => debug!(%error, "TLS could not be agreed on for operations"),
        Err(_) => debug!("a client for operations did not say hello in time"),
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await {
        debug!(%error, "a connection for operations ended badly");
    }
}

/// Lets in keys of those who operate or audit.
async fn admit(State(authenticate): State<Authenticate<SystemClock>>, request: Request, next: Next) -> Response {
    match authenticate.caller_for(request.headers(), &[KeyKind::Admin, KeyKind::Audit]) {
        Ok(_) => next.run(request).await,
        Err(Denied::Unauthenticated(_)) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, challenge, "present an API key of the kind admin or audit\n").into_response()
        }
        Err(Denied::NotPermittedToAsk) => {
            (StatusCode::FORBIDDEN, "the API key is not of the kind admin or audit\n").into_response()
        }
    }
}

fn router(lifecycle: Lifecycle, scrapes: Scrapes, newest: Newest) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz).with_state(lifecycle))
        .route("/metrics", get(metrics).with_state(scrapes))
        .route("/checkpoint", get(checkpoint).with_state(newest.clone()))
        .route("/checkpoint/log", get(log_checkpoint).with_state(newest))
}

/// The newest checkpoint of this node's stream, as a signed note.
async fn checkpoint(State(newest): State<Newest>) -> Response {
    told(newest.note())
}

/// The newest checkpoint of the global log that this node signed.
async fn log_checkpoint(State(newest): State<Newest>) -> Response {
    told(newest.log_note())
}

fn told(note: Option<String>) -> Response {
    match note {
        Some(note) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no checkpoint yet\n").into_response(),
    }
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
