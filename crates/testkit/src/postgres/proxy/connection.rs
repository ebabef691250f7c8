//! One proxied connection.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Conduct, Shared, State, Trap};

/// How a connection ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

/// Serves a connection until either side closes it or it is to be reset.
pub(super) async fn serve(mut client: TcpStream, shared: &Shared) {
    let mut state = shared.state.subscribe();
    let resets = state.borrow().resets;
    let mut server = None;
    let end = tokio::select! {
        end = pass(&mut client, &mut server, shared) => end.unwrap_or(End::Reset),
        _ = state.wait_for(|state| state.resets > resets) => End::Reset,
    };
    if end == End::Reset {
        // The sockets are closed when dropped, and then without a goodbye.
        let _closed = client.set_zero_linger();
        let _closed = server.map(|server| server.set_zero_linger());
    }
}

async fn pass(client: &mut TcpStream, server: &mut Option<TcpStream>, shared: &Shared) -> io::Result<End> {
    let mut state = shared.state.subscribe();
    if state.borrow().conduct == Conduct::Refuse {
        return Ok(End::Reset);
    }
    permit(&mut state).await;
    let target = state.borrow().target;
    let server = server.insert(TcpStream::connect(target).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let sprung = AtomicBool::new(false);
    tokio::select! {
        end = upward(from_client, to_server, shared, &sprung) => end,
        end = downward(from_server, to_client, shared, &sprung) => end,
    }
}

/// From client to server, with an eye on the trap.
async fn upward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    sprung: &AtomicBool,
) -> io::Result<End> {
    let mut state = shared.state.subscribe();
    let mut buffer = vec![0; PIECE];
    let mut seen = Vec::new();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(End::Close);
        }
        permit(&mut state).await;
        seen.extend_from_slice(&buffer[..read]);
        if let Some(trap) = spring(shared, &mut seen) {
            if !trap.forward {
                return Ok(count(shared));
            }
            sprung.store(true, Ordering::SeqCst);
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// From server to client; nothing once the trap has sprung, and a reset when the server is done.
async fn downward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    sprung: &AtomicBool,
) -> io::Result<End> {
    let mut state = shared.state.subscribe();
    let mut buffer = vec![0; PIECE];
    let mut withheld = Vec::new();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(End::Close);
        }
        permit(&mut state).await;
        if !sprung.load(Ordering::SeqCst) {
            to.write_all(&buffer[..read]).await?;
            continue;
        }
        withheld.extend_from_slice(&buffer[..read]);
        if withheld.windows(READY_FOR_QUERY.len()).any(|window| window == READY_FOR_QUERY) {
            return Ok(count(shared));
        }
    }
}

/// Waits for as long as nothing may pass.
async fn permit(state: &mut watch::Receiver<State>) {
    let open = state.wait_for(|state| state.conduct != Conduct::BlackHole).await;
    let delay = match open.map(|state| state.conduct) {
        Ok(Conduct::Delay(by)) => by,
        Ok(Conduct::Forward | Conduct::BlackHole | Conduct::Refuse) | Err(_) => Duration::ZERO,
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Takes the trap when what the client has sent springs it. Of what was seen, no more is kept than could begin it.
fn spring(shared: &Shared, seen: &mut Vec<u8>) -> Option<Trap> {
    let mut armed = shared.trap.lock().unwrap();
    let length = armed.as_ref().map_or(1, |trap| trap.bytes.len());
    let found = armed.as_ref().is_some_and(|trap| seen.windows(length).any(|window| window == trap.bytes));
    seen.drain(..seen.len().saturating_sub(length - 1));
    found.then(|| armed.take()).flatten()
}

fn count(shared: &Shared) -> End {
    shared.state.send_modify(|state| state.sprung += 1);
    End::Reset
}

const PIECE: usize = 64 * 1024;

/// How the server's answer ends: the type and length of `ReadyForQuery`.
const READY_FOR_QUERY: [u8; 5] = [b'Z', 0, 0, 0, 5];
