//! Policy sets as texts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::revision::Digest;

/// The `@id` of a policy: `[a-z][a-z0-9._-]*`, at most 128 bytes; stable over its whole life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(Arc<str>);

/// A text is not a policy id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a policy id; write `[a-z][a-z0-9._-]*` of at most 128 bytes, such as `orders.staff.read`")]
pub struct InvalidPolicyId(String);

impl PolicyId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyId {
    type Err = InvalidPolicyId;

    fn from_str(text: &str) -> Result<Self, InvalidPolicyId> {
        let shaped = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        match shaped && text.len() <= 128 {
            true => Ok(Self(text.into())),
            false => Err(InvalidPolicyId(crate::uid::printable(text))),
        }
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One policy as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its `@id`.
    pub id: PolicyId,
    /// Its Cedar text, annotations included.
    pub text: Arc<str>,
}

/// An immutable policy set with its schema, addressed by the digest of what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    /// Digest over the parsed schema and policies: reformatting does not change it.
    pub digest: Digest,
    /// The schema as written, without the product's own namespace.
    pub schema: Arc<str>,
    /// The policies, in id order.
    pub policies: Vec<PolicyText>,
}
