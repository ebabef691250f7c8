//! Openings: what commitments are over, kept beside a record and never in it.

use magistrate_model::Value;
use minicbor::decode::{Decoder, Error};

use super::Committed;
use super::commitment::{Salt, commitment};
use super::path::PrivatePath;
use crate::cbor::{self, Encoded, In, Out, all, expect_array, fixed, put_all, refused};

/// A private value with its salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where it belongs.
    pub path: PrivatePath,
    /// What its commitment is salted with.
    pub(crate) salt: Salt,
    /// The value.
    pub value: Value,
}

/// The values of one record, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedValues(pub(super) Vec<Opened>);

/// An opening is not that of its record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOpening {
    /// Its bytes are none, or not in their one canonical form.
    #[error("not an opening: {0}")]
    Format(String),
    /// It has values of other places than the record commits to.
    #[error("it has not exactly the values that the record commits to")]
    OtherPaths,
    /// A value is not the one that the record commits to.
    #[error("the value at `{0}` is not the one that the record commits to")]
    OtherValue(PrivatePath),
    /// A value cannot stand where it should.
    #[error("the value at `{0}` cannot stand there")]
    NoPlace(PrivatePath),
}

/// INVARIANT: neither salt nor value gets into a log.
impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Opened {
    pub(super) fn committed(&self) -> Committed {
        Committed { path: self.path.clone(), commitment: commitment(&self.salt, &self.path, &self.value) }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.array(3)?.str(&self.path.to_string())?.bytes(&self.salt)?;
        cbor::put_value(out, &self.value)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 3)?;
        let path = input.str()?.parse().map_err(refused)?;
        Ok(Self { path, salt: fixed(input)?, value: cbor::top_value(input)? })
    }
}

impl OpenedValues {
    /// Every value.
    pub fn all(&self) -> &[Opened] {
        &self.0
    }

    /// In canonical CBOR: an array of `[path, salt, value]`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        cbor::encode(|out| put_all(out, self.0.iter(), |out, opened| opened.put(out)))
    }

    /// Reads an opening, refusing anything but its one canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidOpening> {
        let opened = all(&mut Decoder::new(bytes), Opened::take);
        let opened = Self(opened.map_err(|error| InvalidOpening::Format(error.to_string()))?);
        match opened.encode() == bytes {
            true => Ok(opened),
            false => Err(InvalidOpening::Format("not in canonical form".to_owned())),
        }
    }
}
