//! Sequencing the global log: what is appended next, and what is signed. Whoever reads and writes drives it.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{Digest, Instant, LoggedChange, Revision, Span};

use crate::change::{ChangeRecord, SealedChange};
use crate::header::{Says, SealedHeader};
use crate::log::{Entry, LogId};
use crate::merkle::{Path, Run, Subtree, Tree, is_consistent};
use crate::note::{Checkpoint, NoteSigner, SignedCheckpoint};
use crate::stream::StreamId;

#[cfg(test)]
mod tests;

/// How long it takes from one checkpoint to the next, at most, while the log grows.
const CHECKPOINT_EVERY: Span = Span::seconds(10);
/// Entries between two checkpoints, at most.
const MOST_ENTRIES: u64 = 4_096;

/// The log as its sequencer knows it. After a failure to append nothing is known any more: it is resumed anew.
#[derive(Debug)]
pub struct Sequencer {
    log: LogId,
    tree: Tree,
    /// The newest revision that is in the log, and its lineage.
    change: (Revision, Digest),
    /// The last header of each stream that goes on.
    heads: BTreeMap<StreamId, (u64, Digest)>,
    /// How many entries the newest checkpoint covers, and when it was made.
    covered: u64,
    covered_at: Option<Instant>,
}

/// Entries that go behind each other into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// The place of the first.
    pub first: u64,
    /// The entries.
    pub entries: Vec<Entry>,
    /// The groups that they complete.
    pub roots: Vec<(Subtree, Digest)>,
    after: Tree,
}

/// A log that must not be gone on with: what is stored is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotResumed {
    /// It has fewer entries than a checkpoint covers.
    #[error("a checkpoint covers {covered} entries of the log, and {found} are there: an older state was put back")]
    Shorter {
        /// What is covered.
        covered: u64,
        /// What is there.
        found: u64,
    },
    /// It is not what a checkpoint is over.
    #[error("the first {0} entries of the log are not those that a checkpoint is over: this is another history")]
    Other(u64),
    /// The roots of its groups are not all there.
    #[error("hashes that the log of {0} entries is made of are not there")]
    Incomplete(u64),
}

/// What must be read before a log of this size is resumed, beside these checkpoints.
pub fn runs_of(size: u64, known: &[Checkpoint]) -> BTreeSet<Run> {
    let mut runs: BTreeSet<Run> = Subtree::peaks(size).into_iter().map(Subtree::run).collect();
    for checkpoint in known.iter().filter(|it| it.size <= size) {
        runs.extend(Subtree::peaks(checkpoint.size).into_iter().map(Subtree::run));
        runs.extend(Path::consistency(checkpoint.size, size).iter().flat_map(Path::needed).map(Subtree::run));
    }
    runs
}

/// The tree of a log of this size, from the hashes that a store has, if it goes on from every checkpoint that is known.
pub fn resume(size: u64, stored: &BTreeMap<Run, Vec<Digest>>, known: &[Checkpoint]) -> Result<Tree, NotResumed> {
    let root = |subtree: Subtree| {
        let run = subtree.run();
        run.root(stored.get(&run)?)
    };
    let tree_of = |size: u64| {
        let peaks: Option<Vec<Digest>> = Subtree::peaks(size).into_iter().map(root).collect();
        peaks.and_then(|peaks| Tree::of_peaks(size, peaks)).ok_or(NotResumed::Incomplete(size))
    };
    if let Some(longer) = known.iter().find(|it| it.size > size) {
        return Err(NotResumed::Shorter { covered: longer.size, found: size });
    }
    let tree = tree_of(size)?;
    for checkpoint in known.iter().filter(|it| it.size > 0) {
        let path = Path::consistency(checkpoint.size, size).and_then(|path| path.build(root));
        let path = path.ok_or(NotResumed::Incomplete(checkpoint.size))?;
        // Both roots are computed from what is stored; the path shows that they are of one tree.
        let found = tree_of(checkpoint.size)?.root();
        if found != checkpoint.root || !is_consistent((checkpoint.size, found), (size, tree.root()), &path) {
            return Err(NotResumed::Other(checkpoint.size));
        }
    }
    Ok(tree)
}

