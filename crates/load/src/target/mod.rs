//! What is loaded: a server that runs, or one that is started for it.

mod cedar_agent;
mod cerbos;
mod child;
mod generated;
mod history;
mod magistrate;
mod spec;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use magistrate_proto::v1::CheckRequest;
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::call::Judge;
use crate::clock;
use crate::drive::{Aim, Sample};
use crate::process::{Usage, family_cpu};
use crate::scenario::Asked;
use crate::wire::{Connection, Protocol};
use cedar_agent::CedarAgent;
use cerbos::{Cerbos, DecisionLog};
use child::{Server, free_address};
use magistrate::Magistrate;

pub(crate) use cedar_agent::PROGRAM as CEDAR_AGENT;
pub(crate) use cerbos::PROGRAM as CERBOS;
pub(crate) use history::{History, compare as compare_history};
pub(crate) use magistrate::Change;
pub(crate) use spec::Spec;

/// A program with all it needs, to be started as often as one likes.
#[derive(Debug)]
pub(crate) struct Prepared {
    spec: Spec,
    kind: Kind,
    asked: Arc<Asked>,
    /// Removed with everything in it when this is dropped.
    _home: TempDir,
}

#[derive(Debug)]
enum Kind {
    Magistrate(Box<Magistrate>),
    Echo,
    Cerbos(Cerbos),
    CedarAgent(CedarAgent),
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer; `None` if it ran already.
    pub(crate) ready_after: Option<Duration>,
    pid: Option<u32>,
    database: Option<u32>,
    _server: Option<Server>,
}

/// How cedar-agent answers.
const AGENTS: Judge = Judge::Json { pointer: "/decision", allow: "Allow" };
/// How long a server may take from its start to its first answer.
const PATIENCE: Duration = Duration::from_mins(2);

impl Prepared {
    /// Prepares a program for the scenario: `echo`, a peer that is installed in the directory of baselines, or a
    /// `magistrate` on a fresh store.
    pub(crate) fn new(spec: &Spec, asked: &Arc<Asked>, baselines: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("magistrate-load-").tempdir()?;
        let home = directory.path();
        let cerbos = |log| Cerbos::prepare(baselines, home, log, asked).map(Kind::Cerbos);
        let kind = match spec.program.as_str() {
            "echo" => Kind::Echo,
            "cerbos" => cerbos(DecisionLog::File)?,
            "cerbos-local" => cerbos(DecisionLog::Local)?,
            "cerbos-off" => cerbos(DecisionLog::Off)?,
            "cedar-agent" => Kind::CedarAgent(CedarAgent::prepare(baselines, home, asked)?),
            _ => Kind::Magistrate(Box::new(Magistrate::prepare(spec, home, asked)?)),
        };
        Ok(Self { spec: spec.clone(), kind, asked: Arc::clone(asked), _home: directory })
    }

    /// As it was named.
    pub(crate) fn name(&self) -> &str {
        &self.spec.written
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(&self, cores: Option<&str>) -> anyhow::Result<Running> {
        let (command, address) = self.command()?;
        let begun = clock::now();
        let mut server = Server::start(command, cores)?;
        let address = match address {
            Some(address) => address,
            None => server.address()?,
        };
        self.wait(&mut server, address).with_context(|| format!("`{}` does not answer", self.name()))?;
        Ok(Running {
            address,
            ready_after: Some(begun.elapsed()),
            pid: Some(server.pid()),
            database: self.database(),
            _server: Some(server),
        })
    }

    /// What starts it, and where it then listens unless it says so itself.
    fn command(&self) -> anyhow::Result<(Command, Option<SocketAddr>)> {
        Ok(match &self.kind {
            Kind::Magistrate(magistrate) => (magistrate.serve(), None),
            Kind::Echo => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("echo").args(&self.spec.arguments);
                command.envs(self.spec.variables.iter().map(|(name, value)| (name, value)));
                (command, None)
            }
            Kind::Cerbos(cerbos) => {
                let address = free_address()?;
                (cerbos.serve(address, free_address()?)?, Some(address))
            }
            Kind::CedarAgent(agent) => {
                let address = free_address()?;
                (agent.serve(address), Some(address))
            }
        })
    }

