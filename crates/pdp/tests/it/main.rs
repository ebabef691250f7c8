//! The invariants of the decision point, each beside a neighbour that denies.

mod admission;
mod example;
mod grants;
mod properties;
mod records;
mod refusals;
mod small_world;
mod strict;
