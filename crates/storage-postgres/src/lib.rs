//! PostgreSQL behind the storage ports: the shared truth of any number of nodes.

mod connect;
mod decisions;
mod fault;
mod listener;
mod nodes;
mod open_error;
mod policy;
mod settings;
mod statements;
mod store;

pub use decisions::PostgresSink;
pub use listener::RevisionListener;
pub use nodes::NodeReport;
pub use open_error::OpenError;
pub use settings::{Database, InvalidDatabase};
pub use store::PostgresStore;

#[cfg(test)]
mod tests;
