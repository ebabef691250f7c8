//! Scopes: what a client may be used for, as `resource:verb`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::uid::{ActionUid, printable};

/// A text is not a scope or a scope pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// Not two segments of lower-case letters, digits, `-`, `_` and `.`.
    #[error("`{0}` is not a scope; write `resource:verb` in lower case, such as `orders:read`")]
    Form(String),
    /// A wildcard that does not stand for a whole segment.
    #[error("`{0}` has a wildcard inside a segment; a `*` stands for a whole segment, such as `orders:*`")]
    PartialWildcard(String),
    /// A pattern where one scope is meant.
    #[error("`{0}` has a wildcard; the catalogue declares each scope by name")]
    Wildcard(String),
}

/// One scope of the catalogue, such as `orders:read`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeName(Arc<str>);

impl ScopeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScopeName {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let pattern: ScopePattern = text.parse()?;
        if pattern.0.contains('*') {
            return Err(InvalidScope::Wildcard(printable(text)));
        }
        Ok(Self(pattern.0))
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A scope as assigned: each segment a name or `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern(Arc<str>);

impl ScopePattern {
    /// Bytes a pattern may have.
    pub const LIMIT: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for this scope.
    pub fn covers(&self, scope: &ScopeName) -> bool {
        let segments = self.0.split(':').zip(scope.0.split(':'));
        segments.into_iter().all(|(pattern, segment)| pattern == "*" || pattern == segment)
    }
}

impl FromStr for ScopePattern {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let form = || InvalidScope::Form(printable(text));
        let (resource, verb) = text.split_once(':').filter(|_| text.len() <= Self::LIMIT).ok_or_else(form)?;
        for segment in [resource, verb] {
            if segment != "*" && segment.contains('*') {
                return Err(InvalidScope::PartialWildcard(printable(text)));
            }
            if segment != "*" && !is_segment(segment) {
                return Err(form());
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A scope of the catalogue, tied to the action group it opens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeDeclaration {
    /// The scope.
    pub name: ScopeName,
    /// An action in this group, or the action itself, is what the scope is for.
    pub action_group: ActionUid,
    /// What it is for, in words.
    pub description: String,
}

fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}
