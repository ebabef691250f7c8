//! From sockets to calls: who may connect, on which core they are served, and what a peer may take.
//!
//! One acceptor hands connections out to workers, each a thread with a runtime of its own: a call stays on the core
//! its connection is on, which costs far less than moving it (`docs/benchmarks.md`). Ports shared by several
//! listeners would do without the acceptor, and pin the few connections of a gateway to cores by chance.

mod acceptor;
mod answer;
mod connection;
mod io;
mod limits;
mod line;
mod places;
mod request;
mod room;
mod stats;
mod tls;
mod worker;

pub use limits::Limits;
pub use stats::{Ended, TransportStats};
pub use tls::{Certificates, TlsError, TlsFiles};

pub(crate) use acceptor::accept;
pub(crate) use connection::{Serving, Stack};
pub(crate) use request::Arriving;
pub(crate) use room::Room;
pub(crate) use worker::{Plan, Workers};
