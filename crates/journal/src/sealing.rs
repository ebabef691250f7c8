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
pub(crate) struct Seals {
    sealer: Sealer,
    writer: Arc<Writer>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    export: Export,
    /// Headers that are made and not in the journal.
    unwritten: VecDeque<SealedHeader>,
    /// The last header that the store has.
    shipped: u64,
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
        let unwritten = VecDeque::from([first]);
        Self { sealer, writer, now, export, unwritten, shipped: 0, covered: 0, covered_at: None }
    }

    /// Takes the next record of the stream; a batch that is full is sealed.
    pub(crate) fn take(&mut self, record: &SealedRecord) {
        let now = (self.now)();
        self.sealer.take(record, now);
        if self.sealer.is_full() {
            self.unwritten.extend(self.sealer.seal(now));
        }
    }

    /// Makes the header that is due, or that covers whatever there is if `all`, and puts what is made into the journal.
    /// Where there is no room, that is tried again. Says whether any was put there.
    pub(crate) fn write(&mut self, all: bool) -> bool {
        let now = (self.now)();
        let due = if all { self.sealer.seal_now(now) } else { self.sealer.seal(now) };
        self.unwritten.extend(due);
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

    /// Makes the last header.
    pub(crate) fn close(&mut self) {
        let now = (self.now)();
        self.unwritten.push_back(self.sealer.close(now));
        let _written = self.write(false);
    }

    /// A checkpoint over every header, if one is due, or if `all` and there are headers that none covers. `shipped` is the
    /// last header that the store has, or will have before.
    pub(crate) fn checkpoint(&self, shipped: u64, all: bool) -> Option<SignedCheckpoint> {
        let size = self.sealer.size();
        let now = (self.now)();
        let waited = self.covered_at.is_none_or(|at| now.since(at) >= CHECKPOINT_EVERY);
        let due = all || waited || size - self.covered >= MOST_HEADERS;
        (due && size > self.covered && shipped.max(self.shipped) == size).then(|| self.sealer.checkpoint())
    }

    /// Notes that the store has headers up to this one, and this checkpoint.
    pub(crate) fn arrived(&mut self, shipped: u64, checkpoint: Option<&SignedCheckpoint>) -> Option<Instant> {
        self.shipped = self.shipped.max(shipped);
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
