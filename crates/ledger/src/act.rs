//! Acts: what somebody did to the ledger, or learned from it.

use std::fmt;

use magistrate_model::{Actor, Digest, Instant};
use minicbor::decode::{Decoder, Error};

use crate::cbor::{self, Encoded, In, Out, expect_key, fixed, optional, parsed, put_instant, put_optional};
use crate::difference::{self, DifferingDecision, SecondWay};
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
    /// Private values of decisions were erased.
    Erasure {
        /// Of which decisions.
        of: Selection,
        /// Why.
        reason: String,
        /// Of how many.
        decisions: u64,
    },
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
            Self::Erasure { .. } => "erasure",
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
            Self::Erasure { of, reason, decisions } => {
                of.put(out.array(7)?.u8(5)?)?;
                out.str(reason)?.u64(*decisions)?;
            }
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
                Ok(Self::Erasure { of, reason: text(input)?, decisions: input.u64()? })
            }
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
mod tests {
    use super::*;
    use crate::difference::{Answered, Policies};
    use crate::refused::Asked;
    use crate::stream::{DecisionId, StreamId};

    fn record(act: Act) -> ActRecord {
        let at = Instant::from_micros(1_780_315_200_000_001).unwrap();
        ActRecord { id: ActId([7; 16]), at, actor: "os/mia".parse().unwrap(), act }
    }

    fn refused(address: Option<&str>, asked: Asked) -> Act {
        Act::Refused(Box::new(RefusedCall {
            cause: "NOT_READY".to_owned(),
            caller: "abcdefghijklmnop".parse().unwrap(),
            address: address.map(|it| it.parse().unwrap()),
            method: "Check".to_owned(),
            asked,
            trace: address.map(|_| magistrate_model::TraceId::new([3; 16])),
            why: "not ready".to_owned(),
        }))
    }

    fn difference(seq: Option<u64>, asked: Asked, count: u64, second: SecondWay) -> Act {
        let policies = |count: u64| Policies {
            first: (0..count.min(16)).map(|n| format!("p{n}").parse().unwrap()).collect(),
            count,
        };
        let said = |cause, determining, errored| Answered { cause, determining, errored };
        Act::Difference(Box::new(DifferingDecision {
            decision: seq.map(|seq| DecisionId { stream: StreamId::new([5; 16]), seq }),
            question: Digest::new([6; 32]),
            asked,
            revision: magistrate_model::Revision::new(8),
            policy_set: Digest::new([7; 32]),
            answered: said(magistrate_model::Cause::Permitted, policies(count), policies(0)),
            second,
            says: said(magistrate_model::Cause::NoPermit, policies(0), policies(1)),
        }))
    }

    fn selection() -> Selection {
        let (principal, since) = (Some("User::\"ana\"".to_owned()), Instant::from_micros(5).ok());
        Selection { principal, resource: None, since, until: None }
    }

    fn acts() -> Vec<Act> {
        let (first, last) = (Instant::from_micros(3).unwrap(), Instant::from_micros(4).unwrap());
        vec![
            Act::Access { verb: "audit search".to_owned(), query: "--since 7d".to_owned(), records: 9 },
            Act::Enrolment { node: "node-1".to_owned(), key: [9; 32], revoked: false },
            Act::Retention(crate::retention::tests::signed()),
            Act::Refusal { cause: "malformed".to_owned(), source: "10.0.0.1".to_owned(), count: 5, first, last },
            hold(Some(20_001), false),
            hold(None, true),
            refused(Some("::1"), Asked { principal: Some("User::\"a\"".to_owned()), ..Asked::default() }),
            refused(None, Asked::default()),
            Act::Erasure { of: selection(), reason: "ticket 7".to_owned(), decisions: 2 },
            difference(
                Some(3),
                Asked { principal: Some("User::\"a\"".to_owned()), ..Asked::default() },
                2,
                SecondWay::Authorizer,
            ),
            difference(None, Asked::default(), 40, SecondWay::Authorizer),
            difference(Some(3), Asked::default(), 1, SecondWay::Evaluation),
        ]
    }

    fn hold(last: Option<i64>, released: bool) -> Act {
        Act::Hold { name: "case-7".to_owned(), first: 20_000, last, reason: "asked for".to_owned(), released }
    }

    #[test]
    fn act_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
        for act in acts() {
            let sealed = record(act).seal().unwrap();
            assert_eq!(SealedAct::decode(&sealed.bytes), Ok(sealed.clone()));
            for at in 0..sealed.bytes.len() {
                for bit in 0..8 {
                    let mut other = sealed.bytes.clone();
                    other[at] ^= 1 << bit;
                    assert!(SealedAct::decode(&other).map_or(true, |it| it.leaf != sealed.leaf), "byte {at}");
                }
            }
            let longer = [&sealed.bytes[..], &[0]].concat();
            assert_eq!(SealedAct::decode(&longer), Err(InvalidRecord::NotCanonical));
        }
    }

    #[test]
    fn act_with_a_text_that_is_too_long_is_none() {
        let access = |length| Act::Access { verb: String::new(), query: "x".repeat(length), records: 0 };
        assert!(record(access(LONGEST)).seal().is_ok());
        assert!(matches!(record(access(LONGEST + 1)).seal(), Err(InvalidRecord::Format(_))));
    }

    #[test]
    fn selection_covers_what_fits_every_part_of_it() {
        let at = |micros| Instant::from_micros(micros).unwrap();
        let ana = "User::\"ana\"";
        let until = Selection { until: Some(at(7)), ..selection() };
        for (covered, principal, micros) in
            [(true, ana, 5), (true, ana, 6), (false, ana, 4), (false, ana, 7), (false, "x", 5)]
        {
            assert_eq!(until.covers(principal, "r", at(micros)), covered, "{principal} {micros}");
        }
        let resource = Selection { resource: Some("r".to_owned()), ..Selection::default() };
        assert!(resource.covers(ana, "r", at(0)) && !resource.covers(ana, "q", at(0)));
    }

    /// The bytes of version 1 stay what they are: a change here breaks every stored log.
    #[test]
    fn format_version_1_does_not_change() {
        let leaves: Vec<String> = acts().into_iter().map(|act| record(act).seal().unwrap().leaf.short()).collect();
        let expected = [
            "1580a0da18e5",
            "03ffd172ab1f",
            "b7e7f403ef19",
            "7dde18181d25",
            "f3c455509733",
            "cb1224a4730c",
            "6cd05e96d0b1",
            "f18dc107534b",
            "e4bb606e9be0",
            "965918c7a7e1",
            "1f0a663c1d92",
            "5e3e3aae785d",
        ];
        assert_eq!(leaves, expected);
    }
}
