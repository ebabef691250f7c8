//! Administrative state, its history and its change log.

mod change_log;
mod changes;
mod commit;
mod copy;
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

#[cfg(test)]
pub(crate) use commit::Commit;
pub(crate) use read_error::ReadError;
