//! The global log: one tree over the headers of all streams, the changes, and the acts.

use std::fmt;

use magistrate_model::Digest;

use crate::act::SealedAct;
use crate::change::SealedChange;
use crate::header::SealedHeader;
use crate::record::InvalidRecord;

/// What the origin of every global log begins with.
const ORIGIN: &str = "magistrate/log/";

/// The name of a log: 16 random bytes, chosen when it begins and kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// From 16 random bytes.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From a column that holds 16 bytes, if it does.
    pub fn from_column(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// What the log's checkpoints call it.
    pub fn origin(self) -> String {
        format!("{ORIGIN}{self}")
    }

    /// The log that checkpoints of this origin are over, if it is a global one.
    pub fn of_origin(origin: &str) -> Option<Self> {
        Self::from_hex(origin.strip_prefix(ORIGIN)?)
    }

    /// From 32 lower-case hexadecimal digits, if it is that.
    pub fn from_hex(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))?;
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Something that the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A header of a stream: so everything that it covers.
    Header(SealedHeader),
    /// The changes of a revision.
    Change(SealedChange),
    /// An act.
    Act(SealedAct),
}

impl Entry {
    /// What it is called.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Change(_) => "change",
            Self::Act(_) => "act",
        }
    }

    /// Which one it is: `<stream>/<number>`, a revision, or the id of an act.
    pub fn reference(&self) -> String {
        match self {
            Self::Header(sealed) => format!("{}/{}", sealed.header.stream, sealed.header.number),
            Self::Change(sealed) => sealed.record.revision.to_string(),
            Self::Act(sealed) => sealed.record.id.to_string(),
        }
    }

    /// Its leaf.
    pub fn leaf(&self) -> Digest {
        match self {
            Self::Header(sealed) => sealed.hash,
            Self::Change(sealed) => sealed.leaf,
            Self::Act(sealed) => sealed.leaf,
        }
    }

    /// Its canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(sealed) => &sealed.bytes,
            Self::Change(sealed) => &sealed.bytes,
            Self::Act(sealed) => &sealed.bytes,
        }
    }

    fn decode(kind: &str, bytes: &[u8]) -> Result<Self, InvalidRecord> {
        match kind {
            "header" => SealedHeader::decode(bytes).map(Self::Header),
            "change" => SealedChange::decode(bytes).map(Self::Change),
            "act" => SealedAct::decode(bytes).map(Self::Act),
            _ => Err(InvalidRecord::Format("an entry of a kind that is not known".to_owned())),
        }
    }
}

/// The columns of a stored entry. `body` is what counts; all others but its place are derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place in the log, from 0.
    pub index: i64,
    /// What it is.
    pub kind: String,
    /// Which one it is.
    pub reference: String,
    /// Its leaf: 32 bytes.
    pub leaf: Vec<u8>,
    /// The header, change or act.
    pub body: Vec<u8>,
}

/// The columns of an entry in the order of its fields.
pub type EntryColumns = (i64, String, String, Vec<u8>, Vec<u8>);

impl From<EntryColumns> for StoredEntry {
    fn from((index, kind, reference, leaf, body): EntryColumns) -> Self {
        Self { index, kind, reference, leaf, body }
    }
}

impl StoredEntry {
    /// The row of an entry whose bytes are there alone. Bytes that are none become a row that says so when it is decoded.
    pub fn of_bytes(index: u64, kind: String, body: Vec<u8>) -> Self {
        let (reference, leaf) = match Entry::decode(&kind, &body) {
            Ok(entry) => (entry.reference(), entry.leaf().as_bytes().to_vec()),
            Err(_) => (String::new(), Vec::new()),
        };
        Self { index: i64::try_from(index).unwrap_or(i64::MAX), kind, reference, leaf, body }
    }

    /// Decodes the entry and compares every column with what it says; says what is wrong.
    pub fn decode(&self) -> Result<Entry, String> {
        let entry = Entry::decode(&self.kind, &self.body).map_err(|why| why.to_string())?;
        let columns =
            [("reference", self.reference == entry.reference()), ("leaf", self.leaf == entry.leaf().as_bytes())];
        match columns.iter().find(|(_, agrees)| !agrees) {
            None => Ok(entry),
            Some((column, _)) => Err(format!("the column `{column}` does not say what the entry says")),
        }
    }
}

/// The columns of a stored act. `body` is what counts; all others but its place are derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAct {
    /// Its place among acts, from 1.
    pub place: i64,
    /// Its name: 16 bytes.
    pub id: Vec<u8>,
    /// What it is.
    pub kind: String,
    /// Its leaf: 32 bytes.
    pub leaf: Vec<u8>,
    /// The act.
    pub body: Vec<u8>,
}

/// The columns of an act in the order of its fields.
pub type ActColumns = (i64, Vec<u8>, String, Vec<u8>, Vec<u8>);

impl From<ActColumns> for StoredAct {
    fn from((place, id, kind, leaf, body): ActColumns) -> Self {
        Self { place, id, kind, leaf, body }
    }
}

impl StoredAct {
    /// Decodes the act and compares every column with what it says; says what is wrong.
    pub fn decode(&self) -> Result<SealedAct, String> {
        let act = SealedAct::decode(&self.body).map_err(|why| why.to_string())?;
        let columns = [
            ("id", self.id == act.record.id.0),
            ("kind", self.kind == act.record.act.kind()),
            ("leaf", self.leaf == act.leaf.as_bytes()),
        ];
        match columns.iter().find(|(_, agrees)| !agrees) {
            None => Ok(act),
            Some((column, _)) => Err(format!("the column `{column}` does not say what the act says")),
        }
    }
}

#[cfg(test)]
mod tests {
    use magistrate_model::Instant;

    use super::*;
    use crate::act::{Act, ActId, ActRecord};

    #[test]
    fn origin_names_its_log() {
        let id = LogId::new([0x1b; 16]);
        assert_eq!(id.origin(), "magistrate/log/1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b");
        assert_eq!(LogId::of_origin(&id.origin()), Some(id));
        for other in [
            "magistrate/log/1b",
            "magistrate/log/+b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b",
            "magistrate/log/1B1B1B1B1B1B1B1B1B1B1B1B1B1B1B1B",
            "magistrate/stream/1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b",
        ] {
            assert_eq!(LogId::of_origin(other), None, "{other}");
        }
    }

    #[test]
    fn entry_says_what_its_columns_say() {
        let at = Instant::from_micros(1).unwrap();
        let act = Act::Enrolment { node: "n".to_owned(), key: [1; 32], revoked: false };
        let act = ActRecord { id: ActId([2; 16]), at, actor: "node/n".parse().unwrap(), act }.seal().unwrap();
        let entry = Entry::Act(act);
        let stored = StoredEntry {
            index: 0,
            kind: entry.kind().to_owned(),
            reference: entry.reference(),
            leaf: entry.leaf().as_bytes().to_vec(),
            body: entry.bytes().to_vec(),
        };
        assert_eq!(stored.decode(), Ok(entry));
        let edits: [fn(&mut StoredEntry); 5] = [
            |it| it.kind = "change".to_owned(),
            |it| it.kind = "nothing".to_owned(),
            |it| it.reference.push('0'),
            |it| it.leaf[3] ^= 1,
            |it| it.body[30] ^= 1,
        ];
        for edit in edits {
            let mut other = stored.clone();
            edit(&mut other);
            assert!(other.decode().is_err(), "{other:?}");
        }
    }
}
