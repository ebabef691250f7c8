//! Cutting records into batches, and sealing them.

use magistrate_model::{Digest, Instant, Span};

use crate::header::{Covered, Header, Opening, Says, SealedHeader};
use crate::merkle::Tree;
use crate::note::{Checkpoint, NoteSigner, SignedCheckpoint};
use crate::record::SealedRecord;
use crate::stream::StreamId;

/// Records of a batch at most.
const MOST: u64 = 4_096;
/// How long a record waits for its batch to be sealed, at most.
const LONGEST: Span = Span::seconds(1);
/// How long a stream says nothing, at most.
const SILENCE: Span = Span::seconds(60);

/// Seals the records of one stream: cuts batches, chains headers, signs checkpoints.
#[derive(Debug)]
pub struct Sealer {
    stream: StreamId,
    signer: NoteSigner,
    /// Hashes of the headers made.
    headers: Tree,
    previous: Digest,
    /// Leaves of the batch being gathered.
    leaves: Tree,
    first_seq: u64,
    /// When the first of them came.
    since: Option<Instant>,
    said_at: Instant,
}

/// What a stream's checkpoints call it.
pub fn origin(stream: StreamId) -> String {
    format!("magistrate/stream/{stream}")
}

impl Sealer {
    /// Begins a stream that has no records yet; what is returned says so.
    pub fn begin(stream: StreamId, signer: NoteSigner, opening: Opening, now: Instant) -> (Self, SealedHeader) {
        let mut sealer = Self {
            stream,
            signer,
            headers: Tree::default(),
            previous: Digest::ZERO,
            leaves: Tree::default(),
            first_seq: 1,
            since: None,
            said_at: now,
        };
        let first = sealer.say(Says::Opens(opening), now);
        (sealer, first)
    }

    /// Takes the next record; one that was taken before is passed over.
    pub fn take(&mut self, record: &SealedRecord, now: Instant) {
        if record.id.seq == self.next_seq() {
            self.leaves.push(record.leaf);
            self.since.get_or_insert(now);
        }
    }

    /// Whether as many records are gathered as a batch may have.
    pub fn is_full(&self) -> bool {
        self.leaves.size() >= MOST
    }

    /// A header, where one is due: for a batch that is full or has waited, or to break a silence.
    pub fn seal(&mut self, now: Instant) -> Option<SealedHeader> {
        // A clock that was set back is no reason to wait until it has caught up.
        let waited = self.since.is_some_and(|since| now.since(since) >= LONGEST || now < since);
        let silent = now.since(self.said_at) >= SILENCE || now < self.said_at;
        (self.is_full() || waited || silent).then(|| self.say(Says::Continues, now))
    }

    /// A header over what is gathered, if anything is, however short it has waited.
    pub fn seal_now(&mut self, now: Instant) -> Option<SealedHeader> {
        (self.leaves.size() > 0).then(|| self.say(Says::Continues, now))
    }

    /// The last header: nothing may be appended after it.
    pub fn close(&mut self, now: Instant) -> SealedHeader {
        self.say(Says::Closes, now)
    }

    /// When the next header is due, if no record comes.
    pub fn due(&self) -> Instant {
        self.since.map_or_else(|| self.said_at.plus(SILENCE), |since| since.plus(LONGEST))
    }

    /// The place behind the last record that a header covers.
    pub fn sealed(&self) -> u64 {
        self.first_seq
    }

    /// How many headers there are.
    pub fn size(&self) -> u64 {
        self.headers.size()
    }

    /// A signed note over all headers made so far.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        let checkpoint =
            Checkpoint { origin: origin(self.stream), size: self.headers.size(), root: self.headers.root() };
        let note = self.signer.sign(&checkpoint);
        SignedCheckpoint { checkpoint, note }
    }

    fn next_seq(&self) -> u64 {
        self.first_seq + self.leaves.size()
    }

    fn say(&mut self, says: Says, now: Instant) -> SealedHeader {
        let leaves = std::mem::take(&mut self.leaves);
        let covers = Covered { first_seq: self.first_seq, count: leaves.size(), root: leaves.root() };
        self.first_seq = covers.next_seq();
        let (number, previous) = (self.headers.size() + 1, self.previous);
        let sealed = Header { stream: self.stream, number, previous, made_at: now, covers, says }.seal();
        self.previous = sealed.hash;
        self.headers.push(sealed.hash);
        (self.since, self.said_at) = (None, now);
        sealed
    }
}
