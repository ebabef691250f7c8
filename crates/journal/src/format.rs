//! How a segment lies on disk.
//!
//! A segment begins with 64 bytes: `MGJRNL01`, the stream (16 bytes), the segment's number in it (4), 4 zeros, when it was
//! made (8, microseconds), zeros, and the CRC-32 of all that (4). Frames follow, each at a multiple of 8: length of what
//! it holds (4), CRC-32 (4), kind (1), 7 zeros, number (8), what it holds, zeros up to a multiple of 8. All numbers are
//! little-endian. The CRC of a frame covers stream and number of the segment, then everything behind itself: a frame of
//! another segment is none. Behind the last frame lie zeros.
//!
//! A record with private values lies in one frame with its opening: length of the opening (4), CRC-32 over it (4), the
//! opening, the record. The frame's CRC leaves out the opening, so that it can be overwritten once it need not be here any
//! more: with bytes of 255, of which the first eight tell that it was. Whoever finds the record so finds its opening, or
//! that it was overwritten; anything else is no frame.

use magistrate_ledger::{PlacedRecord, SealedHeader, StreamId};
use magistrate_model::Instant;

const MAGIC: &[u8; 8] = b"MGJRNL01";
/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Bytes before what a frame holds.
pub(crate) const FRAME_HEADER: usize = 24;
const ALIGNMENT: usize = 8;

/// Which segment: a stream's, by number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    pub(crate) stream: StreamId,
    pub(crate) number: u32,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record; its number is its `seq`.
    Record = 1,
    /// A header of the stream; its number is its batch's.
    Header = 2,
    /// Nothing: the stream goes on in the next segment.
    End = 3,
}

/// The kind of a record with its opening, as it lies there.
const WITH_OPENING: u8 = 4;
/// Bytes before an opening in its frame.
pub(crate) const OPENING_HEADER: usize = 8;
/// What an opening is overwritten with. CBOR begins no array so.
pub(crate) const OVERWRITTEN: u8 = 0xff;
/// So many bytes of it tell that an opening was overwritten: they are written at once, being of one sector.
pub(crate) const TELLING: usize = 8;

/// A frame that is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    number: u64,
    holds: &'a [u8],
    opening: Option<&'a [u8]>,
}

/// What lies at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A frame that was written whole.
    Frame {
        kind: Kind,
        number: u64,
        holds: &'a [u8],
        /// What lies beside a record, unless it was overwritten.
        opening: Option<&'a [u8]>,
        /// Bytes up to the next frame.
        size: usize,
    },
    /// Zeros: nothing was written here.
    Blank,
    /// Something else.
    Broken,
}

impl SegmentId {
    pub(crate) fn name(self) -> String {
        format!("{}-{:08}.segment", self.stream, self.number)
    }

    pub(crate) fn header(self, made_at: Instant) -> [u8; SEGMENT_HEADER] {
        let mut header = [0; SEGMENT_HEADER];
        let parts: [&[u8]; 4] =
            [MAGIC, self.stream.as_bytes(), &u64::from(self.number).to_le_bytes(), &made_at.micros().to_le_bytes()];
        let bytes = parts.concat();
        header.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        let (body, crc) = header.split_at_mut(SEGMENT_HEADER - 4);
        crc.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        header
    }

    /// Reads a header, and when the segment was made.
    pub(crate) fn read(header: &[u8]) -> Option<(Self, Instant)> {
        let header: &[u8; SEGMENT_HEADER] = header.try_into().ok()?;
        let (body, crc) = header.split_at(SEGMENT_HEADER - 4);
        let intact = body.starts_with(MAGIC) && crc32fast::hash(body).to_le_bytes() == *crc;
        let stream: [u8; 16] = intact.then(|| body.get(8..24))??.try_into().ok()?;
        let number = u32::try_from(number(body, 24)?).ok()?;
        let made_at = i64::from_le_bytes(body.get(32..40)?.try_into().ok()?);
        Some((Self { stream: StreamId::new(stream), number }, Instant::from_micros(made_at).ok()?))
    }

    /// What the checksums of its frames begin with.
    pub(crate) fn seed(self) -> crc32fast::Hasher {
        let mut seed = crc32fast::Hasher::new();
        seed.update(self.stream.as_bytes());
        seed.update(&self.number.to_le_bytes());
        seed
    }
}

