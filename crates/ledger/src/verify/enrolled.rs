//! Which keys were enrolled, by the acts that say so.

use std::collections::BTreeMap;

use magistrate_model::Instant;

use super::{Finding, HeaderChain, Kind};
use crate::act::{Act, ActRecord};
use crate::note::NoteVerifier;
use crate::sealer::origin;
use crate::stream::StreamId;

/// Keys by what acts say of them. An act proves nothing by itself: whoever can write to the store can enrol a key. What is
/// trusted are pinned keys alone; this tells what does not fit them.
#[derive(Debug, Default)]
pub struct Enrolled(BTreeMap<[u8; 32], Vec<Enrolment>>);

/// What an act says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The key.
    pub key: [u8; 32],
    /// Of which node.
    pub node: String,
    /// Whether it signs no more.
    pub revoked: bool,
    /// Who said so.
    pub actor: String,
    /// When.
    pub at: Instant,
}

impl Enrolled {
    /// Takes the next act.
    pub fn take(&mut self, record: &ActRecord) {
        if let Act::Enrolment { node, key, revoked } = &record.act {
            let (node, actor) = (node.clone(), record.actor.to_string());
            let said = Enrolment { key: *key, node, revoked: *revoked, actor, at: record.at };
            self.0.entry(*key).or_default().push(said);
        }
    }

    /// What was said last of a key.
    pub fn newest(&self, key: &[u8; 32]) -> Option<&Enrolment> {
        self.0.get(key)?.last()
    }

    /// Everything that was said, by key.
    pub fn all(&self) -> impl Iterator<Item = &Enrolment> {
        self.0.values().flatten()
    }

    /// Keys that were enrolled and that nobody pinned.
    pub fn not_pinned(&self, pinned: &[NoteVerifier]) -> Vec<Finding> {
        let newest = self.0.values().filter_map(|said| said.last());
        let strange = newest.filter(|it| !it.revoked && pinned.iter().all(|key| key.key() != it.key));
        let finding = |it: &Enrolment| Finding {
            kind: Kind::NotPinned,
            at: format!("key of {}", it.node),
            records: 0,
            why: format!("{} enrolled it at {}; nobody pinned it, so nothing it signs is believed", it.actor, it.at),
        };
        strange.map(finding).collect()
    }

    /// What is strange about the key that opened a stream.
    pub fn stranger(&self, stream: StreamId, chain: &HeaderChain) -> Option<Finding> {
        let (opening, opened) = chain.opening()?;
        let why = match self.0.get(&opening.key) {
            None => format!("node `{}` opened it at {opened} with a key that was never enrolled", opening.node),
            Some(said) => {
                let before = said.iter().rfind(|it| it.at <= opened).filter(|it| it.revoked)?;
                let node = &opening.node;
                format!("node `{node}` opened it at {opened} with a key that {} revoked at {}", before.actor, before.at)
            }
        };
        Some(Finding { kind: Kind::NotEnrolled, at: origin(stream), records: 0, why })
    }
}
