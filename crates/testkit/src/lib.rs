//! Builders, a fake clock, an in-memory store and sink, the store's conformance suite and the scenario
//! generator. For tests and benchmarks only.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "test harness: a broken premise should end the test at once"
)]

mod forged;
mod memory;
mod past;
pub mod postgres;
mod running;
mod scenario;
pub mod store_suite;
mod straight;
mod world;

pub use forged::ForgedErasure;
pub use memory::{FakeClock, MemorySink, MemoryStore, nonce};
pub use past::Past;
pub use running::Running;
pub use scenario::{Scale, Scenario};
pub use straight::Straight;
pub use world::{Ask, World, example_policies, instant};