/// Bytes that a frame takes.
pub(crate) const fn frame_size(holds: usize) -> usize {
    (FRAME_HEADER + holds).next_multiple_of(ALIGNMENT)
}

impl<'a> Frame<'a> {
    pub(crate) const END: Self = Self { kind: Kind::End, number: 0, holds: &[], opening: None };

    pub(crate) fn record(record: &'a PlacedRecord) -> Self {
        let opening = record.opening.as_deref();
        Self { kind: Kind::Record, number: record.id.seq, holds: &record.bytes, opening }
    }

    pub(crate) fn header(header: &'a SealedHeader) -> Self {
        Self { kind: Kind::Header, number: header.header.number, holds: &header.bytes, opening: None }
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        frame_size(self.opening.map_or(0, |opening| OPENING_HEADER + opening.len()) + self.holds.len())
    }

    /// Puts it behind what is there.
    pub(crate) fn put(&self, out: &mut Vec<u8>, seed: &crc32fast::Hasher) {
        let opening = self.opening.unwrap_or_default();
        let before =
            self.opening.map(|opening| [length(opening.len()), crc32fast::hash(opening).to_le_bytes()].concat());
        let before = before.unwrap_or_default();
        let length = length(before.len() + opening.len() + self.holds.len());
        let kind = self.opening.map_or(self.kind as u8, |_| WITH_OPENING);
        let (kind, number) = ([kind, 0, 0, 0, 0, 0, 0, 0], self.number.to_le_bytes());
        let mut crc = seed.clone();
        [&length[..], &kind, &number, &before, self.holds].iter().for_each(|part| crc.update(part));
        out.extend_from_slice(&length);
        out.extend_from_slice(&crc.finalize().to_le_bytes());
        [&kind[..], &number, &before, opening, self.holds].iter().for_each(|part| out.extend_from_slice(part));
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// Looks at what lies at the beginning of `bytes`, which go on to the end of the segment.
pub(crate) fn look<'a>(bytes: &'a [u8], seed: &crc32fast::Hasher) -> Found<'a> {
    match frame(bytes, seed) {
        Some(found) => found,
        None if bytes.iter().take(FRAME_HEADER).all(|byte| *byte == 0) => Found::Blank,
        None => Found::Broken,
    }
}

fn frame<'a>(bytes: &'a [u8], seed: &crc32fast::Hasher) -> Option<Found<'a>> {
    let (head, rest) = bytes.split_at_checked(FRAME_HEADER)?;
    let (kind, is_with_opening) = match head.get(8..16)? {
        [1, 0, 0, 0, 0, 0, 0, 0] => (Kind::Record, false),
        [2, 0, 0, 0, 0, 0, 0, 0] => (Kind::Header, false),
        [3, 0, 0, 0, 0, 0, 0, 0] => (Kind::End, false),
        [WITH_OPENING, 0, 0, 0, 0, 0, 0, 0] => (Kind::Record, true),
        _ => return None,
    };
    let length = u32::from_le_bytes(head.get(..4)?.try_into().ok()?) as usize;
    let payload = rest.get(..length)?;
    let (before, opening, holds) = if is_with_opening { with_opening(payload)? } else { (&[][..], None, payload) };
    let mut crc = seed.clone();
    [head.get(..4)?, head.get(8..)?, before, holds].iter().for_each(|part| crc.update(part));
    let intact = head.get(4..8)? == crc.finalize().to_le_bytes();
    let size = frame_size(length).min(bytes.len());
    intact.then_some(Found::Frame { kind, number: number(head, 16)?, holds, opening, size })
}

/// What lies before an opening, the opening unless it was overwritten, and the record behind it.
type WithOpening<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn with_opening(payload: &[u8]) -> Option<WithOpening<'_>> {
    let (before, rest) = payload.split_at_checked(OPENING_HEADER)?;
    let length = u32::from_le_bytes(before.get(..4)?.try_into().ok()?) as usize;
    let (opening, record) = rest.split_at_checked(length)?;
    if opening.len() >= TELLING && opening.iter().take(TELLING).all(|byte| *byte == OVERWRITTEN) {
        return Some((before, None, record));
    }
    let intact = before.get(4..)? == crc32fast::hash(opening).to_le_bytes();
    intact.then_some((before, Some(opening), record))
}

