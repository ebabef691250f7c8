//! Records: the envelope around a body, and what a store keeps of it.

use std::fmt;

use magistrate_model::{Digest, DurabilityClass, Instant, Question, Verdict};
use minicbor::decode::{Decoder, Error};

use crate::cbor::{self, Encoded, In, Out, expect_key, parsed, put_instant, refused};
use crate::decision::DecisionRecord;
use crate::leaf::leaf;
use crate::private::{InvalidOpening, OpenedValues, PrivateFields, PrivatePath, Salt, restore, seal_away};
use crate::stream::{DecisionId, StreamId};
use crate::told::Told;

/// The newest version of the record format: 2 tells a caller's key and trace, 3 holds commitments to private values. A record
/// is written in the lowest version that can tell all of it, and a reader refuses versions it does not know.
const VERSION: u8 = 3;
/// Fields of the envelope.
const FIELDS: u64 = 8;
/// Bytes of the envelope at most, with both ends of its body.
const ENVELOPE_BYTES: usize = 96;
/// The kind of a decision record.
const DECISION: u8 = 0;

/// 16 random bytes in each record: without them the leaf of a guessable record would reveal it.
pub type Nonce = [u8; 16];

/// A record that still lacks its place in a stream.
#[derive(Clone)]
pub struct Draft {
    version: u8,
    body: Vec<u8>,
    recorded_at: Instant,
    class: DurabilityClass,
    opening: Option<Vec<u8>>,
}

/// The columns a store indexes, derived from the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumns {
    /// The principal, in Cedar's notation.
    pub principal: String,
    /// The action, in Cedar's notation.
    pub action: String,
    /// The resource, in Cedar's notation.
    pub resource: String,
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The cause's name.
    pub cause: &'static str,
    /// The caller's own id for the request.
    pub request_id: Option<String>,
}

impl IndexColumns {
    /// The columns of a record. A verifier derives them again from the bytes and compares.
    pub fn of(record: &DecisionRecord) -> Self {
        Self {
            principal: record.query.principal.uid().to_string(),
            action: record.query.action.to_string(),
            resource: record.query.resource.uid().to_string(),
            decision: record.verdict.decision().name(),
            cause: record.verdict.cause.name(),
            request_id: record.query.request_id.as_ref().map(ToString::to_string),
        }
    }
}

impl Draft {
    /// Encodes the record of a verdict, all but its envelope.
    pub fn decision(question: &Question, verdict: &Verdict) -> Self {
        Self::of(&Told::of(question, verdict), None)
    }

    /// The same, with commitments in the place of private values; `nonce` gives 16 fresh random bytes a call.
    pub fn keeping_private(
        question: &Question,
        verdict: &Verdict,
        fields: &PrivateFields,
        nonce: impl Fn() -> Nonce,
    ) -> Self {
        if fields.is_empty() {
            return Self::decision(question, verdict);
        }
        let mut record = DecisionRecord::of(question, verdict);
        let opening = seal_away(&mut record, fields, || salt(nonce(), nonce()));
        Self::of(&record.told(), opening.map(|opening| opening.encode()))
    }

    fn of(told: &Told<'_>, opening: Option<Vec<u8>>) -> Self {
        Self {
            version: told.version(),
            body: cbor::encode(|out| told.put(out)),
            recorded_at: told.instant,
            class: told.verdict.class,
            opening,
        }
    }

    /// The class the record asks for.
    pub fn class(&self) -> DurabilityClass {
        self.class
    }

    /// The same record, durable at least at this class.
    #[must_use]
    pub fn at_least(mut self, class: DurabilityClass) -> Self {
        self.class = self.class.max(class);
        self
    }

    #[cfg(test)]
    pub(crate) fn at(self, class: DurabilityClass) -> Self {
        Self { class, ..self }
    }

    pub(crate) fn place(&self, id: DecisionId, nonce: Nonce) -> PlacedRecord {
        let bytes = cbor::encode_within(ENVELOPE_BYTES + self.body.len(), |out| self.put(out, id, nonce));
        PlacedRecord { id, bytes, class: self.class, opening: self.opening.clone() }
    }

