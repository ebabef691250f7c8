//! A decision as a store keeps it, and what its row must say for it to be believed.

use std::fmt;

use crate::header::SealedHeader;
use crate::note::read_note;
use crate::private::InvalidOpening;
use crate::record::{IndexColumns, InvalidRecord, RecordedDecision, Withheld};
use crate::stream::{DecisionId, StreamId};

/// The columns of a stored decision. `body` is the record; all others are derived from it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// UTC day of the instant, counted from 1970-01-01.
    pub day: i64,
    /// The stream: 16 bytes.
    pub stream: Vec<u8>,
    /// The place in the stream.
    pub seq: i64,
    /// The leaf: 32 bytes.
    pub leaf: Vec<u8>,
    /// When it was decided, in microseconds.
    pub recorded_at: i64,
    /// The durability class.
    pub class: String,
    /// The principal, in Cedar's notation.
    pub principal: String,
    /// The action, in Cedar's notation.
    pub action: String,
    /// The resource, in Cedar's notation.
    pub resource: String,
    /// `allow` or `deny`.
    pub decision: String,
    /// The cause's name.
    pub cause: String,
    /// The caller's own id for the request.
    pub request_id: Option<String>,
    /// The record.
    pub body: Vec<u8>,
    /// The values that the record commits to, from beside it; none where it commits to none, or they were erased.
    pub opening: Option<Vec<u8>>,
}

impl fmt::Debug for StoredDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("StoredDecision");
        told.field("day", &self.day).field("stream", &self.stream).field("seq", &self.seq).field("leaf", &self.leaf);
        told.field("recorded_at", &self.recorded_at).field("class", &self.class).field("principal", &self.principal);
        told.field("action", &self.action).field("resource", &self.resource).field("decision", &self.decision);
        told.field("cause", &self.cause).field("request_id", &self.request_id).field("body", &self.body);
        told.field("opening", &self.opening.as_deref().map(Withheld)).finish()
    }
}

/// The columns of a stored header. `header` is what counts; all others are derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHeader {
    /// The stream: 16 bytes.
    pub stream: Vec<u8>,
    /// Its number in the stream.
    pub number: i64,
    /// The first record it covers.
    pub first_seq: i64,
    /// How many records it covers.
    pub count: i64,
    /// The root over their leaves: 32 bytes.
    pub root: Vec<u8>,
    /// The header.
    pub header: Vec<u8>,
}

/// The columns of a stored checkpoint. `note` is what counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Which log.
    pub origin: String,
    /// How many headers.
    pub size: i64,
    /// The root over them: 32 bytes.
    pub root: Vec<u8>,
    /// The signed note.
    pub note: String,
}

/// The columns of a checkpoint in the order of its fields.
pub type CheckpointColumns = (String, i64, Vec<u8>, String);

impl From<CheckpointColumns> for StoredCheckpoint {
    fn from((origin, size, root, note): CheckpointColumns) -> Self {
        Self { origin, size, root, note }
    }
}

impl StoredCheckpoint {
    /// Whether the columns say what the note says; whether that is to be believed is another question.
    pub fn agrees(&self) -> bool {
        read_note(&self.note).is_ok_and(|note| {
            note.origin == self.origin && u64::try_from(self.size) == Ok(note.size) && self.root == note.root.as_bytes()
        })
    }
}

/// The columns of a header in the order of its fields.
pub type HeaderColumns = (Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);

impl From<HeaderColumns> for StoredHeader {
    fn from((stream, number, first_seq, count, root, header): HeaderColumns) -> Self {
        Self { stream, number, first_seq, count, root, header }
    }
}

impl StoredHeader {
    /// The row of a header whose bytes are there alone. Bytes that are none become a row that says so when it is decoded.
    pub fn of_bytes(stream: StreamId, number: u64, bytes: Vec<u8>) -> Self {
        let covers = SealedHeader::decode(&bytes).map(|sealed| sealed.header.covers);
        let (first_seq, count, root) = match &covers {
            Ok(covers) => (covers.first_seq, covers.count, covers.root.as_bytes().to_vec()),
            Err(_) => (0, 0, Vec::new()),
        };
        let column = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Self {
            stream: stream.as_bytes().to_vec(),
            number: column(number),
            first_seq: column(first_seq),
            count: column(count),
            root,
            header: bytes,
        }
    }

    /// Decodes the header and compares every column with what it says; says what is wrong.
    pub fn decode(&self) -> Result<SealedHeader, String> {
        let sealed = SealedHeader::decode(&self.header).map_err(|why| why.to_string())?;
        let said = &sealed.header;
        let same = |column: i64, number: u64| u64::try_from(column) == Ok(number);
        let columns = [
            ("stream", self.stream == said.stream.as_bytes()),
            ("number", same(self.number, said.number)),
            ("first_seq", same(self.first_seq, said.covers.first_seq)),
            ("count", same(self.count, said.covers.count)),
            ("root", self.root == said.covers.root.as_bytes()),
        ];
        match columns.iter().find(|(_, agrees)| !agrees) {
            None => Ok(sealed),
            Some((column, _)) => Err(format!("the column `{column}` does not say what the header says")),
        }
    }
}

/// A stored decision whose bytes do not say what its row says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of decision {id} is damaged: {why}")]
pub struct DamagedDecision {
    /// Which record.
    pub id: DecisionId,
    /// What is wrong with it.
    pub why: String,
}

impl StoredDecision {
    /// Decodes the record and compares every column with what the record says.
    pub fn decode(&self) -> Result<RecordedDecision, DamagedDecision> {
        let id = self.place();
        let damaged = |why: String| DamagedDecision { id, why };
        let decoded = RecordedDecision::decode(id, &self.body).map_err(|why| damaged(why.to_string()))?;
        let said = IndexColumns::of(&decoded.record);
        let columns = [
            ("stream", self.stream == id.stream.as_bytes()),
            ("day", self.day == decoded.recorded_at.day()),
            ("recorded_at", self.recorded_at == decoded.recorded_at.micros()),
            ("leaf", self.leaf == decoded.leaf.as_bytes()),
            ("class", self.class == decoded.class.name()),
            ("principal", self.principal == said.principal),
            ("action", self.action == said.action),
            ("resource", self.resource == said.resource),
            ("decision", self.decision == said.decision),
            ("cause", self.cause == said.cause),
            ("request_id", self.request_id == said.request_id),
        ];
        match columns.iter().find(|(_, agrees)| !agrees) {
            None => self.open(decoded).map_err(|why| damaged(format!("its opening does not fit: {why}"))),
            Some((column, _)) => Err(damaged(format!("the column `{column}` does not say what the record says"))),
        }
    }

    fn open(&self, decoded: RecordedDecision) -> Result<RecordedDecision, InvalidOpening> {
        match &self.opening {
            Some(opening) => decoded.open(opening),
            None => Ok(decoded),
        }
    }

    /// Why the record's bytes are no record of this place, if they are not.
    pub(crate) fn misplaced(&self) -> Option<InvalidRecord> {
        RecordedDecision::decode(self.place(), &self.body).err()
    }

    /// The place the row claims.
    pub fn seq(&self) -> u64 {
        self.place().seq
    }

    /// The place a row claims; one that cannot be a place becomes another one, which the record then denies.
    fn place(&self) -> DecisionId {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(&self.stream).for_each(|(to, from)| *to = *from);
        DecisionId { stream: StreamId::new(bytes), seq: u64::try_from(self.seq).unwrap_or(0) }
    }
}
