//! Answers one question from one immutable policy snapshot, with Cedar.
//!
//! Pure and synchronous: no clock, no I/O, no log. [`Snapshot::compile`] is the only way to a snapshot
//! and refuses what must never be live; [`Snapshot::admit`] types a query against the schema;
//! [`respond`] answers it. Cedar's own response is computed first and left as it is: our stricter rules
//! are applied to it afterwards and named in the cause.

mod admit;
mod cedar;
mod compile;
mod entity_types;
mod evaluate;
mod explain;
mod finding;
#[cfg(any(test, fuzzing))]
#[expect(clippy::panic, reason = "a broken promise ends a fuzz target")]
pub mod fuzzed;
mod guard;
mod known;
mod meaning;
mod policy;
mod reach;
mod reference;
mod roles;
mod rules;
mod schema;
mod shape;
mod snapshot;
mod stack;
mod typed;
mod validate;

pub use entity_types::{ActionInfo, EntitySource, EntityTypeInfo, Vocabulary};
pub use evaluate::{Answer, Evaluator, Unanswerable, is_for_authorizer, respond};
pub use explain::explain;
pub use finding::{Finding, Findings, Rule};
pub use guard::{MAX_NESTING, MAX_OPERATORS, MAX_POLICY_BYTES, MAX_SOURCE_BYTES};
pub use known::Known;
pub use policy::{Effect, PolicyInfo};
pub use reference::MAX_AUTHORIZER_ENTITIES;
pub use rules::Entity;
pub use snapshot::{MAX_DEREFERENCES, Snapshot, Source};

#[cfg(test)]
mod tests;