    #[cfg(test)]
    pub(crate) fn seal(self, id: DecisionId, nonce: Nonce) -> SealedRecord {
        let PlacedRecord { id, bytes, opening, .. } = self.place(id, nonce);
        SealedRecord::read(id, bytes, opening).unwrap()
    }

    fn put(&self, out: &mut Out<'_>, id: DecisionId, nonce: Nonce) -> Encoded {
        out.map(FIELDS)?.u8(0)?.u8(self.version)?.u8(1)?.u8(DECISION)?;
        out.u8(2)?.bytes(id.stream.as_bytes())?.u8(3)?.u64(id.seq)?;
        put_instant(out.u8(4)?, self.recorded_at)?;
        out.u8(5)?.str(self.class.name())?.u8(6)?.bytes(&nonce)?;
        cbor::put_encoded(out.u8(7)?, &self.body);
        Ok(())
    }
}

/// A numbered record on its way into a journal. Its bytes are hashed as they are stored and never encoded again.
#[derive(Clone, PartialEq, Eq)]
pub struct PlacedRecord {
    /// Its stream and place.
    pub id: DecisionId,
    /// The record.
    pub bytes: Vec<u8>,
    /// The class it is to be durable at.
    pub class: DurabilityClass,
    /// The values that the record commits to, where there are any.
    pub opening: Option<Vec<u8>>,
}

impl PlacedRecord {
    /// Its leaf.
    pub fn leaf(&self) -> Digest {
        leaf(self.id.stream, self.id.seq, &self.bytes)
    }
}

/// A numbered record on its way into a store.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// Its stream and place.
    pub id: DecisionId,
    /// Its leaf.
    pub leaf: Digest,
    /// The record.
    pub bytes: Vec<u8>,
    /// The class it is committed at.
    pub class: DurabilityClass,
    /// When it was decided; its UTC day is the partition it belongs to.
    pub recorded_at: Instant,
    /// What stores index.
    pub index: IndexColumns,
    /// The values that the record commits to, where there are any and they were not erased: kept beside the record, and no
    /// part of what is sealed.
    pub opening: Option<Vec<u8>>,
}

impl SealedRecord {
    /// Takes up again what was sealed before, found at `id`. Only what stores index is read: whoever wants to know whether
    /// the record is one, and the opening its own, decodes them.
    pub fn read(id: DecisionId, bytes: Vec<u8>, opening: Option<Vec<u8>>) -> Result<Self, InvalidRecord> {
        let skimmed = skim(&mut Decoder::new(&bytes)).map_err(|e| InvalidRecord::Format(e.to_string()))?;
        let (found, recorded_at, class, index) = skimmed;
        if found != id {
            return Err(InvalidRecord::Misplaced { expected: id, found });
        }
        Ok(Self { id, leaf: leaf(id.stream, id.seq, &bytes), bytes, class, recorded_at, index, opening })
    }
}

fn skim(input: &mut In<'_>) -> Result<(DecisionId, Instant, DurabilityClass, IndexColumns), Error> {
    let (id, recorded_at, class, _) = take_envelope(input)?;
    Ok((id, recorded_at, class, DecisionRecord::skim(input)?))
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening = self.opening.as_deref().map(Withheld);
        f.debug_struct("Draft").field("class", &self.class).field("opening", &opening).finish_non_exhaustive()
    }
}

impl fmt::Debug for PlacedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening = self.opening.as_deref().map(Withheld);
        f.debug_struct("PlacedRecord").field("id", &self.id).field("opening", &opening).finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening = self.opening.as_deref().map(Withheld);
        let mut told = f.debug_struct("SealedRecord");
        told.field("id", &self.id).field("leaf", &self.leaf).field("class", &self.class);
        told.field("recorded_at", &self.recorded_at).field("index", &self.index);
        told.field("opening", &opening).finish_non_exhaustive()
    }
}

/// Bytes of an opening, of which only how many they are is shown: what is logged of a record tells no private value.
pub(crate) struct Withheld<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Withheld<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Bytes are not a record this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// The bytes do not follow the format.
    #[error("not a record: {0}")]
    Format(String),
    /// The bytes say the same as a record, but not in its one canonical form.
    #[error("not in canonical form")]
    NotCanonical,
    /// The bytes belong to another place.
    #[error("the record says it is {found}, not {expected}")]
    Misplaced {
        /// Where it was found.
        expected: DecisionId,
        /// Where it says it belongs.
        found: DecisionId,
    },
}

