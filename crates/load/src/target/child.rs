//! A server process.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_mins(2);

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Server {
    /// Starts a command, on some cores if they are given; what it says on standard error is read.
    pub(crate) fn start(command: Command, cores: Option<&str>) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut command = match cores {
            None => command,
            Some(cores) => pinned(&command, cores),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        let (saying, said) = mpsc::channel();
        if let Some(output) = child.stderr.take() {
            // It ends with the process.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody listens later on; what is said is read all the same, or the process would stall.
                    let _heard = saying.send(line);
                }
            });
        }
        Ok(Self { child, said })
    }

    /// The address that it tells in a line of JSON.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut said = Vec::new();
        loop {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                bail!("the server never said where it listens: {}", said.join("\n"));
            };
            let address = line.split_once("\"address\":\"").and_then(|(_, rest)| rest.split('"').next());
            if let Some(address) = address {
                return address.parse().with_context(|| format!("the server listens at `{address}`"));
            }
            said.push(line);
        }
    }

    /// What it said that was not read yet.
    pub(crate) fn said(&self) -> String {
        self.said.try_iter().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The same command within `taskset`, which becomes it: the process is the same one.
fn pinned(command: &Command, cores: &str) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", cores]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        pinned.current_dir(directory);
    }
    pinned
}

/// A port on the loopback address that is free now, for servers that cannot choose one themselves.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?)
}
