//! `serve`: build everything, then start everything; soft stop, drain, hard stop.

mod ending;
mod follow;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use magistrate_grpc::{Certificates, Door, Health, Services, Settings};
use magistrate_journal::{Keeper, Sealing, Shipper};
use magistrate_ledger::StreamId;
use magistrate_pdp::{Clock as _, Comparer, Differences, FollowError, Follower, Pdp, Polled, Refusals};
use magistrate_storage_postgres::PostgresStore;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{info, warn};

pub(crate) use ending::interrupted;
pub(crate) use watch::{refresh, watch_certificates};

use ending::{DRAIN, LAST_REFUSALS, drain, join, leave, settle, until_told};
use follow::spawn_follower;
use watch::{tell_difference, watch_readiness};

use crate::WORKER_STACK_BYTES;
use crate::admin::{Admin, administer};
use crate::cli::Global;
use crate::config::{Config, Storage};
use crate::exit::Exit;
use crate::journal::{Journal, Watch, ship};
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::ops::Ops;
use crate::os::{self, SystemClock};
use crate::reload::Reload;
use crate::sequencing::{self, LogWatch, Sequencing};
use crate::signing::{self, Newest};
use crate::store::{Store, StoreSink};
use crate::telemetry::{Telemetry, Timed, start_log};
use crate::telling::Telling;
use crate::upkeep::{self, Inspector, Node};

/// How often the policy store is asked for news, and readiness is looked at.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// Everything a server is made of; nothing runs yet.
#[derive(Debug)]
pub(crate) struct Server {
    pdp: Arc<Pdp>,
    follower: Follower<Store>,
    comparer: Comparer,
    keeper: Keeper,
    shipper: Shipper<Timed<StoreSink>>,
    journal: Watch,
    sequencing: Sequencing,
    telling: Telling,
    differences: Arc<Differences>,
    newest: Newest,
    listener: TcpListener,
    keys: Keys<Store, SystemClock>,
    require_key: bool,
    transport: Settings,
    admin: Option<Admin>,
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
    let server = Box::pin(Server::build(config)).await?;
    let stop = interrupted();
    let ops: Vec<String> = server.ops.addresses().iter().map(ToString::to_string).collect();
    info!(
        address = %server.listener.local_addr()?,
        ops = ops.join(","),
        admin = server.admin.as_ref().and_then(Admin::address).map(|it| it.to_string()),
        store = %config.storage,
        "serving"
    );
    let certificates = server.transport.certificates.clone();
    tokio::select! {
        ended = server.run(stop) => ended?,
        () = reload.run(certificates) => {}
    }
    info!("stopped; every answered decision is recorded");
    Ok(Exit::Ok)
}

fn tell_loaded(loaded: Result<Polled, FollowError>) -> anyhow::Result<()> {
    match loaded.context("cannot load the policies")? {
        Polled::Empty => {
            warn!("no policy set is applied yet; nothing can be decided until `magistrate policy apply`");
        }
        Polled::Advanced(revision) | Polled::Unchanged(revision) => info!(%revision, "policies loaded"),
    }
    Ok(())
}

async fn bind(listen: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on `{listen}`; is another server running there? choose another address with --listen")
    })
}