/// A decision read back from history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDecision {
    /// Its stream and place.
    pub id: DecisionId,
    /// Its leaf, computed from the bytes just read.
    pub leaf: Digest,
    /// The class it was committed at.
    pub class: DurabilityClass,
    /// When it was decided.
    pub recorded_at: Instant,
    /// What was asked, known and answered.
    pub record: DecisionRecord,
    /// Where values lack that the record commits to: they were erased, or are not told here.
    pub erased: Vec<PrivatePath>,
}

impl RecordedDecision {
    /// Reads a record found at `id`, refusing anything but its one canonical form. The values that it commits to are not
    /// there until it is opened.
    pub fn decode(id: DecisionId, bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let (decoded, nonce) = take(&mut Decoder::new(bytes)).map_err(|e| InvalidRecord::Format(e.to_string()))?;
        if decoded.id != id {
            return Err(InvalidRecord::Misplaced { expected: id, found: decoded.id });
        }
        match decoded.encode(nonce) == bytes {
            true => Ok(Self { leaf: leaf(id.stream, id.seq, bytes), ..decoded }),
            false => Err(InvalidRecord::NotCanonical),
        }
    }

    /// Puts the values of an opening where they belong, if they are those that the record commits to.
    pub fn open(mut self, opening: &[u8]) -> Result<Self, InvalidOpening> {
        restore(&mut self.record, &OpenedValues::decode(opening)?)?;
        self.erased = Vec::new();
        Ok(self)
    }

    fn encode(&self, nonce: Nonce) -> Vec<u8> {
        let draft = Draft { recorded_at: self.recorded_at, class: self.class, ..Draft::of(&self.record.told(), None) };
        draft.place(self.id, nonce).bytes
    }
}

fn take(input: &mut In<'_>) -> Result<(RecordedDecision, Nonce), Error> {
    let (id, recorded_at, class, nonce) = take_envelope(input)?;
    let record = DecisionRecord::take(input)?;
    let erased = record.private.iter().map(|it| it.path.clone()).collect();
    Ok((RecordedDecision { id, leaf: Digest::ZERO, class, recorded_at, record, erased }, nonce))
}

/// Whether bytes say that they are a record with commitments to private values.
pub fn holds_commitments(bytes: &[u8]) -> bool {
    let mut input = Decoder::new(bytes);
    input.map().is_ok() && expect_key(&mut input, 0).is_ok() && input.u8().is_ok_and(|version| version >= 3)
}

/// Place, instant, class and nonce; the body follows.
fn take_envelope(input: &mut In<'_>) -> Result<(DecisionId, Instant, DurabilityClass, Nonce), Error> {
    if input.map()? != Some(FIELDS) {
        return Err(refused("the envelope has another number of fields"));
    }
    expect_key(input, 0)?;
    let version = input.u8()?;
    if !(1..=VERSION).contains(&version) {
        return Err(refused(format_args!("version {version} is newer than this program")));
    }
    expect_key(input, 1)?;
    if input.u8()? != DECISION {
        return Err(refused("not a decision"));
    }
    expect_key(input, 2)?;
    let stream = StreamId::new(sixteen(input.bytes()?)?);
    expect_key(input, 3)?;
    let id = DecisionId { stream, seq: input.u64()? };
    expect_key(input, 4)?;
    let recorded_at = cbor::instant(input)?;
    expect_key(input, 5)?;
    let class = parsed(input)?;
    expect_key(input, 6)?;
    let nonce = sixteen(input.bytes()?)?;
    expect_key(input, 7)?;
    Ok((id, recorded_at, class, nonce))
}

fn salt(one: Nonce, other: Nonce) -> Salt {
    let mut salt = [0; 32];
    salt.iter_mut().zip(one.into_iter().chain(other)).for_each(|(to, from)| *to = from);
    salt
}

fn sixteen(bytes: &[u8]) -> Result<[u8; 16], Error> {
    bytes.try_into().map_err(|_| refused("16 bytes were expected"))
}
