//! Acts: what somebody did to the ledger, or learned from it.

use std::fmt;

use magistrate_model::{Actor, Digest, Instant};
use minicbor::decode::{Decoder, Error};

use crate::cbor::{self, Encoded, In, Out, expect_key, fixed, optional, parsed, put_instant, put_optional};
use crate::difference::{self, DifferingDecision, SecondWay};
use crate::erasure::SignedErasure;
use crate::leaf;
use crate::record::InvalidRecord;
use crate::refused::{self, RefusedCall};
use crate::retention::SignedExpiry;
use crate::selection::Selection;

/// Separates acts from every other use of SHA-256.
const DOMAIN: &[u8] = b"magistrate/act/1";
const VERSION: u8 = 1;
const FIELDS: u64 = 5;
/// The longest text of an act. Whoever has a longer one cuts it before.
const LONGEST: usize = 4_096;

/// The name of an act: 16 random bytes. They also keep a leaf from telling what its act was to whoever guesses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActId(pub [u8; 16]);

impl ActId {
    /// From 32 lower-case hexadecimal digits, if it is that.
    pub fn from_hex(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))?;
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Something that was done, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActRecord {
    /// Its name.
    pub id: ActId,
    /// When, by the clock of whoever did it.
    pub at: Instant,
    /// Who.
    pub actor: Actor,
    /// What.
    pub act: Act,
}

/// What was done. No text is longer than 4,096 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// History was read or taken out.
    Access {
        /// How: the name of the verb or call.
        verb: String,
        /// What was asked for.
        query: String,
        /// How many records were told.
        records: u64,
    },
    /// A node's key signs from now on, or no more.
    Enrolment {
        /// The node's name, for people.
        node: String,
        /// The public key (Ed25519).
        key: [u8; 32],
        /// Whether it signs no more.
        revoked: bool,
    },
    /// Records were taken out of the store because they were old enough.
    Retention(SignedExpiry),
    /// Requests were refused, summed up.
    Refusal {
        /// Why.
        cause: String,
        /// From where.
        source: String,
        /// How many.
        count: u64,
        /// When the first one came.
        first: Instant,
        /// When the last one came.
        last: Instant,
    },
    /// Records are not to be taken out of the store, or may be again.
    Hold {
        /// The name it is released by.
        name: String,
        /// The first day, counted from 1970-01-01.
        first: i64,
        /// The last day; none for all days to come.
        last: Option<i64>,
        /// What for.
        reason: String,
        /// Whether it ends.
        released: bool,
    },
    /// A call of a known caller was refused.
    Refused(Box<RefusedCall>),
    /// Private values of decisions were erased, as was recorded before such acts were signed.
    UnsignedErasure {
        /// Of which decisions.
        of: Selection,
        /// Why.
        reason: String,
        /// Of how many.
        decisions: u64,
    },
    /// Private values of decisions were erased.
    Erasure(Box<SignedErasure>),
    /// A decision is made otherwise by Cedar's own authorizer, which answers from then on.
    Difference(Box<DifferingDecision>),
}

/// An act as it is stored: its bytes are hashed and never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAct {
    /// What it says.
    pub record: ActRecord,
    /// `SHA256(0x00 ‖ domain ‖ len ‖ bytes)`.
    pub leaf: Digest,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

