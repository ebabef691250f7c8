//! A TCP proxy that misbehaves on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::access::by_way_of;
use super::process::wait_for;

mod connection;

/// A proxy in front of a server. It runs on a thread of its own, so that it can be used with and without a runtime,
/// and ends when dropped. What it looks for in messages it finds only without TLS.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    trap: Mutex<Option<Trap>>,
}

/// What all connections follow.
#[derive(Debug, Clone)]
struct State {
    target: SocketAddr,
    conduct: Conduct,
    /// Connections that were accepted before this number rose are to be reset.
    resets: u64,
    open: usize,
    accepted: usize,
    sprung: usize,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Forward,
    Delay(Duration),
    BlackHole,
    Refuse,
}

/// A reset that waits for a client to send something.
#[derive(Debug, Clone)]
struct Trap {
    bytes: Vec<u8>,
    forward: bool,
}

impl Proxy {
    /// Starts a proxy on a free port before an address.
    pub fn start(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let conduct = Conduct::Forward;
        let state = State { target, conduct, resets: 0, open: 0, accepted: 0, sprung: 0, ended: false };
        let shared = Arc::new(Shared { state: watch::Sender::new(state), trap: Mutex::default() });
        let served = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = move || {
            // The listener registers with the runtime, within which it must be made.
            runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), served).await });
        };
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(serve).unwrap();
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL by way of the proxy.
    pub fn url(&self, url: &str) -> String {
        by_way_of(url, &self.address.to_string())
    }

    /// Resets every open connection (RST, both ways). New ones are served.
    pub fn reset(&self) {
        self.change(|state| state.resets += 1);
        wait_for("connections to be reset", || (self.connections() == 0).then_some(()));
    }

    /// Once, when a client has sent these bytes: forwards them, waits until the server has answered, and resets the
    /// connection instead of passing the answer back. The client cannot tell whether it was done, and it was.
    ///
    /// With prepared statements a statement's text passes only when it is prepared: look for `COMMIT`, or for a
    /// value that is bound.
    pub fn reset_after(&self, bytes: &[u8]) {
        self.set(Trap { bytes: bytes.to_vec(), forward: true });
    }

    /// Once, when a client has sent these bytes: resets the connection instead of forwarding them. The client cannot
    /// tell whether it was done, and it was not.
    pub fn reset_before(&self, bytes: &[u8]) {
        self.set(Trap { bytes: bytes.to_vec(), forward: false });
    }

    /// How often `reset_after` and `reset_before` have reset a connection.
    pub fn sprung(&self) -> usize {
        self.shared.state.borrow().sprung
    }

    /// Passes nothing on, in either direction, and accepts new connections without answering. When healed, what was
    /// held up goes through.
    pub fn black_hole(&self) {
        self.change(|state| state.conduct = Conduct::BlackHole);
    }

    /// Resets new connections at once. Open ones are served.
    pub fn refuse(&self) {
        self.change(|state| state.conduct = Conduct::Refuse);
    }

    /// Holds up each piece that passes, in either direction.
    pub fn delay(&self, by: Duration) {
        self.change(|state| state.conduct = Conduct::Delay(by));
    }

    /// Forwards again, and forgets what it was to look for.
    pub fn heal(&self) {
        *self.shared.trap.lock().unwrap() = None;
        self.change(|state| state.conduct = Conduct::Forward);
    }

    /// Sends new connections elsewhere.
    pub fn redirect(&self, target: SocketAddr) {
        self.change(|state| state.target = target);
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.state.borrow().open
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.state.borrow().accepted
    }

    fn set(&self, trap: Trap) {
        *self.shared.trap.lock().unwrap() = Some(trap);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.shared.state.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| state.ended = true);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// Accepts until the proxy ends; then every connection is dropped.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut state = shared.state.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = state.wait_for(|state| state.ended) => return,
            Some(_) = connections.join_next() => continue,
        };
        if let Ok((client, _)) = accepted {
            shared.state.send_modify(|state| {
                state.accepted += 1;
                state.open += 1;
            });
            connections.spawn(hold(client, shared.clone()));
        }
    }
}

async fn hold(client: TcpStream, shared: Arc<Shared>) {
    connection::serve(client, &shared).await;
    shared.state.send_modify(|state| state.open -= 1);
}
