//! Who calls: API keys, made, presented and verified. Pure: no clock, no chance, no I/O.
//!
//! A key is 256 random bits that are shown once. What is kept is a hash of them: of a secret with so many random bits
//! a plain SHA-256 tells nothing, so that none of the slow hashes is needed that guessable passwords call for.

mod key;
mod listed;
mod ring;
mod text;

pub use key::{ApiKey, InvalidKey, KeyHash, KeyKind, UnknownKind};
pub use listed::ListedKey;
pub use ring::{AuthenticatedCaller, KeyRing, Unauthenticated};
pub use text::{NotAKey, RANDOM_BYTES, Secret};

#[cfg(test)]
mod tests;
