//! The leaf hash of a record.

use magistrate_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::stream::StreamId;

/// Separates our leaves from every other use of SHA-256, and one format of leaf from the next.
const DOMAIN: &[u8] = b"magistrate/record/1";

/// `SHA256(0x00 ‖ domain ‖ stream ‖ seq ‖ len ‖ bytes)`, numbers as 8 bytes big-endian.
///
/// The leading zero is RFC 6962's leaf prefix (section 2.1): no leaf can be taken for an inner node.
pub fn leaf(stream: StreamId, seq: u64, bytes: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(DOMAIN);
    hash.update(stream.as_bytes());
    hash.update(seq.to_be_bytes());
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
    Digest::new(hash.finalize().into())
}

/// The leaf of anything but a record: `SHA256(0x00 ‖ domain ‖ len ‖ bytes)`. A domain is no beginning of another one.
pub(crate) fn of(domain: &[u8], bytes: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update([0]).chain_update(domain);
    let hash = hash.chain_update((bytes.len() as u64).to_be_bytes()).chain_update(bytes);
    Digest::new(hash.finalize().into())
}
