//! Sealing what is shipped: headers into the journal, checkpoints out of it.

use std::collections::VecDeque;
use std::sync::Arc;

use magistrate_ledger::{
    LeftStream, NoteSigner, Opening, SealedHeader, SealedRecord, Sealer, SignedCheckpoint, Writer,
};
use magistrate_model::{Instant, Span};

/// How long it takes from one checkpoint to the next, at most, while headers are made.
const CHECKPOINT_EVERY: Span = Span::seconds(10);
/// Headers between two checkpoints, at most.
const MOST_HEADERS: u64 = 4_096;

/// Takes a checkpoint out of the reach of whoever keeps the store.
pub type Export = Box<dyn FnMut(&SignedCheckpoint) + Send + Sync>;

/// What sealing needs.
pub struct Sealing {
    /// Appends headers.
    pub writer: Arc<Writer>,
    /// Signs checkpoints.
    pub signer: NoteSigner,
    /// The node's name.
    pub node: String,
    /// Tells the time.
    pub now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// Given every checkpoint that the store has.
    pub export: Export,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Seals a stream while it is shipped.
///
/// A header goes to the store behind the records that it covers, and into the journal, where the next run finds how the
/// chain ended. A journal without room does not hold up the store.
pub(crate) struct Seals {
    sealer: Sealer,
    writer: Arc<Writer>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    export: Export,
    /// Headers that are made and not in the journal.
    unwritten: VecDeque<SealedHeader>,
    /// Headers that are made and not in the store.
    unsent: Vec<SealedHeader>,
    /// The last header that the store said it has.
    sent: u64,
    /// How many headers the newest checkpoint covers, and when it was made.
    covered: u64,
    covered_at: Option<Instant>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals").field("sealer", &self.sealer).field("covered", &self.covered).finish_non_exhaustive()
    }
}

impl Seals {
    /// Begins the stream, and has its first header say what was left.
    pub(crate) fn begin(sealing: Sealing, left: Vec<LeftStream>) -> Self {
        let Sealing { writer, signer, node, now, export } = sealing;
        let opening = Opening { node, key: signer.verifier().key(), left };
        let (sealer, first) = Sealer::begin(writer.stream(), signer, opening, now());
        let mut seals = Self {
            sealer,
            writer,
            now,
            export,
            unwritten: VecDeque::new(),
            unsent: Vec::new(),
            sent: 0,
            covered: 0,
            covered_at: None,
        };
        seals.made(Some(first));
        seals
    }

    /// Takes the next record of the stream; a batch that is full is sealed.
    pub(crate) fn take(&mut self, record: &SealedRecord) {
        let now = (self.now)();
        self.sealer.take(record, now);
        if self.sealer.is_full() {
            let full = self.sealer.seal(now);
            self.made(full);
        }
    }

    /// Makes the header that is due, or that covers whatever there is if `all`.
    pub(crate) fn make(&mut self, all: bool) {
        let now = (self.now)();
        let due = if all { self.sealer.seal_now(now) } else { self.sealer.seal(now) };
        self.made(due);
    }

    /// Makes the last header.
    pub(crate) fn close(&mut self) {
        let last = self.sealer.close((self.now)());
        self.made(Some(last));
    }

    fn made(&mut self, header: Option<SealedHeader>) {
        self.unwritten.extend(header.clone());
        self.unsent.extend(header);
    }

    /// Puts what is made into the journal; where there is no room, that is tried again. Says whether any was put there.
    pub(crate) fn write(&mut self) -> bool {
        let made = self.unwritten.len();
        while let Some(header) = self.unwritten.front() {
            if let Err(error) = self.writer.append_header(header) {
                tracing::debug!(%error, "a header has no room in the journal yet");
                break;
            }
            self.unwritten.pop_front();
        }
        self.unwritten.len() < made
    }

    /// Whether every header is in the journal.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Headers that the store does not have.
    pub(crate) fn unsent(&self) -> &[SealedHeader] {
        &self.unsent
    }

    /// The last header that the store said it has.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The place behind the last record that is under a header.
    pub(crate) fn next_seq(&self) -> u64 {
        self.sealer.sealed()
    }

    /// A checkpoint over every header, if one is due, or if `all` and there are headers that none covers.
    pub(crate) fn checkpoint(&self, all: bool) -> Option<SignedCheckpoint> {
        let (size, now) = (self.sealer.size(), (self.now)());
        let waited = self.covered_at.is_none_or(|at| now.since(at) >= CHECKPOINT_EVERY || now < at);
        let due = all || waited || size - self.covered >= MOST_HEADERS;
        (due && size > self.covered).then(|| self.sealer.checkpoint())
    }

    /// Notes that the store has all headers, and this checkpoint; says when that was, if there is one.
    pub(crate) fn arrived(&mut self, checkpoint: Option<&SignedCheckpoint>) -> Option<Instant> {
        if let Some(last) = self.unsent.drain(..).next_back() {
            self.sent = last.header.number;
        }
        let signed = checkpoint?;
        let now = (self.now)();
        (self.covered, self.covered_at) = (signed.checkpoint.size, Some(now));
        (self.export)(signed);
        Some(now)
    }

    /// How long nothing is due, if nothing is appended.
    pub(crate) fn idle(&self) -> Span {
        let now = (self.now)();
        let uncovered = self.sealer.size() > self.covered;
        let checkpoint = self.covered_at.filter(|_| uncovered).map(|at| at.plus(CHECKPOINT_EVERY));
        let due = checkpoint.into_iter().fold(self.sealer.due(), Instant::min);
        due.since(now).max(Span::ZERO)
    }
}
