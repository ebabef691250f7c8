//! The digest over all administrative changes: two stores at one revision with different lineages have
//! forked. Every store keeps it, and whoever follows a store computes it again.

use magistrate_model::{Digest, LoggedChange};
use sha2::{Digest as _, Sha256};

/// The lineage after a revision: SHA-256 over the lineage before it and the revision's change log rows.
///
/// Numbers are 8 bytes, big-endian; texts are preceded by their length; an absent text is a 0 byte, a
/// present one a 1 byte and the text. So no two lists of rows have the same bytes.
pub fn extend(before: Digest, rows: &[LoggedChange]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update((rows.len() as u64).to_be_bytes());
    for row in rows {
        hash.update(row.revision.number().to_be_bytes());
        hash.update(u64::from(row.ordinal).to_be_bytes());
        text(&mut hash, &row.kind);
        text(&mut hash, &row.key);
        optional(&mut hash, row.before.as_deref());
        optional(&mut hash, row.after.as_deref());
        text(&mut hash, row.authorship.actor.as_str());
        text(&mut hash, row.authorship.reason.as_str());
        hash.update(row.authorship.at.micros().to_be_bytes());
    }
    Digest::new(hash.finalize().into())
}

/// The lineage after all rows of a log that begins at the first revision.
pub fn of(log: &[LoggedChange]) -> Digest {
    log.chunk_by(|one, next| one.revision == next.revision).fold(Digest::ZERO, extend)
}

fn optional(hash: &mut Sha256, value: Option<&str>) {
    hash.update([u8::from(value.is_some())]);
    if let Some(value) = value {
        text(hash, value);
    }
}

fn text(hash: &mut Sha256, value: &str) {
    hash.update((value.len() as u64).to_be_bytes());
    hash.update(value);
}
