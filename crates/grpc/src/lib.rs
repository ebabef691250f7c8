//! The gRPC door: wire in, `Query`; `Recorded<Verdict>`, wire out.
//!
//! Parsing is one mapping per direction. Nothing here decides anything, and no response is built from
//! anything but a [`Recorded`](magistrate_pdp::Recorded) verdict.

mod audit;
mod authenticate;
mod batch;
mod call;
mod deadline;
mod entity;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod health;
#[doc(hidden)]
pub mod measured;
mod observe;
mod query;
mod refuse;
mod reply;
mod routing;
mod server;
mod service;
mod shed;
mod status;
mod transport;
mod unary;
mod value;

pub use audit::{Archive, AuditDoor};
pub use authenticate::{Authenticate, CallerStats, Denied};
pub use health::Health;
pub use observe::{Causes, Decided, Exit, Method, Observe, Unobserved, code_name};
pub use server::{ServeError, Services, Settings, serve};
pub use service::Door;
pub use transport::{Certificates, Ended, Limits, TlsError, TlsFiles, TransportStats};

#[cfg(test)]
mod tests;