    /// What to ask a server of this, singly or in batches.
    pub(crate) fn aim(&self, address: SocketAddr, batch: usize, key: Option<String>) -> anyhow::Result<Aim> {
        let asked = &self.asked;
        let (protocol, judge, calls) = match (&self.kind, batch) {
            (Kind::Magistrate(_), 1) => (Protocol::Grpc(magistrate::CHECK), Judge::Check, magistrate::checks(asked)),
            (Kind::Magistrate(_), size) => {
                (Protocol::Grpc(magistrate::BATCH), Judge::Batch, magistrate::batches(asked, size))
            }
            (Kind::Echo, 1) => (Protocol::Grpc(magistrate::CHECK), Judge::Echo, magistrate::checks(asked)),
            (Kind::Cerbos(_), 1) => (Protocol::Grpc(cerbos::CHECK), Judge::Cerbos, cerbos::calls(asked)),
            (Kind::CedarAgent(_), 1) => (Protocol::Rest(cedar_agent::CHECK), AGENTS, cedar_agent::calls(asked)),
            (Kind::Echo | Kind::Cerbos(_) | Kind::CedarAgent(_), _) => {
                bail!("`{}` is asked single questions only; leave `--batch` away", self.name())
            }
        };
        Ok(Aim { address, protocol, judge, key, calls: calls.into() })
    }

    /// Where its decisions are found again.
    pub(crate) fn history(&self) -> Option<History> {
        Some(self.magistrate()?.history())
    }

    /// Whether PostgreSQL's programs are on this machine.
    pub(crate) fn postgres_is_there() -> bool {
        let in_path = std::env::var_os("PATH").unwrap_or_default();
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
        std::env::split_paths(&in_path).chain(debian).any(|directory| directory.join("initdb").is_file())
    }

    /// Makes a change to the store of a Magistrate.
    pub(crate) fn change(&self, change: &Change) -> anyhow::Result<()> {
        self.magistrate().context("only Magistrate is changed")?.change(change)
    }

    /// When each revision was committed, by the clock of the wall, in seconds.
    pub(crate) fn commits(&self) -> anyhow::Result<BTreeMap<u64, f64>> {
        self.magistrate().context("only Magistrate has revisions")?.commits()
    }

    /// One of its questions.
    pub(crate) fn question(&self) -> anyhow::Result<CheckRequest> {
        Ok(magistrate::check(self.asked.questions.first().context("there are no questions")?))
    }

    fn database(&self) -> Option<u32> {
        self.magistrate()?.database()
    }

    fn magistrate(&self) -> Option<&Magistrate> {
        match &self.kind {
            Kind::Magistrate(magistrate) => Some(magistrate),
            Kind::Echo | Kind::Cerbos(_) | Kind::CedarAgent(_) => None,
        }
    }

    /// Asks until there is an answer.
    fn wait(&self, server: &mut Server, address: SocketAddr) -> anyhow::Result<()> {
        let aim = self.aim(address, 1, None)?;
        let call = aim.calls.first().context("there are no questions")?.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let begun = clock::now();
        loop {
            let answer = LocalSet::new().block_on(&runtime, async {
                let connection = Connection::open(address, aim.protocol, None).await?;
                connection.call(call.body.clone()).await.map_err(|failure| anyhow::anyhow!("{failure:?}"))
            });
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if server.has_ended() => bail!("it has ended: {}; {error:#}", server.said()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Running {
    /// A Magistrate that runs already, with the scenario in its store.
    pub(crate) fn elsewhere(address: SocketAddr, pid: Option<u32>) -> Self {
        Self { address, ready_after: None, pid, database: None, _server: None }
    }

    /// Its process, if it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// What to ask it.
    pub(crate) fn aim(&self, asked: &Asked, batch: usize, key: Option<String>) -> Aim {
        let (protocol, judge, calls) = match batch {
            1 => (magistrate::CHECK, Judge::Check, magistrate::checks(asked)),
            size => (magistrate::BATCH, Judge::Batch, magistrate::batches(asked, size)),
        };
        Aim { address: self.address, protocol: Protocol::Grpc(protocol), judge, key, calls: calls.into() }
    }

    /// What its process, and the database behind it, used so far.
    pub(crate) fn sample(&self) -> Sample {
        Sample { server: self.pid.and_then(Usage::of), database: self.database.map(family_cpu) }
    }
}
