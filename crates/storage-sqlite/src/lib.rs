//! SQLite behind the storage ports: the embedded default for development and a single node.
//!
//! One data directory holds two files. `policy.db` keeps the administrative state with its whole history,
//! `decisions.db` the recorded decisions. Both are in WAL mode and synchronise on every commit, so readers
//! never wait for the writer, in this process or another.
//!
//! What SQLite says stays behind this border: callers see our words.

mod decisions;
mod fault;
mod files;
mod migrate;
mod open_error;
mod opened_file;
mod policy;
mod statements;
mod store;

pub use decisions::SqliteSink;
pub use migrate::{Migrated, MigrationStep};
pub use open_error::OpenError;
pub use store::SqliteStore;

#[cfg(test)]
mod tests;
