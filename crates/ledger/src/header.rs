//! Headers: what a stream says of itself, one chained to the next.

use std::ops::RangeInclusive;

use magistrate_model::{Digest, Instant};
use minicbor::decode::{Decoder, Error};

use crate::cbor::{
    self, Encoded, In, Out, all, expect_array, expect_key, optional, put_all, put_digest, put_instant, put_optional,
    refused,
};
use crate::leaf;
use crate::record::InvalidRecord;
use crate::stream::StreamId;

/// Separates headers from every other use of SHA-256.
const DOMAIN: &[u8] = b"magistrate/header/1";
const VERSION: u8 = 1;
const FIELDS: u64 = 9;

/// What a stream says: that it began, that there are these records, that there is nothing new, or that it ended.
///
/// Headers are numbered from 1 and each names the hash of the one before. A stream says something at least every minute:
/// one that neither says anything nor has ended is silent, and that is evidence as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The stream.
    pub stream: StreamId,
    /// Its number in the stream, from 1.
    pub number: u64,
    /// The hash of the header before; zeros for the first.
    pub previous: Digest,
    /// When it was made.
    pub made_at: Instant,
    /// The records it covers.
    pub covers: Covered,
    /// What it is said for, besides.
    pub says: Says,
}

/// Records in a row, and the root over their leaves (RFC 6962, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// The first one, or the next if there is none.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
    /// The root.
    pub root: Digest,
}

/// What a header is said for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// The stream begins.
    Opens(Opening),
    /// It goes on.
    Continues,
    /// It ends in peace: nothing follows.
    Closes,
}

/// What the first header of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The node's name, for people.
    pub node: String,
    /// The public key (Ed25519) of whoever signs this stream's checkpoints.
    pub key: [u8; 32],
    /// Earlier streams that were found in the journal, and how they ended.
    pub left: Vec<LeftStream>,
}

/// How a stream ended that said so no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftStream {
    /// The stream.
    pub stream: StreamId,
    /// Hash of its last header; `None` if none was found.
    pub last_header: Option<Digest>,
    /// Records found behind the last header.
    pub unsealed: Covered,
    /// Bytes at its end that were written half, and were cut off.
    pub cut: u64,
    /// Records that were gone although later ones were there.
    pub lost: Vec<RangeInclusive<u64>>,
}

/// A header as it is stored: its bytes are hashed and never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    /// What it says.
    pub header: Header,
    /// `SHA256(0x00 ‖ domain ‖ len ‖ bytes)`: headers are leaves of the trees that checkpoints are over.
    pub hash: Digest,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

impl Covered {
    /// The place behind the last record.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.count)
    }
}

impl Header {
    /// Encodes and hashes it.
    pub fn seal(self) -> SealedHeader {
        let bytes = cbor::encode(|out| self.put(out));
        SealedHeader { hash: leaf::of(DOMAIN, &bytes), header: self, bytes }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.map(FIELDS)?.u8(0)?.u8(VERSION)?.u8(1)?.bytes(self.stream.as_bytes())?.u8(2)?.u64(self.number)?;
        put_digest(out.u8(3)?, &self.previous)?;
        put_instant(out.u8(4)?, self.made_at)?;
        put_covered(out.u8(5)?, &self.covers)?;
        out.u8(6)?.u8(self.says.kind())?.u8(7)?;
        match &self.says {
            Says::Opens(opening) => out.array(2)?.str(&opening.node)?.bytes(&opening.key)?,
            Says::Continues | Says::Closes => out.null()?,
        };
        let left = if let Says::Opens(opening) = &self.says { opening.left.as_slice() } else { &[] };
        put_all(out.u8(8)?, left.iter(), put_left)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        if input.map()? != Some(FIELDS) {
            return Err(refused(format_args!("a header has {FIELDS} fields")));
        }
        expect_key(input, 0)?;
        let version = input.u8()?;
        if version != VERSION {
            return Err(refused(format_args!("version {version} of headers is newer than this program")));
        }
        expect_key(input, 1)?;
        let stream = take_stream(input)?;
        expect_key(input, 2)?;
        let number = input.u64()?;
        expect_key(input, 3)?;
        let previous = cbor::digest(input)?;
        expect_key(input, 4)?;
        let made_at = cbor::instant(input)?;
        expect_key(input, 5)?;
        let covers = take_covered(input)?;
        expect_key(input, 6)?;
        let kind = input.u8()?;
        expect_key(input, 7)?;
        let who = optional(input, take_who)?;
        expect_key(input, 8)?;
        let left = all(input, take_left)?;
        let says = match (kind, who) {
            (0, Some((node, key))) => Says::Opens(Opening { node, key, left }),
            (1, None) if left.is_empty() => Says::Continues,
            (2, None) if left.is_empty() => Says::Closes,
            _ => return Err(refused("a header says neither that its stream opens, nor goes on, nor closes")),
        };
        Ok(Self { stream, number, previous, made_at, covers, says })
    }
}

