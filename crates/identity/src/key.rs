//! What is kept of a key.

use std::fmt;
use std::str::FromStr;

use magistrate_model::{Instant, KeyId, Span};
use subtle::ConstantTimeEq as _;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Asking for decisions.
    Check,
    /// Operating the server.
    Admin,
    /// Reading what happened.
    Audit,
}

/// There is no such kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of key; write `check`, `admin` or `audit`")]
pub struct UnknownKind(String);

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Check, Self::Admin, Self::Audit];

    /// Its name, in keys, rows and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Admin => "admin",
            Self::Audit => "audit",
        }
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for a row.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In constant time: how far two hashes agree is told to nobody.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A key as it is kept. It ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which is no secret.
    pub id: KeyId,
    /// Whose it is, for people.
    pub caller: String,
    /// What it is for.
    pub kind: KeyKind,
    /// What is kept of its secret.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Instant>,
}

/// Such a key is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The caller's name is not one.
    #[error("a caller's name has 1 to {} bytes, without control characters", ApiKey::LONGEST_NAME)]
    Name,
    /// It would end too late, or at once.
    #[error("a key ends after it begins, and within {} days; it would live {days} days", ApiKey::LONGEST_DAYS)]
    Term {
        /// How long it would live.
        days: i64,
    },
}

impl ApiKey {
    /// Bytes of a caller's name.
    pub const LONGEST_NAME: usize = 128;
    /// Days a key lives at most.
    pub const LONGEST_DAYS: i64 = 366;

    /// Accepts a key with a name and a term.
    pub fn checked(self) -> Result<Self, InvalidKey> {
        let name = &self.caller;
        if name.trim().is_empty() || name.len() > Self::LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(InvalidKey::Name);
        }
        let term = self.expires_at.since(self.created_at);
        if term <= Span::ZERO || term > Span::hours(24 * Self::LONGEST_DAYS) {
            return Err(InvalidKey::Term { days: term.whole_seconds() / 86_400 });
        }
        Ok(self)
    }

    /// Whether it may be used. When it was revoked is for people: the clock of whoever did that may be wrong.
    pub fn is_in_force(&self, now: Instant) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
