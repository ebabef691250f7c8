//! Which checkpoints are believed.

use std::collections::BTreeMap;

use magistrate_model::Digest;

use super::{Finding, Kind};
use crate::log::LogId;
use crate::note::{Checkpoint, InvalidNote, NoteVerifier, open_note, read_note};
use crate::sealer::origin;
use crate::stream::StreamId;

/// Checkpoints of every log that are believed, by origin and size.
#[derive(Debug, Default)]
pub struct Trusted {
    pub(super) checkpoints: BTreeMap<String, BTreeMap<u64, Digest>>,
    has_keys: bool,
    /// What was wrong with notes.
    pub findings: Vec<Finding>,
}

impl Trusted {
    /// Takes notes: those that were kept outside the store must be signed; so must those in it. Without a pinned key
    /// no note is evidence, and none is taken.
    pub fn of<'a>(notes: impl Iterator<Item = &'a str>, keys: &[NoteVerifier]) -> Self {
        let mut trusted = Self { has_keys: !keys.is_empty(), ..Self::default() };
        for note in notes {
            trusted.take(note, keys);
        }
        trusted
    }

    /// Whether any key is pinned.
    pub fn has_keys(&self) -> bool {
        self.has_keys
    }

    fn take(&mut self, note: &str, keys: &[NoteVerifier]) {
        let claimed =
            || read_note(note).map_or_else(|_| "a note".to_owned(), |it| format!("{} at {}", it.origin, it.size));
        match open_note(note, keys) {
            Ok(checkpoint) => self.believe(checkpoint),
            Err(InvalidNote::Unsigned) if keys.is_empty() => {}
            Err(why) => self.find(claimed(), why.to_string(), Kind::Untrusted),
        }
    }

    fn believe(&mut self, Checkpoint { origin, size, root }: Checkpoint) {
        let sizes = self.checkpoints.entry(origin.clone()).or_default();
        let known = *sizes.entry(size).or_insert(root);
        if known != root {
            let why = format!(
                "two checkpoints of this size are signed, over {known} and over {root}: whoever signed both told two histories"
            );
            self.find(format!("{origin} at {size}"), why, Kind::Forked);
        }
    }

    fn find(&mut self, at: String, why: String, kind: Kind) {
        self.findings.push(Finding { kind, at, records: 0, why });
    }

    /// Logs of which there is a checkpoint, and that are neither a stream among these nor the global one.
    pub fn without(&self, streams: &[StreamId], log: Option<LogId>) -> Vec<Finding> {
        let known: Vec<String> = streams.iter().map(|stream| origin(*stream)).chain(log.map(LogId::origin)).collect();
        let gone = self.checkpoints.iter().filter(|(origin, _)| !known.contains(origin));
        let finding = |(origin, sizes): (&String, &BTreeMap<u64, Digest>)| {
            let size = sizes.keys().next_back().copied().unwrap_or(0);
            let why = format!("a checkpoint covers {size} entries, and nothing of this log is there");
            Finding { kind: Kind::RolledBack, at: origin.clone(), records: 0, why }
        };
        gone.map(finding).collect()
    }

    /// The newest checkpoint of a log.
    pub fn newest(&self, origin: &str) -> Option<u64> {
        self.checkpoints.get(origin)?.keys().next_back().copied()
    }
}
