//! The words of Magistrate: who asks, what for, what is known, what was answered, and until when it holds.
//!
//! Plain values without I/O. A value of one of these types is valid: bounds and character rules are
//! checked by its only constructor, so nothing behind a door checks them again.

mod bundle;
mod change;
mod class;
mod dataset;
mod effect;
mod entity;
mod explanation;
mod facts;
mod grant;
mod instant;
pub mod json;
mod malformed;
mod query;
mod revision;
mod scope;
mod text;
mod uid;
mod value;
mod verdict;

pub use bundle::{InvalidPolicyId, PolicyId, PolicySet, PolicyText};
pub use change::{Actor, Authorship, Change, InvalidAuthorship, LoggedChange, Reason};
pub use class::{DurabilityClass, UnknownClass};
pub use dataset::{Dataset, Head};
pub use effect::{Difference, Effect};
pub use entity::{EntityData, EntityInput};
pub use explanation::{ClauseExplained, Explanation, GrantExplained, Outcome, PolicyExplained};
pub use facts::{Facts, GrantInForce, KnownEntity, Missing, Question};
pub use grant::{Conferred, ConferredRef, Grant, GrantId, GrantRef, InvalidGrant, Term};
pub use instant::{Instant, InvalidInstant, Span};
pub use malformed::{Malformed, Violation};
pub use query::{
    Caller, Channel, Environment, InvalidEnvironment, InvalidKeyId, InvalidTraceId, KeyId, Query, RequestId, TraceId,
};
pub use revision::{Digest, InvalidDigest, Revision, hex};
pub use scope::{InvalidScope, ScopeDeclaration, ScopeName, ScopePattern};
pub use text::InvalidText;
pub use uid::{ActionUid, EntityId, EntityUid, InvalidUid, TypeName, UidRef};
pub use value::{AttributeName, Bounds, ExtensionFunction, OutOfBounds, Record, Value};
pub use verdict::{Cause, Decision, Notice, Verdict};

#[cfg(test)]
mod tests;
