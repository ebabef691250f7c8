//! End-to-end tests of the real binary, and checks of the repository itself.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests: a broken premise should end them at once")]

mod administration;
mod auditing;
mod backups;
mod bad_input;
mod bulk;
mod callers;
mod crashes;
mod crates;
mod differing;
mod durability;
mod explaining;
mod exporting;
mod first_run;
mod following;
mod global_log;
mod grpc;
mod hostile;
mod lifecycle;
mod packaging;
mod postgres;
mod privacy;
mod proving;
mod python;
mod refusing;
mod replaying;
mod repository;
mod retention;
mod reviewing;
mod starting;
mod supply_chain;
mod tampering;
mod telemetry;