/// The first frame behind `from` that was written whole.
pub(crate) fn resume(bytes: &[u8], from: usize, seed: &crc32fast::Hasher) -> Option<usize> {
    let places = (from.next_multiple_of(ALIGNMENT)..bytes.len()).step_by(ALIGNMENT);
    places.into_iter().find(|at| matches!(bytes.get(*at..).map(|rest| look(rest, seed)), Some(Found::Frame { .. })))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SegmentId {
        SegmentId { stream: StreamId::new([7; 16]), number }
    }

    #[test]
    fn header_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
        let made_at = Instant::from_micros(1_780_315_200_000_001).unwrap();
        let header = id(3).header(made_at);
        assert_eq!(SegmentId::read(&header), Some((id(3), made_at)));
        for at in 0..SEGMENT_HEADER {
            let mut other = header;
            other[at] ^= 1;
            assert_eq!(SegmentId::read(&other), None, "byte {at}");
        }
    }

    #[test]
    fn frame_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
        for length in [0, 1, 7, 8, 9, 300] {
            let holds = vec![5; length];
            let mut bytes = Vec::new();
            Frame { kind: Kind::Record, number: 42, holds: &holds, opening: None }.put(&mut bytes, &id(1).seed());
            assert_eq!(bytes.len(), frame_size(length));
            let found = look(&bytes, &id(1).seed());
            let (kind, size) = (Kind::Record, bytes.len());
            assert_eq!(found, Found::Frame { kind, number: 42, holds: &holds, opening: None, size });
            assert_eq!(look(&bytes, &id(2).seed()), Found::Broken, "of another segment");
            for at in 0..FRAME_HEADER + length {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(look(&other, &id(1).seed()), Found::Broken, "byte {at}");
            }
            for cut in 1..FRAME_HEADER + length {
                let mut torn = bytes.clone();
                torn[cut..].fill(0);
                let expected = if torn.iter().all(|byte| *byte == 0) { Found::Blank } else { Found::Broken };
                assert!(torn == bytes || look(&torn, &id(1).seed()) == expected, "cut at {cut}");
            }
        }
        assert_eq!(look(&[0; 64], &id(1).seed()), Found::Blank);
    }

    /// Torn anywhere it is no frame; overwritten, wholly or from its beginning on, it is the record alone.
    #[test]
    fn record_is_found_with_its_opening_or_not_at_all() {
        for (length, opening) in [(1, vec![7; 8]), (300, vec![7; 61])] {
            let (holds, mut bytes) = (vec![5; length], Vec::new());
            let written = Frame { kind: Kind::Record, number: 42, holds: &holds, opening: Some(&opening) };
            written.put(&mut bytes, &id(1).seed());
            assert_eq!(bytes.len(), written.size());
            let (kind, size) = (Kind::Record, bytes.len());
            let whole = Found::Frame { kind, number: 42, holds: &holds, opening: Some(&opening), size };
            assert_eq!(look(&bytes, &id(1).seed()), whole);
            let (from, end) = (FRAME_HEADER + OPENING_HEADER, FRAME_HEADER + OPENING_HEADER + opening.len() + length);
            for at in 0..end {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(look(&other, &id(1).seed()), Found::Broken, "byte {at}");
                let mut torn = bytes.clone();
                torn[at..].fill(0);
                assert!(matches!(look(&torn, &id(1).seed()), Found::Broken | Found::Blank), "cut at {at}");
                // Pages may reach a disk in any order.
                let mut hole = bytes.clone();
                hole[at..(at + 16).min(end)].fill(0);
                assert_eq!(look(&hole, &id(1).seed()), Found::Broken, "hole at {at}");
            }
            let alone = Found::Frame { kind, number: 42, holds: &holds, opening: None, size };
            for overwritten in 0..=opening.len() {
                let mut other = bytes.clone();
                other[from..from + overwritten].fill(OVERWRITTEN);
                let expected = match overwritten {
                    0 => whole,
                    1..8 => Found::Broken,
                    _ => alone,
                };
                assert_eq!(look(&other, &id(1).seed()), expected, "{overwritten} bytes overwritten");
            }
        }
    }

    #[test]
    fn resuming_finds_the_next_whole_frame() {
        let mut bytes = vec![9; 40];
        Frame { kind: Kind::Header, number: 1, holds: b"x", opening: None }.put(&mut bytes, &id(1).seed());
        assert_eq!(resume(&bytes, 1, &id(1).seed()), Some(40));
        assert_eq!(resume(&bytes, 41, &id(1).seed()), None);
    }
}
