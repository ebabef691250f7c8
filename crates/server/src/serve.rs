//! `serve`: build everything, then start everything; soft stop, drain, hard stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use magistrate_grpc::{Certificates, Door, Health, Settings};
use magistrate_ledger::{StreamId, Writer};
use magistrate_pdp::{Clock as _, FollowError, Follower, Pdp, Polled, Readiness, Recorder};
use magistrate_storage_postgres::PostgresStore;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::WORKER_STACK_BYTES;
use crate::cli::Global;
use crate::config::{Config, Storage};
use crate::exit::Exit;
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::notify;
use crate::ops::Ops;
use crate::os::{self, SystemClock};
use crate::reload::Reload;
use crate::store::{Store, StoreSink};
use crate::telemetry::{Polls, Telemetry, Timed, start_log};
use crate::upkeep::{self, Inspector, Node};

/// How often the policy store is asked for news, and readiness is looked at.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How often the files of certificate and key are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(2);
/// How long calls in flight may take once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything a server is made of; nothing runs yet.
#[derive(Debug)]
pub(crate) struct Server {
    pdp: Arc<Pdp>,
    follower: Follower<Store>,
    recorder: Recorder,
    writer: Writer<Timed<StoreSink>>,
    listener: TcpListener,
    keys: Keys<Store, SystemClock>,
    require_key: bool,
    transport: Settings,
    ops: Ops,
    drain_delay: Duration,
    telemetry: Telemetry,
    default_namespace: String,
    /// The database others share, and what this node does for it.
    shared: Option<Shared>,
}

/// A database that others share, and which node of it this is.
#[derive(Debug)]
struct Shared {
    store: PostgresStore,
    node: Node,
    inspector: Inspector,
}

pub(crate) async fn run(config: &Config, global: &Global) -> anyhow::Result<Exit> {
    let log = start_log(&config.telemetry.log, config.telemetry.log_format);
    let reload = Reload::new(global.clone(), log)?;
    let server = Server::build(config).await?;
    let ops: Vec<String> = server.ops.addresses().iter().map(ToString::to_string).collect();
    info!(
        address = %server.listener.local_addr()?,
        ops = ops.join(","),
        store = %config.storage,
        "serving"
    );
    tokio::select! {
        ended = server.run(interrupted()) => ended?,
        () = reload.run() => {}
    }
    info!("stopped; every answered decision is recorded");
    Ok(Exit::Ok)
}

