//! Verifying the global log: its entries, what they are over, and what is not in it yet.

use std::collections::BTreeMap;

use magistrate_model::{Digest, LoggedChange, Revision};

use super::{Finding, Kind, Trusted};
use crate::lineage;
use crate::log::{Entry, LogId, StoredAct, StoredEntry};
use crate::merkle::{Subtree, Tree};
use crate::stream::StreamId;

#[cfg(test)]
mod tests;

/// Verifies the log: first its entries in the order of their places, then what they are over, each once.
#[derive(Debug)]
pub struct LogVerifier {
    origin: String,
    checkpoints: BTreeMap<u64, Digest>,
    tree: Tree,
    /// An entry is missing: what follows has other places than it had.
    broken: bool,
    covered: u64,
    /// Headers of each stream, as far as the log has them.
    streams: BTreeMap<StreamId, Tree>,
    /// The lineage of each revision from the first on, and of each act its leaf.
    lineages: Vec<Digest>,
    acts: Vec<Digest>,
    roots: BTreeMap<Subtree, Digest>,
    /// How far the change log and the acts were read, and the lineage there.
    read_changes: usize,
    lineage: Digest,
    read_acts: usize,
    not_logged: u64,
    findings: Vec<Finding>,
}

/// What was found of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLog {
    /// Entries that follow each other.
    pub entries: u64,
    /// How many of them checkpoints cover.
    pub covered: u64,
    /// What was found, in the order it was.
    pub findings: Vec<Finding>,
}

impl LogVerifier {
    /// Begins with the checkpoints that are believed.
    pub fn new(log: LogId, trusted: &Trusted) -> Self {
        let origin = log.origin();
        let checkpoints = trusted.checkpoints.get(&origin).cloned().unwrap_or_default();
        Self {
            origin,
            checkpoints,
            tree: Tree::default(),
            broken: false,
            covered: 0,
            streams: BTreeMap::new(),
            lineages: Vec::new(),
            acts: Vec::new(),
            roots: BTreeMap::new(),
            read_changes: 0,
            lineage: Digest::ZERO,
            read_acts: 0,
            not_logged: 0,
            findings: Vec::new(),
        }
    }

    /// Takes the next entry by place.
    pub fn entry(&mut self, row: &StoredEntry) {
        let place = self.tree.size();
        if self.broken {
            return;
        }
        if u64::try_from(row.index) != Ok(place) {
            self.broken = true;
            return self.find(Kind::Missing, place, format!("the next one there is entry {}", row.index));
        }
        match row.decode() {
            Ok(entry) => {
                self.push(entry.leaf());
                self.take(place, entry);
            }
            Err(why) => {
                self.find(Kind::Altered, place, why);
                // Its place is taken, and what was there is not known.
                self.push(Digest::from_slice(&row.leaf).unwrap_or(Digest::ZERO));
            }
        }
    }

    fn push(&mut self, leaf: Digest) {
        let Self { tree, roots, .. } = self;
        tree.grow(leaf, |group, root| {
            roots.insert(group, root);
        });
        let size = self.tree.size();
        match self.checkpoints.get(&size) {
            Some(root) if *root == self.tree.root() => self.covered = size,
            Some(_) => {
                let why = format!("the first {size} entries are not those that the checkpoint is over");
                self.findings.push(Finding { kind: Kind::Forked, at: self.origin.clone(), records: 0, why });
                // Every later one is over these as well.
                self.checkpoints.clear();
            }
            None => {}
        }
    }

    /// What an entry is over must follow what the entries before are over.
    fn take(&mut self, place: u64, entry: Entry) {
        match entry {
            Entry::Header(sealed) => {
                let headers = self.streams.entry(sealed.header.stream).or_default();
                let number = headers.size() + 1;
                headers.push(sealed.hash);
                if sealed.header.number != number {
                    let why = format!("header {number} of its stream was to come, not {}", sealed.header.number);
                    self.find(Kind::Reordered, place, why);
                }
            }
            Entry::Change(sealed) => {
                let (revision, previous) = (self.lineages.len() as u64 + 1, self.lineages.last().copied());
                self.lineages.push(sealed.record.lineage);
                if sealed.record.revision != Revision::new(revision)
                    || sealed.record.previous != previous.unwrap_or(Digest::ZERO)
                {
                    self.find(Kind::Reordered, place, format!("revision {revision} was to come"));
                }
            }
            Entry::Act(sealed) => self.acts.push(sealed.leaf),
        }
    }

    /// All entries were taken.
    pub fn entries_end(&mut self) {
        let size = self.tree.size();
        if let Some((covered, _)) = self.checkpoints.last_key_value().filter(|(covered, _)| **covered > size) {
            let why = format!("a checkpoint covers {covered} entries, and {size} follow each other here");
            self.findings.push(Finding { kind: Kind::RolledBack, at: self.origin.clone(), records: 0, why });
        }
    }

    /// What the entries are over is not there beside them, but for headers: acts lie in them whole, and of changes they tell
    /// the lineage.
    pub fn entries_alone(&mut self) {
        self.read_changes = self.lineages.len();
        self.read_acts = self.acts.len();
    }

