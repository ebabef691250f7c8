//! The harness of the end-to-end tests: the real binary, throw-away stores, real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "test harness: a broken premise should end the test at once, and be told"
)]

mod collector;
pub mod http2;
pub mod postgres;
mod program;
mod running;
mod secured;
mod store;

pub use collector::Collector;
pub use program::{Ran, magistrate, program, ran, skip, tell, workspace};
pub use running::{ADMIN, CLASS, Running, request};
pub use secured::Secured;
pub use store::Store;
