//! End-to-end tests of the real binary, and checks of the repository itself.

mod crates;
mod durability;
mod first_run;
mod following;
mod grpc;
mod python;
mod repository;
