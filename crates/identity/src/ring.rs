//! The keys that are known, and who presents one of them.

use std::collections::HashMap;

use magistrate_model::{Instant, KeyId};

use crate::key::{ApiKey, KeyHash, KeyKind};
use crate::text::Secret;

/// Every key of a store at one time.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(HashMap<KeyId, ApiKey>);

/// Who presented a key that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedCaller {
    /// The key's id.
    pub key: KeyId,
    /// Whose it is.
    pub caller: String,
    /// What it is for.
    pub kind: KeyKind,
}

/// Why somebody is not known. Callers are told one thing for all of it; logs and metrics may tell more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// Nothing was presented.
    #[error("no key was presented")]
    Missing,
    /// What was presented is no key, or not once.
    #[error("what was presented is no key")]
    Unreadable,
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// It has ended, or was revoked.
    #[error("the key has ended")]
    Ended,
}

impl KeyRing {
    /// A ring of these keys.
    pub fn of(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id.clone(), key)).collect())
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.values()
    }

    /// Who presents this text, if that is a key in force.
    ///
    /// Takes as long for an id that is not known as for one that is: hashing and comparing are done for both.
    pub fn authenticate(&self, presented: &str, now: Instant) -> Result<AuthenticatedCaller, Unauthenticated> {
        let secret = Secret::parse(presented).map_err(|_| Unauthenticated::Unreadable)?;
        let known = self.0.get(secret.id());
        let kept = known.map_or(NOBODY, |key| key.hash);
        let fits = kept == secret.hash();
        match known.filter(|_| fits) {
            None => Err(Unauthenticated::Unknown),
            Some(key) if !key.is_in_force(now) => Err(Unauthenticated::Ended),
            Some(key) => Ok(AuthenticatedCaller { key: key.id.clone(), caller: key.caller.clone(), kind: key.kind }),
        }
    }
}

/// The hash of no secret that anybody has.
const NOBODY: KeyHash = KeyHash::new([0; 32]);