impl Server {
    /// Opens the store, reads the policies and binds the listener.
    pub(crate) async fn build(config: &Config) -> anyhow::Result<Self> {
        config.check_reach()?;
        let certificates = config.transport.tls.clone().map(Certificates::http2).transpose()?.map(Arc::new);
        warn_of_weaknesses(&config.storage);
        let telemetry = Telemetry::start(&config.telemetry, &config.node)?;
        let store = Store::open(config).await?;
        let shared = store.postgres().cloned();
        let keys = Keys::load(store.clone(), SystemClock, config.settings.staleness.hard).await?;
        let sink = store.sink().await.context("cannot open the decision history for writing")?;
        let (pdp, mut follower, recorder) = Pdp::new(store, config.settings);
        match follower.poll(&SystemClock).await {
            Ok(Polled::Empty) => {
                warn!("no policy set is applied yet; nothing can be decided until `magistrate policy apply`");
            }
            Ok(Polled::Advanced(revision) | Polled::Unchanged(revision)) => info!(%revision, "policies loaded"),
            Err(error) => return Err(anyhow::Error::new(error).context("cannot load the policies")),
        }
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| {
            format!(
                "cannot listen on `{}`; is another server running there? choose another address with --listen",
                config.listen
            )
        })?;
        let ops = Ops::bind(&config.ops.listen, config.transport.tls.as_ref(), &keys).await?;
        let (pdp, stream) = (Arc::new(pdp), os::stream_id());
        let shared = match shared {
            Some(store) => Some(Shared::join(store, &pdp, config.node.clone(), stream).await),
            None => None,
        };
        telemetry.watch(&pdp);
        let transport = Settings {
            workers: config.transport.workers,
            stack_bytes: WORKER_STACK_BYTES,
            limits: config.transport.limits,
            certificates,
            stats: Arc::default(),
        };
        telemetry.watch_callers(keys.stats());
        telemetry.watch_transport(&transport.stats, transport.certificates.as_ref());
        let require_key = config.transport.require_key;
        let writer = Writer::new(telemetry.timed(sink), stream, os::random);
        let default_namespace = config.default_namespace.clone();
        let drain_delay = config.ops.drain_delay;
        Ok(Self {
            pdp,
            follower,
            recorder,
            writer,
            listener,
            keys,
            require_key,
            transport,
            ops,
            drain_delay,
            telemetry,
            default_namespace,
            shared,
        })
    }

    /// The address it is bound to.
    pub(crate) fn address(&self) -> anyhow::Result<std::net::SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop` completes, then drains. When this returns, every decision that was answered
    /// is durable.
    #[expect(clippy::disallowed_methods, reason = "tasks are spawned here, and each handle is waited for here")]
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self {
            pdp,
            follower,
            recorder,
            writer,
            listener,
            keys,
            require_key,
            transport,
            ops,
            drain_delay,
            telemetry,
            default_namespace,
            shared,
        } = self;
        let lifecycle = Lifecycle::of(&pdp);
        let upkeep = shared.map(|shared| upkeep::start(&shared.store, &pdp, shared.node, shared.inspector));
        let mut upkeep = upkeep.unwrap_or_default();
        let mut follower_ended = spawn_follower(follower, telemetry.polls())?;
        let mut recording = tokio::spawn(recorder.run(writer));
        let health = Health::not_ready().await;
        let mut watching = tokio::spawn(watch_readiness(lifecycle.clone(), health.clone()));
        let certificates = transport.certificates.clone();
        let mut shown = tokio::spawn(async {
            match certificates {
                Some(certificates) => watch_certificates(certificates).await,
                None => std::future::pending().await,
            }
        });
        let mut operating = ops.start(lifecycle.clone(), telemetry.scrapes());
        let stop = leave(stop, lifecycle, health.clone(), drain_delay);
        let authenticate = keys.authenticate(require_key);
        let mut known = tokio::spawn(keys.run());
        let door = Door::new(pdp, SystemClock, default_namespace);
        let (stopping, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let mut serving = Box::pin(magistrate_grpc::serve(
            listener,
            door,
            health,
            telemetry.calls(),
            authenticate,
            transport,
            stopped,
        ));
        let outcome = tokio::select! {
            ended = &mut serving => ended.context("the gRPC door failed"),
            _ = &mut follower_ended => Err(anyhow!("the follower of the policy store has crashed")),
            _ = &mut recording => Err(anyhow!("the recorder has crashed")),
            _ = &mut watching => Err(anyhow!("the watch over readiness has crashed")),
            _ = &mut known => Err(anyhow!("the watch over keys has crashed")),
            _ = &mut shown => Err(anyhow!("the watch over certificates has crashed")),
            Some(_) = operating.join_next() => Err(anyhow!("the operations listener has crashed")),
            Some(_) = upkeep.join_next() => Err(anyhow!("the upkeep of the shared database has crashed")),
            () = stop => {
                let _ended = stopping.send(());
                drain(&mut serving).await
            }
        };
        drop(serving);
        // Whatever holds the decision point must go before the recorder and the follower can end.
        upkeep.shutdown().await;
        known.abort();
        shown.abort();
        if !watching.is_finished() {
            watching.abort();
            let _aborted = watching.await;
        }
        settle(recording, follower_ended).await;
        operating.shutdown().await;
        telemetry.stop().await;
        outcome
    }
}

impl Shared {
    /// Makes today's partitions, and holds the decision point unless the database protects the history.
    async fn join(store: PostgresStore, pdp: &Arc<Pdp>, name: String, stream: StreamId) -> Self {
        if let Err(error) = store.prepare_days().await {
            warn!(%error, "cannot make partitions ahead of time");
        }
        let mut inspector = Inspector::new(&store, pdp);
        inspector.inspect().await;
        Self { store, node: Node { name, stream, started_at: SystemClock.now() }, inspector }
    }
}

fn warn_of_weaknesses(storage: &Storage) {
    if let Storage::Postgres(database) = storage {
        database.weaknesses().iter().for_each(|weakness| warn!("{weakness}"));
    }
}

/// Completes once it is time to stop: when told to, and after balancers had time to look elsewhere.
async fn leave(stop: impl Future<Output = ()>, lifecycle: Lifecycle, health: Health, delay: Duration) {
    stop.await;
    notify::stopping();
    lifecycle.drain();
    health.set(false).await;
    if !delay.is_zero() {
        info!(?delay, "told to stop; going on for a while, and saying not ready; told again, it stops at once");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = interrupted() => {}
        }
    }
}

/// Waits for calls in flight, but not for clients that never hang up.
async fn drain(serving: impl Future<Output = Result<(), magistrate_grpc::ServeError>>) -> anyhow::Result<()> {
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(ended) => ended.context("the gRPC door failed while it was closing"),
        Err(_) => {
            warn!("some connections did not close within {DRAIN:?}; closing them");
            Ok(())
        }
    }
}

/// Waits until the recorder and the follower have ended. A connection that had to be cut off may still
/// hold the decision point; nothing it is answered is lost, since answers follow their records.
async fn settle(recording: JoinHandle<()>, follower_ended: oneshot::Receiver<()>) {
    let both = async {
        if !recording.is_finished() {
            let _joined = recording.await;
        }
        if !follower_ended.is_terminated() {
            let _ended = follower_ended.await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(1), both).await.is_err() {
        warn!("background tasks were cut off");
    }
}

/// Runs the follower on a thread of its own, off the serving threads; the receiver completes when it ends.
fn spawn_follower(follower: Follower<Store>, polls: Polls) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the follower")?;
    let follow = move || {
        let mut told = None;
        runtime.block_on(follower.run(&SystemClock, POLL_EVERY, |outcome| {
            polls.count(outcome);
            tell(outcome, &mut told);
        }));
        drop(ended);
    };
    std::thread::Builder::new()
        .name("follower".into())
        .stack_size(WORKER_STACK_BYTES)
        .spawn(follow)
        .context("cannot start the follower")?;
    Ok(end)
}

/// Logs a poll that changed something; the same failure again is not news.
fn tell(outcome: &Result<Polled, FollowError>, told: &mut Option<String>) {
    match outcome {
        Ok(Polled::Advanced(revision)) => info!(%revision, "serving a new revision"),
        Ok(Polled::Unchanged(_) | Polled::Empty) if told.is_some() => info!("the policy store answers again"),
        Ok(Polled::Unchanged(_) | Polled::Empty) => {}
        Err(error) if told.as_deref() == Some(error.to_string().as_str()) => {}
        Err(error) => {
            warn!(%error, "cannot follow the policy store; serving what was loaded before, as long as it may");
        }
    }
    *told = outcome.as_ref().err().map(ToString::to_string);
}

/// Reads certificate and key again when their files change. New connections are shown the new one, and old ones live on.
pub(crate) async fn watch_certificates(certificates: Arc<Certificates>) {
    loop {
        tokio::time::sleep(CERTIFICATES_EVERY).await;
        match certificates.refresh() {
            Ok(false) => {}
            Ok(true) => info!(not_after = %certificates.not_after(), "a new certificate is shown"),
            Err(error) => warn!(%error, "the new certificate cannot be used; the old one is shown on"),
        }
    }
}

async fn watch_readiness(lifecycle: Lifecycle, health: Health) {
    let mut known = None;
    let mut watchdog = notify::watchdog().map(tokio::time::interval);
    notify::ready();
    loop {
        let readiness = lifecycle.readiness();
        let ready = matches!(readiness, Readiness::Ready { .. });
        health.set(ready).await;
        if known.as_ref() != Some(&readiness) {
            tell_readiness(&readiness, known.is_none_or(|known| matches!(known, Readiness::Ready { .. }) != ready));
        }
        known = Some(readiness);
        if let Some(watchdog) = &mut watchdog {
            tokio::select! {
                _ = watchdog.tick() => notify::alive(),
                () = tokio::time::sleep(POLL_EVERY) => {}
            }
        } else {
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

/// Tells systemd what is new, and the log only when it turned.
fn tell_readiness(readiness: &Readiness, turned: bool) {
    match readiness {
        Readiness::Ready { remarks } if remarks.is_empty() => notify::status("ready"),
        Readiness::Ready { remarks } => notify::status(&format!("ready; {}", remarks.join("; "))),
        Readiness::NotReady { reasons } => notify::status(&format!("not ready: {}", reasons.join("; "))),
    }
    match readiness {
        Readiness::Ready { .. } if turned => info!("ready"),
        Readiness::NotReady { reasons } if turned => warn!(reasons = reasons.join("; "), "not ready"),
        Readiness::Ready { .. } | Readiness::NotReady { .. } => {}
    }
}

/// Completes when the process is told to stop.
pub(crate) async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
