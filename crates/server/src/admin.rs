//! The administration listener: the decision history, for auditors.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use magistrate_grpc::{AuditDoor, Authenticate, Certificates, Health, Limits, Observe, Services, Settings, serve};
use magistrate_pdp::Refusals;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::WORKER_STACK_BYTES;
use crate::config::Config;
use crate::keys::Keys;
use crate::os::{self, SystemClock};
use crate::store::Store;

/// People and their programs: a few, with questions that take longer than a Check.
const LIMITS: Limits = Limits {
    connections: 64,
    connections_per_address: 16,
    in_flight: 32,
    streams: 16,
    deadline: Duration::from_secs(30),
    longest_deadline: Duration::from_mins(2),
    ..Limits::USUAL
};

/// A listener that is bound; nothing is served yet.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    door: AuditDoor<Store, SystemClock>,
    authenticate: Authenticate<SystemClock>,
    settings: Settings,
}

impl Admin {
    /// Binds it, if there is to be one. `store` is where decisions are made from.
    pub(crate) async fn bind(
        config: &Config,
        store: &Store,
        keys: &Keys<Store, SystemClock>,
        certificates: Option<Arc<Certificates>>,
        refusals: &Arc<Refusals>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(admin) = &config.admin else { return Ok(None) };
        let history = match store {
            Store::Sqlite(_) => store.clone(),
            Store::Postgres(_) => Box::pin(Store::of(&admin.history)).await.context("as the auditor")?,
        };
        let listener = TcpListener::bind(admin.listen).await.with_context(|| {
            format!(
                "cannot listen for administration on `{}`; is another server running there? choose another address \
                 with --admin-listen, or `off`",
                admin.listen
            )
        })?;
        let required = config.transport.require_key || !admin.listen.ip().is_loopback();
        let stats = Arc::default();
        let settings = Settings {
            workers: 1,
            stack_bytes: WORKER_STACK_BYTES,
            limits: LIMITS,
            certificates,
            stats,
            refusals: Arc::clone(refusals),
        };
        let door = AuditDoor::new(history, SystemClock, os::random, config.default_namespace.clone());
        Ok(Some(Self { listener, door, authenticate: keys.authenticate(required), settings }))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }
}

/// Serves the listener, if there is one, until told to stop.
pub(crate) fn administer<O: Observe>(
    admin: Option<Admin>,
    health: Health,
    observer: O,
    stop: oneshot::Receiver<()>,
) -> impl Future<Output = Result<(), magistrate_grpc::ServeError>> {
    let stopped = async { drop(stop.await) };
    async move {
        let Some(Admin { listener, door, authenticate, settings }) = admin else {
            stopped.await;
            return Ok(());
        };
        serve(listener, Services::audit(door), health, observer, authenticate, settings, stopped).await
    }
}
