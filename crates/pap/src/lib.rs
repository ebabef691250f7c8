//! Policy administration: lint, test, apply; entities, roles, scopes and grants.

mod ports;

pub use ports::{Base, Changes, CommitError, EntityFilter, GrantFilter, PolicyMigration, Records, StoreError};