impl Server {
    /// Opens the store, reads the policies and binds the listener.
    pub(crate) async fn build(config: &Config) -> anyhow::Result<Self> {
        config.check_reach()?;
        warn_of_few_files(config.transport.limits.connections);
        let certificates = config.transport.tls.clone().map(Certificates::http2).transpose()?.map(Arc::new);
        warn_of_weaknesses(&config.storage);
        let telemetry = Telemetry::start(&config.telemetry, &config.node)?;
        let store = Store::open(config).await?;
        let shared = store.postgres().cloned();
        let keys = Keys::load(store.clone(), SystemClock, config.settings.staleness.hard).await?;
        let sink = store.sink().await.context("cannot open the decision history for writing")?;
        let stream = os::stream_id();
        let signer = signing::signer(&config.signing_key, &config.node)?;
        let Journal { writer, keeper, unshipped, watch: journal } =
            Journal::open(&config.journal, stream, config.settings.class, config.private.clone())
                .await
                .context("cannot open the journal")?;
        let refusals = Arc::new(Refusals::new(config.refusals));
        let admin = Box::pin(Admin::bind(config, &store, &keys, certificates.clone(), &refusals)).await?;
        let log_store = store.clone();
        let (pdp, mut follower, comparer) = Pdp::new(store, config.settings, Arc::clone(&writer));
        let pdp = Arc::new(pdp);
        // What others share is looked at while policies and data come.
        let joined = Shared::join(shared, &pdp, config.node.clone(), stream);
        let (loaded, shared) = tokio::join!(follower.poll(&SystemClock), joined);
        tell_loaded(loaded)?;
        let listener = bind(config.listen).await?;
        let ops = Ops::bind(&config.ops.listen, config.transport.tls.as_ref(), &keys).await?;
        telemetry.watch(&pdp);
        telemetry.watch_journal(&journal);
        let transport = Settings {
            workers: config.transport.workers,
            stack_bytes: WORKER_STACK_BYTES,
            limits: config.transport.limits,
            certificates,
            stats: Arc::default(),
            refusals: Arc::clone(&refusals),
        };
        telemetry.watch_callers(keys.stats());
        telemetry.watch_transport(&transport.stats, transport.certificates.as_ref());
        let require_key = config.transport.require_key;
        let newest = Newest::default();
        let watch = LogWatch::default();
        telemetry.watch_log(&watch);
        telemetry.watch_refusals(&refusals);
        let differences = Arc::new(Differences::new(config.private.clone()));
        let telling = Telling::new(log_store.clone(), refusals, Arc::clone(&differences), &config.node)?;
        let sequencing = Sequencing {
            sink: log_store.sink().await.context("cannot open the global log for writing")?,
            store: log_store,
            signer: signer.clone(),
            node: config.node.clone(),
            holder: stream,
            export: newest.export(config.checkpoints.clone()),
            checkpoints: config.checkpoints.clone(),
            watch,
        };
        let sealing = Sealing {
            writer,
            signer,
            node: config.node.clone(),
            now: Arc::new(|| SystemClock.now()),
            export: newest.export(config.checkpoints.clone()),
        };
        let shipper = Shipper::new(telemetry.timed(sink), unshipped, sealing);
        let default_namespace = config.default_namespace.clone();
        let drain_delay = config.ops.drain_delay;
        Ok(Self {
            pdp,
            follower,
            comparer,
            keeper,
            shipper,
            journal,
            sequencing,
            telling,
            differences,
            newest,
            listener,
            keys,
            require_key,
            transport,
            admin,
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
            comparer,
            keeper,
            shipper,
            journal,
            sequencing,
            telling,
            differences,
            newest,
            listener,
            keys,
            require_key,
            transport,
            admin,
            ops,
            drain_delay,
            telemetry,
            default_namespace,
            shared,
        } = self;
        let lifecycle = Lifecycle::of(&pdp, journal);
        let upkeep = shared.map(|shared| upkeep::start(&shared.store, &pdp, shared.node, shared.inspector));
        let mut upkeep = upkeep.unwrap_or_default();
        let mut follower_ended = spawn_follower(follower, telemetry.polls())?;
        let (end_shipping, mut shipping) = until_told(|stop| ship(shipper, stop));
        let (end_telling, mut telling) = until_told(|stop| telling.run(stop));
        let (end_sequencing, mut sequencing) = until_told(|stop| sequencing::run(sequencing, stop));
        let mut comparing = tokio::spawn(comparer.run(move |difference| tell_difference(difference, &differences)));
        let health = Health::not_ready().await;
        let mut watching = tokio::spawn(watch_readiness(lifecycle.clone(), health.clone()));
        let certificates = transport.certificates.clone();
        let mut shown = tokio::spawn(async {
            match certificates {
                Some(certificates) => watch_certificates(certificates, "callers").await,
                None => std::future::pending().await,
            }
        });
        let mut operating = ops.start(lifecycle.clone(), telemetry.scrapes(), newest);
        let stop = leave(stop, lifecycle, health.clone(), drain_delay);
        let authenticate = keys.authenticate(require_key);
        let mut known = tokio::spawn(keys.run());
        let door = Door::new(pdp, SystemClock, default_namespace);
        let (stopping, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let (stop_administering, told) = oneshot::channel();
        let mut administering = Box::pin(administer(admin, health.clone(), telemetry.calls(), told));
        let mut serving = Box::pin(magistrate_grpc::serve(
            listener,
            Services::authorization(door, &transport.limits),
            health,
            telemetry.calls(),
            authenticate,
            transport,
            stopped,
        ));
        let outcome = tokio::select! {
            ended = &mut serving => ended.context("the gRPC door failed"),
            ended = &mut administering => ended.context("the administration listener failed"),
            _ = &mut follower_ended => Err(anyhow!("the follower of the policy store has crashed")),
            _ = &mut shipping => Err(anyhow!("the shipping of decisions has crashed")),
            _ = &mut telling => Err(anyhow!("the recording of refusals and differences has crashed")),
            _ = &mut sequencing => Err(anyhow!("the sequencing of the global log has crashed")),
            why = keeper.failed() => {
                // Nothing is acknowledged any more, and whoever waits for that is to learn why.
                let _ended = (stopping.send(()), stop_administering.send(()));
                let _drained = drain(&mut serving, &mut administering, LAST_REFUSALS).await;
                Err(anyhow!("{why}"))
            }
            _ = &mut comparing => Err(anyhow!("the comparing of decisions has crashed")),
            _ = &mut watching => Err(anyhow!("the watch over readiness has crashed")),
            _ = &mut known => Err(anyhow!("the watch over keys has crashed")),
            _ = &mut shown => Err(anyhow!("the watch over certificates has crashed")),
            Some(_) = operating.join_next() => Err(anyhow!("the operations listener has crashed")),
            Some(_) = upkeep.join_next() => Err(anyhow!("the upkeep of the shared database has crashed")),
            () = stop => {
                let _ended = (stopping.send(()), stop_administering.send(()));
                drain(&mut serving, &mut administering, DRAIN).await
            }
        };
        drop(serving);
        drop(administering);
        // Whatever holds the decision point must go before the follower can end.
        upkeep.shutdown().await;
        known.abort();
        comparing.abort();
        shown.abort();
        watching.abort();
        join(watching).await;
        settle(follower_ended).await;
        drop((end_shipping, end_telling));
        join(shipping).await;
        join(telling).await;
        // Behind the last header of the stream, and the last act.
        drop(end_sequencing);
        join(sequencing).await;
        // Waits until what was appended is on the disk.
        tokio::task::spawn_blocking(move || drop(keeper)).await?;
        operating.shutdown().await;
        telemetry.stop().await;
        outcome
    }
}

impl Shared {
    /// Makes today's partitions, and holds the decision point unless the database protects the history.
    async fn join(store: Option<PostgresStore>, pdp: &Arc<Pdp>, name: String, stream: StreamId) -> Option<Self> {
        let store = store?;
        if let Err(error) = store.prepare_days().await {
            warn!(%error, "cannot make partitions ahead of time");
        }
        let mut inspector = Inspector::new(&store, pdp);
        inspector.inspect().await;
        Some(Self { store, node: Node { name, stream, started_at: SystemClock.now() }, inspector })
    }
}

fn warn_of_weaknesses(storage: &Storage) {
    if let Storage::Postgres(database) = storage {
        database.weaknesses().iter().for_each(|weakness| warn!("{weakness}"));
    }
}

/// Every connection is an open file, and so is much else.
fn warn_of_few_files(connections: usize) {
    const OTHERS: usize = 256;
    let files = os::raise_open_files();
    if files < connections.saturating_add(OTHERS) as u64 {
        warn!(
            files,
            connections,
            "this process may open fewer files than `limits.connections` needs; raise `ulimit -n`, or lower the limit"
        );
    }
}