impl Sequencer {
    /// Goes on with a log: its tree, how much of it a checkpoint covers, and the newest change that it has.
    pub fn new(log: LogId, tree: Tree, covered: u64, newest: Option<&ChangeRecord>) -> Self {
        let change = newest.map_or((Revision::ZERO, Digest::ZERO), |record| (record.revision, record.lineage));
        Self { log, tree, change, heads: BTreeMap::new(), covered, covered_at: None }
    }

    /// The log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// How many entries it has.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The newest revision that is in it.
    pub fn revision(&self) -> Revision {
        self.change.0
    }

    /// Whether a header follows the last one of its stream in the log; `None` where that one is not known, and must be told.
    pub fn follows(&self, header: &SealedHeader) -> Option<bool> {
        let says = &header.header;
        match (says.number, self.heads.get(&says.stream)) {
            (1, None) => Some(says.previous == Digest::ZERO),
            (number, Some((last, hash))) => Some(number == last + 1 && says.previous == *hash),
            (_, None) => None,
        }
    }

    /// Tells the last header of a stream that is in the log.
    pub fn know(&mut self, stream: StreamId, number: u64, hash: Digest) {
        self.heads.insert(stream, (number, hash));
    }

    /// Takes a header that follows as the last of its stream, so that the next can be asked about.
    pub fn expect(&mut self, header: &SealedHeader) {
        match header.header.says {
            Says::Closes => drop(self.heads.remove(&header.header.stream)),
            Says::Opens(_) | Says::Continues => self.know(header.header.stream, header.header.number, header.hash),
        }
    }

    /// Records of the revisions behind the newest one that is in the log, as long as they are dense.
    pub fn changes(&self, log: &[LoggedChange]) -> Vec<SealedChange> {
        let (mut revision, mut lineage) = self.change;
        let mut records = Vec::new();
        for changes in log.chunk_by(|one, next| one.revision == next.revision) {
            let Some(record) = ChangeRecord::seal(lineage, changes).filter(|it| it.record.revision == revision.next())
            else {
                break;
            };
            (revision, lineage) = (record.record.revision, record.record.lineage);
            records.push(record);
        }
        records
    }

    /// Entries as they go into the log.
    pub fn batch(&self, entries: Vec<Entry>) -> LogBatch {
        let (mut after, mut roots) = (self.tree.clone(), Vec::new());
        for entry in &entries {
            after.grow(entry.leaf(), |group, root| roots.push((group, root)));
        }
        LogBatch { first: self.tree.size(), entries, roots, after }
    }

    /// Notes that the store has them.
    pub fn appended(&mut self, batch: LogBatch) {
        for entry in &batch.entries {
            if let Entry::Change(sealed) = entry {
                self.change = (sealed.record.revision, sealed.record.lineage);
            }
        }
        self.tree = batch.after;
    }

    /// A checkpoint over everything, if one is due, or if `all` and there are entries that none covers.
    pub fn checkpoint(&self, signer: &NoteSigner, now: Instant, all: bool) -> Option<SignedCheckpoint> {
        let size = self.tree.size();
        let waited = self.covered_at.is_none_or(|at| now.since(at) >= CHECKPOINT_EVERY || now < at);
        let due = all || waited || size - self.covered >= MOST_ENTRIES;
        (due && size > self.covered).then(|| {
            let checkpoint = Checkpoint { origin: self.log.origin(), size, root: self.tree.root() };
            SignedCheckpoint { note: signer.sign(&checkpoint), checkpoint }
        })
    }

    /// Notes that the store has a checkpoint.
    pub fn kept(&mut self, signed: &SignedCheckpoint, now: Instant) {
        (self.covered, self.covered_at) = (signed.checkpoint.size, Some(now));
    }

    /// How many entries the newest checkpoint covers.
    pub fn covered(&self) -> u64 {
        self.covered
    }
}