impl Act {
    /// What it is called.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Access { .. } => "access",
            Self::Enrolment { .. } => "enrolment",
            Self::Retention(_) => "retention",
            Self::Refusal { .. } => "refusal",
            Self::Hold { .. } => "hold",
            Self::Refused(_) => "refused",
            Self::Erasure(_) | Self::UnsignedErasure { .. } => "erasure",
            Self::Difference(_) => "difference",
        }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        match self {
            Self::Access { verb, query, records } => {
                out.array(4)?.u8(0)?.str(verb)?.str(query)?.u64(*records)?;
            }
            Self::Enrolment { node, key, revoked } => {
                out.array(4)?.u8(1)?.str(node)?.bytes(key)?.bool(*revoked)?;
            }
            Self::Retention(signed) => signed.put(out.array(2)?.u8(2)?)?,
            Self::Refusal { cause, source, count, first, last } => {
                out.array(6)?.u8(3)?.str(cause)?.str(source)?.u64(*count)?;
                put_instant(out, *first)?;
                put_instant(out, *last)?;
            }
            Self::Hold { name, first, last, reason, released } => {
                put_optional(out.array(6)?.u8(4)?.str(name)?.i64(*first)?, *last, |out, it| out.i64(it).map(drop))?;
                out.str(reason)?.bool(*released)?;
            }
            Self::Refused(call) => call.put(out.array(refused::LENGTH)?.u8(6)?)?,
            Self::UnsignedErasure { of, reason, decisions } => {
                of.put(out.array(7)?.u8(5)?)?;
                out.str(reason)?.u64(*decisions)?;
            }
            Self::Erasure(signed) => signed.put(out.array(2)?.u8(10)?)?,
            Self::Difference(it) => it.put(out.array(difference::LENGTH)?.u8(it.second.kind())?)?,
        }
        Ok(())
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        let length = input.array()?;
        match (input.u8()?, length) {
            (0, Some(4)) => Ok(Self::Access { verb: text(input)?, query: text(input)?, records: input.u64()? }),
            (1, Some(4)) => Ok(Self::Enrolment { node: text(input)?, key: fixed(input)?, revoked: input.bool()? }),
            (2, Some(2)) => Ok(Self::Retention(SignedExpiry::take(input)?)),
            (3, Some(6)) => Ok(Self::Refusal {
                cause: text(input)?,
                source: text(input)?,
                count: input.u64()?,
                first: cbor::instant(input)?,
                last: cbor::instant(input)?,
            }),
            (4, Some(6)) => Ok(Self::Hold {
                name: text(input)?,
                first: input.i64()?,
                last: optional(input, day)?,
                reason: text(input)?,
                released: input.bool()?,
            }),
            (6, Some(refused::LENGTH)) => Ok(Self::Refused(Box::new(RefusedCall::take(input)?))),
            (5, Some(7)) => {
                let of = Selection::take(input)?;
                Ok(Self::UnsignedErasure { of, reason: text(input)?, decisions: input.u64()? })
            }
            (10, Some(2)) => Ok(Self::Erasure(Box::new(SignedErasure::take(input)?))),
            (7, Some(difference::LENGTH)) => differing(input, SecondWay::Authorizer),
            (9, Some(difference::LENGTH)) => differing(input, SecondWay::Evaluation),
            _ => Err(cbor::refused("an act of a kind that is not known")),
        }
    }
}

fn differing(input: &mut In<'_>, second: SecondWay) -> Result<Act, Error> {
    Ok(Act::Difference(Box::new(DifferingDecision::take(input, second)?)))
}

impl ActRecord {
    /// Encodes and hashes it, unless a text is too long.
    pub fn seal(self) -> Result<SealedAct, InvalidRecord> {
        let bytes = cbor::encode(|out| self.put(out));
        SealedAct::decode(&bytes)
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.map(FIELDS)?.u8(0)?.u8(VERSION)?.u8(1)?.bytes(&self.id.0)?;
        put_instant(out.u8(2)?, self.at)?;
        self.act.put(out.u8(3)?.str(self.actor.as_str())?.u8(4)?)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_fields(input)?;
        expect_key(input, 0)?;
        let version = input.u8()?;
        if version != VERSION {
            return Err(cbor::refused(format_args!("version {version} of acts is newer than this program")));
        }
        expect_key(input, 1)?;
        let id = ActId(fixed(input)?);
        expect_key(input, 2)?;
        let at = cbor::instant(input)?;
        expect_key(input, 3)?;
        let actor = parsed(input)?;
        expect_key(input, 4)?;
        Ok(Self { id, at, actor, act: Act::take(input)? })
    }
}

impl SealedAct {
    /// Reads an act, refusing anything but its one canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let record =
            ActRecord::take(&mut Decoder::new(bytes)).map_err(|error| InvalidRecord::Format(error.to_string()))?;
        match cbor::encode(|out| record.put(out)) == bytes {
            true => Ok(Self { record, leaf: leaf::of(DOMAIN, bytes), bytes: bytes.to_vec() }),
            false => Err(InvalidRecord::NotCanonical),
        }
    }
}

fn expect_fields(input: &mut In<'_>) -> Result<(), Error> {
    match input.map()? == Some(FIELDS) {
        true => Ok(()),
        false => Err(cbor::refused(format_args!("an act has {FIELDS} fields"))),
    }
}

fn day(input: &mut In<'_>) -> Result<i64, Error> {
    input.i64()
}

pub(crate) fn text(input: &mut In<'_>) -> Result<String, Error> {
    let text = input.str()?;
    match text.len() <= LONGEST {
        true => Ok(text.to_owned()),
        false => Err(cbor::refused(format_args!("a text of an act has at most {LONGEST} bytes"))),
    }
}

#[cfg(test)]
mod tests;
