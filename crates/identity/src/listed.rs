//! What people are told of keys.

use magistrate_model::{Authorship, Instant, KeyId};

use crate::key::KeyKind;

/// A key as it is listed: who made and who ended it, and why, and nothing to verify it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id, which is no secret.
    pub id: KeyId,
    /// Whose it is, for people.
    pub caller: String,
    /// What it is for.
    pub kind: KeyKind,
    /// Who made it, why and when.
    pub created: Authorship,
    /// When it ends.
    pub expires_at: Instant,
    /// Who revoked it, why and when, if anybody did.
    pub revoked: Option<Authorship>,
}

impl ListedKey {
    /// Whether it may be used.
    pub fn is_in_force(&self, now: Instant) -> bool {
        self.revoked.is_none() && now < self.expires_at
    }
}
