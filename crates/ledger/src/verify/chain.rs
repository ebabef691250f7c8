//! The headers of a stream, one after the other: whether each follows the one before, and whether checkpoints are over them.
//!
//! However long a stream is, a few headers of it are held at a time: the first, the last, and those that are asked for.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{Digest, Instant};

use super::{Finding, Kind, Trusted};
use crate::header::{LeftStream, Opening, Says, SealedHeader};
use crate::merkle::Tree;
use crate::sealer::origin;
use crate::stored::StoredHeader;
use crate::stream::StreamId;

/// Takes the headers of a stream by number, once, before its records are verified.
#[derive(Debug, Clone)]
pub struct HeaderChain {
    pub(super) stream: StreamId,
    pub(super) link: Link,
    /// The last header that checkpoints cover.
    pub(super) covered: u64,
    first: Option<SealedHeader>,
    /// When the last one was made.
    pub(super) last_made_at: Option<Instant>,
    has_keys: bool,
    /// Over the headers so far, and what checkpoints say of them.
    tree: Tree,
    checkpoints: BTreeMap<u64, Digest>,
    asked: Asked,
    /// Of the hashes that are asked for, those that are there; the root that is; and the headers.
    known: BTreeSet<Digest>,
    root: Option<Digest>,
    over: BTreeMap<u64, SealedHeader>,
    /// Why no more of them is sealed, and which checkpoint they are not under.
    broken: Option<Finding>,
    forked: Option<Finding>,
}

/// What is wanted to be known of headers besides; it must be asked before the first is taken.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The hash of a header that should be there.
    pub header: Option<Digest>,
    /// The root over the first so many.
    pub root_of: u64,
    /// Places whose headers are wanted.
    pub places: Vec<u64>,
}

/// Where a chain of headers is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    stream: StreamId,
    /// Headers so far.
    pub(super) number: u64,
    /// The hash of the last of them.
    previous: Digest,
    /// The place behind the records they cover.
    pub(super) next_seq: u64,
    /// The last one was the stream's last word.
    pub(super) closed: bool,
}

impl Link {
    fn new(stream: StreamId) -> Self {
        Self { stream, number: 0, previous: Digest::ZERO, next_seq: 1, closed: false }
    }

    /// In front of a header that was taken before.
    pub(super) fn before(sealed: &SealedHeader) -> Self {
        let header = &sealed.header;
        let (number, next_seq) = (header.number.saturating_sub(1), header.covers.first_seq);
        Self { stream: header.stream, number, previous: header.previous, next_seq, closed: false }
    }

    /// Takes the next header, which must follow.
    pub(super) fn take(&mut self, row: &StoredHeader) -> Result<SealedHeader, Finding> {
        let number = self.number + 1;
        let at = format!("header {number} of {}", self.stream);
        let find = |kind, why: String| Finding { kind, at: at.clone(), records: 0, why };
        if u64::try_from(row.number).is_ok_and(|found| found > number) {
            return Err(find(Kind::Missing, format!("the next one there is header {}", row.number)));
        }
        let sealed = row.decode().map_err(|why| find(Kind::Altered, why))?;
        let header = &sealed.header;
        let opens = matches!(header.says, Says::Opens(_));
        if header.stream != self.stream || header.number != number || opens != (number == 1) {
            return Err(find(Kind::Reordered, "another header lies there".to_owned()));
        }
        if self.closed {
            let why = "the header before it was the stream's last word: somebody added this one".to_owned();
            return Err(find(Kind::Altered, why));
        }
        if header.previous != self.previous || header.covers.first_seq != self.next_seq {
            let why = "it does not follow the header before it: one of them was replaced".to_owned();
            return Err(find(Kind::Altered, why));
        }
        self.closed = header.says == Says::Closes;
        (self.number, self.previous, self.next_seq) = (number, sealed.hash, header.covers.next_seq());
        Ok(sealed)
    }
}

impl HeaderChain {
    /// Begins with the checkpoints that are believed.
    pub fn new(stream: StreamId, trusted: &Trusted, asked: Asked) -> Self {
        let mut chain = Self {
            stream,
            link: Link::new(stream),
            covered: 0,
            first: None,
            last_made_at: None,
            has_keys: trusted.has_keys(),
            tree: Tree::default(),
            checkpoints: trusted.checkpoints.get(&origin(stream)).cloned().unwrap_or_default(),
            asked,
            known: BTreeSet::new(),
            root: None,
            over: BTreeMap::new(),
            broken: None,
            forked: None,
        };
        chain.compare();
        chain
    }

