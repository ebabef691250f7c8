//! Reading frames back, in the order they were appended.

use std::io;
use std::sync::Arc;

use magistrate_ledger::{DecisionId, SealedHeader, SealedRecord};

use crate::format::{FRAME_HEADER, Found, Kind, OPENING_HEADER, look};
use crate::segment::Segment;
use crate::shared::Position;

/// Bytes read at a time.
const BLOCK: u64 = 1 << 18;

/// A segment cannot be read, or does not hold what was appended to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read `{path}`: {error}")]
    Io { path: String, error: io::Error },
    #[error("`{path}` does not hold what was appended to it, at byte {at}: {why}")]
    Damaged { path: String, at: u64, why: String },
    #[error("segment {0} of the journal is gone before it was shipped")]
    Gone(u32),
}

/// Reads from a place in a segment on.
#[derive(Debug)]
pub(crate) struct Reader {
    segment: Arc<Segment>,
    seed: crc32fast::Hasher,
    at: u64,
    block: Vec<u8>,
    block_at: u64,
}

/// A frame, taken out of its segment.
#[derive(Debug)]
pub(crate) enum Item {
    /// With the place where its opening begins in the segment, if it has one.
    Record(SealedRecord, Option<u64>),
    Header(SealedHeader),
    /// The stream goes on in the next segment.
    End,
}

impl Reader {
    pub(crate) fn new(segment: Arc<Segment>, at: u64) -> Self {
        Self { seed: segment.id.seed(), segment, at, block: Vec::new(), block_at: 0 }
    }

    pub(crate) fn number(&self) -> u32 {
        self.segment.id.number
    }

    /// Where this segment ends, if the stream ends there.
    pub(crate) fn end(&self, stream: Position) -> u64 {
        if stream.number == self.number() { stream.offset } else { self.segment.size }
    }

    /// The next frame before `end`, which begins no frame in the middle.
    pub(crate) fn next(&mut self, end: u64) -> Result<Option<Item>, ReadError> {
        if self.at >= end {
            return Ok(None);
        }
        self.have(FRAME_HEADER as u64, end)?;
        let needed = self.rest().first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
        self.have(FRAME_HEADER as u64 + needed, end)?;
        let (item, size) = match look(self.rest(), &self.seed) {
            Found::Frame { kind: Kind::Record, number, holds, opening, size } => {
                (self.record(number, holds, opening)?, size)
            }
            Found::Frame { kind: Kind::Header, holds, size, .. } => (self.header(holds)?, size),
            Found::Frame { kind: Kind::End, size, .. } => (Item::End, size),
            Found::Blank => return Err(self.damaged("nothing is there")),
            Found::Broken => return Err(self.damaged("its checksum does not fit")),
        };
        self.at += size as u64;
        Ok(Some(item))
    }

    fn record(&self, seq: u64, bytes: &[u8], opening: Option<&[u8]>) -> Result<Item, ReadError> {
        let id = DecisionId { stream: self.segment.id.stream, seq };
        let record = SealedRecord::read(id, bytes.to_vec(), opening.map(<[u8]>::to_vec));
        let place = opening.map(|_| self.at + (FRAME_HEADER + OPENING_HEADER) as u64);
        record.map(|record| Item::Record(record, place)).map_err(|error| self.damaged(&error.to_string()))
    }

    /// The segment that it reads.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    fn header(&self, bytes: &[u8]) -> Result<Item, ReadError> {
        SealedHeader::decode(bytes).map(Item::Header).map_err(|error| self.damaged(&error.to_string()))
    }

    fn rest(&self) -> &[u8] {
        let from = usize::try_from(self.at - self.block_at).unwrap_or(usize::MAX);
        self.block.get(from..).unwrap_or_default()
    }

    /// Makes sure that so many bytes lie in the block, as far as there are so many before `end`.
    fn have(&mut self, bytes: u64, end: u64) -> Result<(), ReadError> {
        let wanted = (self.at + bytes).min(end);
        let block_end = self.block_at + self.block.len() as u64;
        if self.at >= self.block_at && wanted <= block_end {
            return Ok(());
        }
        let length = (self.at + bytes.max(BLOCK)).min(end) - self.at;
        self.block.resize(usize::try_from(length).unwrap_or(0), 0);
        self.block_at = self.at;
        let read = self.segment.read(self.at, &mut self.block);
        read.map_err(|error| ReadError::Io { path: self.segment.path.display().to_string(), error })
    }

    fn damaged(&self, why: &str) -> ReadError {
        ReadError::Damaged { path: self.segment.path.display().to_string(), at: self.at, why: why.to_owned() }
    }
}
