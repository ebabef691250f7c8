//! PostgreSQL behind the storage ports: the shared truth of any number of nodes.

mod connect;
mod decisions;
mod embedded;
mod fault;
mod hardening;
mod listener;
mod migrate;
mod nodes;
mod open_error;
mod policy;
mod roles;
mod schema;
mod scram;
mod settings;
mod statements;
mod store;

pub use decisions::PostgresSink;
pub use hardening::{Hardening, HardeningLevel};
pub use listener::RevisionListener;
pub use migrate::{MigrateOptions, Migrated, MigrationStep, migrate};
pub use nodes::NodeReport;
pub use open_error::OpenError;
pub use roles::{InvalidRolePrefix, Role, RolePrefix, roles_sql};
pub use scram::{InvalidPassword, Verifier};
pub use settings::{Database, InvalidDatabase};
pub use store::PostgresStore;

#[cfg(test)]
mod tests;