impl Says {
    const fn kind(&self) -> u8 {
        match self {
            Self::Opens(_) => 0,
            Self::Continues => 1,
            Self::Closes => 2,
        }
    }
}

impl SealedHeader {
    /// Reads a header, refusing anything but its one canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let header =
            Header::take(&mut Decoder::new(bytes)).map_err(|error| InvalidRecord::Format(error.to_string()))?;
        let sealed = header.seal();
        match sealed.bytes == bytes {
            true => Ok(sealed),
            false => Err(InvalidRecord::NotCanonical),
        }
    }
}

fn put_covered(out: &mut Out<'_>, covered: &Covered) -> Encoded {
    put_digest(out.array(3)?.u64(covered.first_seq)?.u64(covered.count)?, &covered.root)
}

fn take_covered(input: &mut In<'_>) -> Result<Covered, Error> {
    expect_array(input, 3)?;
    Ok(Covered { first_seq: input.u64()?, count: input.u64()?, root: cbor::digest(input)? })
}

fn put_left(out: &mut Out<'_>, left: &LeftStream) -> Encoded {
    out.array(5)?.bytes(left.stream.as_bytes())?;
    put_optional(out, left.last_header.as_ref(), put_digest)?;
    put_covered(out, &left.unsealed)?;
    out.u64(left.cut)?;
    put_all(out, left.lost.iter(), |out, lost| out.array(2)?.u64(*lost.start())?.u64(*lost.end()).map(drop))
}

fn take_left(input: &mut In<'_>) -> Result<LeftStream, Error> {
    expect_array(input, 5)?;
    Ok(LeftStream {
        stream: take_stream(input)?,
        last_header: optional(input, cbor::digest)?,
        unsealed: take_covered(input)?,
        cut: input.u64()?,
        lost: all(input, |input| {
            expect_array(input, 2)?;
            Ok(input.u64()?..=input.u64()?)
        })?,
    })
}

fn take_who(input: &mut In<'_>) -> Result<(String, [u8; 32]), Error> {
    expect_array(input, 2)?;
    let node = input.str()?.to_owned();
    let key = input.bytes()?.try_into().map_err(|_| refused("a key has 32 bytes"))?;
    Ok((node, key))
}

fn take_stream(input: &mut In<'_>) -> Result<StreamId, Error> {
    input.bytes()?.try_into().map(StreamId::new).map_err(|_| refused("a stream has 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(says: Says) -> Header {
        let covers = Covered { first_seq: 5, count: 3, root: Digest::new([4; 32]) };
        let made_at = Instant::from_micros(1_780_315_200_000_001).unwrap();
        Header { stream: StreamId::new([7; 16]), number: 2, previous: Digest::new([3; 32]), made_at, covers, says }
    }

    fn opening() -> Opening {
        let left = LeftStream {
            stream: StreamId::new([8; 16]),
            last_header: Some(Digest::new([1; 32])),
            unsealed: Covered { first_seq: 9, count: 1, root: Digest::new([2; 32]) },
            cut: 17,
            lost: vec![3..=4, 6..=6],
        };
        let bare = LeftStream { last_header: None, lost: Vec::new(), ..left.clone() };
        Opening { node: "node-1".to_owned(), key: [9; 32], left: vec![left, bare] }
    }

    #[test]
    fn header_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
        for says in [Says::Opens(opening()), Says::Continues, Says::Closes] {
            let sealed = header(says).seal();
            assert_eq!(SealedHeader::decode(&sealed.bytes), Ok(sealed.clone()));
            for at in 0..sealed.bytes.len() {
                for bit in 0..8 {
                    let mut other = sealed.bytes.clone();
                    other[at] ^= 1 << bit;
                    assert!(SealedHeader::decode(&other).map_or(true, |it| it.hash != sealed.hash), "byte {at}");
                }
            }
        }
    }

    /// The bytes of version 1 stay what they are: a change here breaks every stored chain.
    #[test]
    fn format_version_1_does_not_change() {
        assert_eq!(
            header(Says::Opens(opening())).seal().hash.to_string(),
            "0f5e472e9f98a42f1563b7b83175b49084b3ce7d913ba15ef4f5a7eaf10d18e2"
        );
    }
}