    /// Takes the next headers by number. Every one must follow the one before; from the first that does not, nothing is sealed.
    pub fn take(&mut self, rows: &[StoredHeader]) {
        for row in rows {
            if self.broken.is_some() {
                return;
            }
            match self.link.take(row) {
                Ok(sealed) => self.push(sealed),
                Err(finding) => self.broken = Some(finding),
            }
        }
    }

    fn push(&mut self, sealed: SealedHeader) {
        self.tree.push(sealed.hash);
        self.compare();
        self.known.extend(self.asked.header.filter(|hash| *hash == sealed.hash));
        for place in &self.asked.places {
            if sealed.header.covers.next_seq() > *place {
                self.over.entry(*place).or_insert_with(|| sealed.clone());
            }
        }
        self.last_made_at = Some(sealed.header.made_at);
        self.first.get_or_insert(sealed);
    }

    /// Checkpoints are over the headers that are there, or over others.
    fn compare(&mut self) {
        let size = self.tree.size();
        if size == self.asked.root_of {
            self.root = Some(self.tree.root());
        }
        match self.checkpoints.get(&size) {
            Some(root) if *root == self.tree.root() => self.covered = size,
            Some(_) => {
                let why = format!(
                    "the first {size} headers are not those that the checkpoint is over: this is another history"
                );
                self.forked = Some(Finding { kind: Kind::Forked, at: origin(self.stream), records: 0, why });
                // Every later one is over these as well.
                self.checkpoints.clear();
            }
            None => {}
        }
    }

    /// Of which stream they are.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// How many follow each other.
    pub fn headers(&self) -> u64 {
        self.link.number
    }

    /// The root over as many as was asked for; `None` where there are fewer.
    pub fn root(&self) -> Option<Digest> {
        self.root
    }

    /// The first header over records up to a place that was asked for, and the last place under it; none where it lies
    /// behind all headers.
    pub fn over(&self, place: u64) -> Option<(&SealedHeader, u64)> {
        let sealed = self.over.get(&place)?;
        Some((sealed, sealed.header.covers.next_seq().saturating_sub(1)))
    }

    /// In front of the header over a place that was asked for: behind all of them, where none is over it.
    pub(super) fn before(&self, place: u64) -> Link {
        match self.over.get(&place) {
            Some(sealed) => Link::before(sealed),
            None if self.asked.places.contains(&place) => self.link.clone(),
            None => Link::new(self.stream),
        }
    }

    /// In front of the first.
    pub(super) fn start(&self) -> Link {
        Link::new(self.stream)
    }

    /// Whether no more of them will be taken.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether the header that was asked for by its hash is there.
    pub(super) fn has(&self, hash: &Digest) -> bool {
        self.known.contains(hash)
    }

    /// The first one.
    pub fn first(&self) -> Option<&SealedHeader> {
        self.first.as_ref()
    }

    /// Who opened it, and when.
    pub fn opening(&self) -> Option<(&Opening, Instant)> {
        self.first.as_ref().and_then(|first| match &first.header.says {
            Says::Opens(opening) => Some((opening, first.header.made_at)),
            Says::Continues | Says::Closes => None,
        })
    }

    /// What the stream's first header says of earlier ones, and when. Where keys are pinned, only a header that a checkpoint
    /// covers is believed: else whoever can write to the store could excuse what is missing.
    pub fn tellings(&self) -> impl Iterator<Item = (Instant, &LeftStream)> {
        let believed = self.opening().filter(|_| self.covered > 0 || !self.has_keys);
        believed.into_iter().flat_map(|(opening, at)| opening.left.iter().map(move |left| (at, left)))
    }

    /// What was found of them.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let short = self.checkpoints.range(self.link.number + 1..).next().map(|(size, _)| {
            let why = format!("a checkpoint covers {size} headers, and {} follow each other here", self.link.number);
            Finding { kind: Kind::RolledBack, at: origin(self.stream), records: 0, why }
        });
        self.broken.iter().chain(&self.forked).cloned().chain(short).collect()
    }
}
