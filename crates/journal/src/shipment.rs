//! What is shipped at once, and what is left behind by it.

use magistrate_ledger::{CommitFailed, SealedHeader, SealedRecord};
use tracing::warn;

use crate::recover::Backlog;
use crate::shared::{Shared, remove};

/// Records of a shipment, and about how many bytes they have.
pub(crate) const MOST_RECORDS: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;

/// What a shipper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// Nothing was there to be shipped.
    Nothing,
    /// A shipment of so many records arrived.
    Records(usize),
}

/// Why a shipment did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Trying again may help.
    #[error("{0}")]
    Store(CommitFailed),
    /// Trying again does not help.
    #[error("{0}")]
    Hopeless(String),
}

/// What is brought to a store at once.
#[derive(Debug, Default)]
pub(crate) struct Shipment {
    pub(crate) records: Vec<SealedRecord>,
    bytes: usize,
    /// Headers of earlier runs, or such as are shipped again.
    pub(crate) headers: Vec<SealedHeader>,
    /// Segments of the running stream that hold nothing behind these records, with the last record in each.
    pub(crate) done: Vec<(u32, u64)>,
    /// Whoever waits for these records was told.
    pub(crate) told: bool,
}

impl Shipment {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.headers.is_empty() && self.done.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes >= MOST_BYTES
    }

    pub(crate) fn push(&mut self, record: SealedRecord) {
        self.bytes += record.bytes.len() + record.opening.as_ref().map_or(0, Vec::len);
        self.records.push(record);
    }
}

/// Removes the segments of a run whose records are in the store; those that were damaged are kept under another name.
pub(crate) fn clear(backlog: &Backlog, shared: &Shared) {
    let is_damaged = !backlog.left.damage.is_empty();
    for segment in &backlog.segments {
        if is_damaged {
            let kept = segment.path.with_extension("damaged");
            if let Err(error) = std::fs::rename(&segment.path, &kept) {
                warn!(path = %segment.path.display(), %error, "a damaged segment of the journal cannot be set aside");
            }
        } else {
            remove(segment);
        }
    }
    let bytes: u64 = backlog.segments.iter().map(|segment| segment.size).sum();
    let mut space = shared.space();
    space.bytes = space.bytes.saturating_sub(bytes);
    shared.space_changed().notify_all();
}
