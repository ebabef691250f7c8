//! A small world behind the door, on a port of its own.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use magistrate_client::{Client, ClientError, Refusal};
use magistrate_identity::KeyRing;
use magistrate_model::Dataset;
use magistrate_pdp::{Refusals, Settings};
use magistrate_proto::v1::CheckRequest;
use magistrate_testkit::{FakeClock, Running, World};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::{Door, Health, ServeError, serve};

pub(super) type Outcomes = Result<(), Box<dyn Error>>;

pub(super) const DEADLINE: Duration = Duration::from_secs(30);

const SCHEMA: &str = r#"
@source("role") entity Role in [Role];
@source("stored") entity User in [Role];
@source("stored") entity Note { owner: User };
@source("asserted") entity Order { total: Long };
action "read" appliesTo { principal: User, resource: [Note, Order], context: { why?: String } };
"#;

const POLICIES: &str = r#"
@id("owner") @advice("reason=own") permit (principal, action, resource is Note) when { resource.owner == principal };
@id("reader") permit (principal in Role::"reader", action, resource is Note);
@id("small") @obligation("log=yes") permit (principal, action, resource is Order) when { resource.total < 10 };
@id("nosy") forbid (principal, action, resource) when { context has why && context.why == "nosy" };
"#;

const ENTITIES: &str = r#"
{"uid":"User::\"ana\""}
{"uid":"User::\"bo\""}
{"uid":"Note::\"n\"","attributes":{"owner":{"__entity":{"type":"User","id":"ana"}}}}
"#;

const GRANTS: &str = r#"
{"id":"g","holder":"User::\"bo\"","role":"reader","resource":"Note::\"n\"","expires_at":"+1h","reason":"x"}
"#;

pub(super) fn world() -> World {
    World::of(SCHEMA, POLICIES).with("roles", r#"{"role":"reader"}"#).with("entities", ENTITIES).with("grants", GRANTS)
}

/// A server over memory.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) client: Client,
    pub(super) clock: FakeClock,
    pub(super) running: Running,
    pub(super) health: Health,
    pub(super) refusals: Arc<Refusals>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub(super) async fn start() -> Result<Self, Box<dyn Error>> {
        Self::known_by(KeyRing::default()).await
    }

    /// The same with keys that it knows, and asks nobody for.
    pub(super) async fn known_by(keys: KeyRing) -> Result<Self, Box<dyn Error>> {
        let world = world();
        let dataset = Dataset { policy_set: Some(world.snapshot().policy_set()), ..world.dataset().clone() };
        let running = Running::start(dataset, Settings::default(), world.now()).await;
        let clock = FakeClock::at(world.now());
        let health = Health::not_ready().await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let door = Door::new(running.pdp.clone(), clock.clone(), String::new());
        let refusals = Arc::<Refusals>::default();
        let authenticate = crate::Authenticate::new(Arc::new(ArcSwap::from_pointee(keys)), false, clock.clone());
        let settings = crate::Settings {
            workers: 2,
            stack_bytes: 8 * 1024 * 1024,
            limits: crate::Limits::default(),
            certificates: None,
            stats: Arc::default(),
            refusals: refusals.clone(),
        };
        let services = crate::Services::authorization(door, &settings.limits);
        let serving = serve(listener, services, health.clone(), crate::Unobserved, authenticate, settings, async {
            drop(stopped.await);
        });
        let task = spawn(serving);
        let client = Client::connect(&address.to_string()).await?;
        Ok(Self { address, client, clock, running, health, refusals, stop, task })
    }

    pub(super) async fn stop(self) -> Outcomes {
        drop((self.client, self.stop));
        self.task.await??;
        Ok(())
    }

    pub(super) async fn channel(&self) -> Result<Channel, Box<dyn Error>> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(endpoint.connect().await?)
    }

    pub(super) async fn refusal(&self, request: CheckRequest) -> Option<Refusal> {
        match self.client.check(request, DEADLINE).await {
            Err(ClientError::Refused(refusal)) => Some(*refusal),
            Err(ClientError::Endpoint { .. } | ClientError::Key(_) | ClientError::Unreachable { .. }) | Ok(_) => None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the fixture holds the handle and awaits it")]
fn spawn(serving: impl Future<Output = Result<(), ServeError>> + Send + 'static) -> JoinHandle<Result<(), ServeError>> {
    tokio::spawn(serving)
}
