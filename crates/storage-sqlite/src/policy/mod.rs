//! The policy file: administrative state, its history and its change log.

mod change_log;
mod changes;
mod commit;
mod entities;
mod grants;
mod keys;
mod policy_sets;
mod read_error;
mod revision;
mod rows;
mod scopes;
mod snapshot;
pub(crate) mod statements;
