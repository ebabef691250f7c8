//! The text of a key: `mag_<kind>_<id>_<secret>_<check>`, which scanners for leaked secrets find by
//! `mag_(check|admin|audit)_[a-z2-7]{16}_[a-z2-7]{52}_[a-z2-7]{7}`.

use std::fmt;

use data_encoding::{BASE32_NOPAD, Encoding};
use magistrate_model::KeyId;
use sha2::{Digest as _, Sha256};

use crate::key::{KeyHash, KeyKind};

/// Random bytes of a key: 10 of its id and 32 of its secret.
pub const RANDOM_BYTES: usize = 42;
const ID_BYTES: usize = 10;
/// Bytes of the checksum: a typo is told without asking anybody.
const CHECK_BYTES: usize = 4;
/// No text of a key is longer.
const LONGEST: usize = 128;
/// Keeps these hashes apart from all others.
const DOMAIN: &[u8] = b"magistrate api key 1\0";

/// A key as it is presented. Shown to whoever made it, once; never kept, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: KeyKind,
    id: KeyId,
    bytes: Vec<u8>,
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no API key")]
pub struct NotAKey;

impl Secret {
    /// A new key, from fresh random bytes.
    pub fn of_random(kind: KeyKind, random: &[u8; RANDOM_BYTES]) -> Result<Self, NotAKey> {
        let (id, secret) = random.split_at_checked(ID_BYTES).ok_or(NotAKey)?;
        let id = lower(&BASE32_NOPAD, id).parse().map_err(|_| NotAKey)?;
        Ok(Self { kind, id, bytes: secret.to_vec() })
    }

    /// Parses a key that was presented.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        if text.len() > LONGEST || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAKey);
        }
        let (body, check) = text.rsplit_once('_').ok_or(NotAKey)?;
        if checksum(body) != check {
            return Err(NotAKey);
        }
        let parts: Vec<&str> = body.split('_').collect();
        let ["mag", kind, id, secret] = parts.as_slice() else { return Err(NotAKey) };
        let secret = BASE32_NOPAD.decode(secret.to_ascii_uppercase().as_bytes()).map_err(|_| NotAKey)?;
        if secret.len() != RANDOM_BYTES - ID_BYTES {
            return Err(NotAKey);
        }
        Ok(Self { kind: kind.parse().map_err(|_| NotAKey)?, id: id.parse().map_err(|_| NotAKey)?, bytes: secret })
    }

    /// Its id.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What it says it is for; what counts is what is kept.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        hasher.update(self.kind.name());
        hasher.update(self.id.as_str());
        hasher.update(&self.bytes);
        KeyHash::new(hasher.finalize().into())
    }

    /// The text to show, once.
    pub fn reveal(&self) -> String {
        let body = format!("mag_{}_{}_{}", self.kind.name(), self.id, lower(&BASE32_NOPAD, &self.bytes));
        let check = checksum(&body);
        format!("{body}_{check}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} {}, …)", self.kind.name(), self.id)
    }
}

fn checksum(body: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(body).into();
    lower(&BASE32_NOPAD, hash.first_chunk::<CHECK_BYTES>().map_or(&[][..], |chunk| chunk))
}

fn lower(encoding: &Encoding, bytes: &[u8]) -> String {
    encoding.encode(bytes).to_ascii_lowercase()
}
