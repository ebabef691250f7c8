//! What a server needs to know a password by, computed here: the password itself reaches neither the server nor
//! its log. RFC 5802 says how, RFC 5803 how it is written.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// What PostgreSQL itself takes, and RFC 7677 asks for at least.
const ITERATIONS: u32 = 4096;

/// A SCRAM-SHA-256 verifier of a password. Whoever has it can try passwords against it, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(String);

/// A password that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Nothing was given.
    #[error("the password is empty")]
    Empty,
    /// More than any client sends.
    #[error("the password is longer than 512 characters")]
    TooLong,
    /// Other characters are written in several ways, and clients differ in which one they send.
    #[error("the password has characters other than letters, digits, blanks and punctuation of ASCII; leave them out")]
    NotAscii,
}

impl Verifier {
    /// The verifier of a password, with a salt that 16 random bytes give.
    pub fn new(password: &str, salt: [u8; 16]) -> Result<Self, InvalidPassword> {
        if password.is_empty() {
            return Err(InvalidPassword::Empty);
        }
        if password.len() > 512 {
            return Err(InvalidPassword::TooLong);
        }
        if !password.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(InvalidPassword::NotAscii);
        }
        let (stored, server) = keys(password.as_bytes(), &salt);
        let [salt, stored, server] = [&salt[..], &stored, &server].map(|bytes| BASE64_STANDARD.encode(bytes));
        Ok(Self(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")))
    }

    /// As the server stores it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// The stored key and the server key.
pub(crate) fn keys(password: &[u8], salt: &[u8]) -> ([u8; 32], [u8; 32]) {
    let salted = salted(password, salt);
    let client = authenticated(&salted, &[b"Client Key"]);
    (Sha256::digest(client).into(), authenticated(&salted, &[b"Server Key"]))
}

/// The first block of PBKDF2 with HMAC-SHA-256.
fn salted(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut last = authenticated(password, &[salt, &1_u32.to_be_bytes()]);
    let mut folded = last;
    for _ in 1..ITERATIONS {
        last = authenticated(password, &[&last]);
        folded.iter_mut().zip(last).for_each(|(all, one)| *all ^= one);
    }
    folded
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn authenticated(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
