//! Commitments: `HMAC-SHA256(salt, domain ‖ len(path) ‖ path ‖ value)`, the length as 8 bytes big-endian, the value in
//! canonical CBOR.
//!
//! Hiding: to whoever does not know the key, HMAC is a pseudorandom function as long as SHA-256's compression function is
//! one (Bellare, "New Proofs for NMAC and HMAC", CRYPTO 2006, theorem 3.3). Each salt is fresh: twice 16 random bytes, as long
//! as the output (RFC 2104, section 3), and is erased with its value: what is left does not tell one value from another, so
//! trying all telephone numbers against it finds none. A plain hash would be found by trying. Binding: keys of one length
//! below a block are padded to distinct blocks, so two openings of one commitment are a collision of SHA-256.

use magistrate_model::{Digest, Value};
use sha2::{Digest as _, Sha256};

use super::path::PrivatePath;
use crate::cbor;

/// Separates commitments from every other use of HMAC-SHA256.
const DOMAIN: &[u8] = b"magistrate/private/1";
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// What a commitment is salted with: its key.
pub(crate) type Salt = [u8; 32];

/// The commitment to a value at a place.
pub(crate) fn commitment(salt: &Salt, path: &PrivatePath, value: &Value) -> Digest {
    let (path, value) = (path.to_string(), cbor::encode(|out| cbor::put_value(out, value)));
    let length = (path.len() as u64).to_be_bytes();
    Digest::new(hmac(salt, &[DOMAIN, &length, path.as_bytes(), &value]))
}

/// HMAC-SHA256 (RFC 2104) under a key that is no longer than a block.
pub(super) fn hmac(key: &Salt, parts: &[&[u8]]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        Sha256::new().chain_update(block)
    };
    let inner = parts.iter().fold(padded(0x36), Sha256::chain_update);
    padded(0x5c).chain_update(inner.finalize()).finalize().into()
}
