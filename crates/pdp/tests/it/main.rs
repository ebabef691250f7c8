//! The invariants of the decision point, each beside a neighbour that denies.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests: a broken premise should end them at once"
)]

mod admission;
mod differential;
mod example;
mod explanation;
mod following;
mod grants;
mod hostile_shapes;
mod properties;
mod records;
mod refusals;
mod replaying;
mod reuse;
mod small_world;
mod strict;
mod traps;
mod validity;