    /// How many headers of a stream the log has: the root over so many is compared.
    pub fn logged(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, Tree::size)
    }

    /// Compares the stored headers of a stream: how many follow each other, and the root over as many as the log has.
    pub fn headers(&mut self, stream: StreamId, stored: u64, root: Option<Digest>) {
        let Some(logged) = self.streams.remove(&stream) else {
            self.not_logged += stored;
            return;
        };
        let known = logged.size();
        let at = format!("the headers of {stream}");
        match stored.checked_sub(known) {
            None => {
                let why = format!("{known} of them are in the log, and {stored} follow each other here");
                self.findings.push(Finding { kind: Kind::Missing, at, records: 0, why });
            }
            Some(_) if root != Some(logged.root()) => {
                let why = format!("the first {known} are not those that are in the log");
                self.findings.push(Finding { kind: Kind::Altered, at, records: 0, why });
            }
            Some(more) => self.not_logged += more,
        }
    }

    /// Streams of which the log has headers, and nothing was compared.
    fn headers_end(&mut self) {
        for (stream, logged) in std::mem::take(&mut self.streams) {
            let at = format!("the headers of {stream}");
            let why = format!("{} of them are in the log, and nothing of this stream is there", logged.size());
            self.findings.push(Finding { kind: Kind::Missing, at, records: 0, why });
        }
    }

    /// Compares the next whole revisions of the change log.
    pub fn changes(&mut self, log: &[LoggedChange]) {
        for changes in log.chunk_by(|one, next| one.revision == next.revision) {
            self.lineage = lineage::extend(self.lineage, changes);
            let logged = self.lineages.get(self.read_changes);
            self.read_changes += 1;
            let revision = self.read_changes as u64;
            let is_next = changes.first().is_some_and(|it| it.revision == Revision::new(revision));
            match logged {
                None => self.not_logged += 1,
                Some(lineage) if is_next && *lineage == self.lineage => {}
                Some(lineage) => {
                    let at = format!("revision {revision}");
                    let why = "its changes, or those before it, are not those that are in the log".to_owned();
                    // What follows is compared by itself.
                    self.lineage = *lineage;
                    self.findings.push(Finding { kind: Kind::Altered, at, records: 0, why });
                }
            }
        }
    }

    /// Compares the next act by place.
    pub fn act(&mut self, row: &StoredAct) {
        let logged = self.acts.get(self.read_acts).copied();
        self.read_acts += 1;
        let at = format!("act {}", self.read_acts);
        let mut find = |kind, why: String| self.findings.push(Finding { kind, at: at.clone(), records: 0, why });
        if usize::try_from(row.place) != Ok(self.read_acts) {
            return find(Kind::Missing, format!("the next one there is act {}", row.place));
        }
        match (row.decode(), logged) {
            (Err(why), _) => find(Kind::Altered, why),
            (Ok(act), Some(leaf)) if act.leaf != leaf => {
                find(Kind::Altered, "another one is in the log".to_owned());
            }
            (Ok(_), Some(_)) => {}
            (Ok(_), None) => self.not_logged += 1,
        }
    }

    /// Compares a stored root of a complete group: proofs are made of these.
    pub fn root(&mut self, group: Subtree, stored: Option<Digest>) {
        let at = format!("the root of group {} at level {}", group.index, group.level);
        match (self.roots.get(&group), stored) {
            (Some(root), Some(stored)) if *root == stored => {}
            (_, None) => {
                let why = "it is not there".to_owned();
                self.findings.push(Finding { kind: Kind::Missing, at, records: 0, why });
            }
            (_, Some(_)) => {
                let why = "it is not over the entries that are there".to_owned();
                self.findings.push(Finding { kind: Kind::Altered, at, records: 0, why });
            }
        }
    }

    /// The groups whose roots a store has, by what the entries say.
    pub fn groups(&self) -> Vec<Subtree> {
        self.roots.keys().copied().collect()
    }

    /// Everything was taken.
    pub fn finish(mut self) -> VerifiedLog {
        self.headers_end();
        for (read, logged, what) in
            [(self.read_changes, self.lineages.len(), "revisions"), (self.read_acts, self.acts.len(), "acts")]
        {
            if read < logged {
                let why = format!("{logged} {what} are in the log, and {read} are there");
                self.findings.push(Finding { kind: Kind::Missing, at: what.to_owned(), records: 0, why });
            }
        }
        let entries = self.tree.size();
        for (count, why) in [
            (entries - self.covered, "entries lie behind the newest checkpoint of the log"),
            (self.not_logged, "headers, revisions and acts are not in the log yet"),
        ] {
            if count > 0 {
                let why = format!("{count} {why}");
                self.findings.push(Finding { kind: Kind::NotCovered, at: self.origin.clone(), records: count, why });
            }
        }
        VerifiedLog { entries, covered: self.covered, findings: self.findings }
    }

    fn find(&mut self, kind: Kind, place: u64, why: String) {
        self.findings.push(Finding { kind, at: format!("entry {place} of the log"), records: 0, why });
    }
}
