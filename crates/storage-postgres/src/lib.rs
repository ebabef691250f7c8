//! PostgreSQL behind the storage ports: the shared truth of any number of nodes.

mod fault;
mod open_error;
mod settings;

pub use open_error::OpenError;
pub use settings::{Database, InvalidDatabase};
