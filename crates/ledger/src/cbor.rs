//! Model values in deterministic CBOR (RFC 8949, section 4.2.1): shortest forms, definite lengths, map
//! keys in the byte order of their encodings.
//!
//! References carry tag 39 (identifier) over `[type, id]`, extension values tag 27 (generic object) over
//! `[function, argument]`, sets tag 258 (finite set).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use magistrate_model::{
    AttributeName, Digest, EntityData, EntityInput, EntityUid, ExtensionFunction, Instant, Record, Value,
};
use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

const REFERENCE: Tag = Tag::new(39);
const EXTENSION: Tag = Tag::new(27);
const SET: Tag = Tag::new(258);

pub(crate) type Out<'a> = Encoder<&'a mut Buffer>;
pub(crate) type Encoded = Result<(), minicbor::encode::Error<Infallible>>;
pub(crate) type In<'b> = Decoder<'b>;

/// Bytes that are written to a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl minicbor::encode::Write for Buffer {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        match bytes {
            // The head of nearly every item.
            [one] => self.0.push(*one),
            more => self.0.extend_from_slice(more),
        }
        Ok(())
    }
}

pub(crate) fn encode(write: impl FnOnce(&mut Out<'_>) -> Encoded) -> Vec<u8> {
    encode_within(512, write)
}

/// The same, where it is known about how many bytes it will be. Writing into memory cannot fail; the encoder's error type says
/// so only at run time.
pub(crate) fn encode_within(bytes: usize, write: impl FnOnce(&mut Out<'_>) -> Encoded) -> Vec<u8> {
    let mut buffer = Buffer(Vec::with_capacity(bytes));
    let written = write(&mut Encoder::new(&mut buffer));
    debug_assert!(written.is_ok(), "encoding into memory cannot fail");
    buffer.0
}

/// Puts what is encoded already.
pub(crate) fn put_encoded(out: &mut Out<'_>, bytes: &[u8]) {
    out.writer_mut().0.extend_from_slice(bytes);
}

pub(crate) fn refused(why: impl std::fmt::Display) -> Error {
    Error::message(why)
}

pub(crate) fn put_uid(out: &mut Out<'_>, uid: &EntityUid) -> Encoded {
    out.array(2)?.str(uid.type_name().as_str())?.str(uid.id().as_str())?;
    Ok(())
}

pub(crate) fn uid(input: &mut In<'_>) -> Result<EntityUid, Error> {
    expect_array(input, 2)?;
    EntityUid::from_parts(input.str()?, input.str()?).map_err(refused)
}

pub(crate) fn put_all<T>(
    out: &mut Out<'_>,
    items: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut Out<'_>, T) -> Encoded,
) -> Encoded {
    out.array(items.len() as u64)?;
    for item in items {
        put(out, item)?;
    }
    Ok(())
}

pub(crate) fn all<T>(
    input: &mut In<'_>,
    mut take: impl FnMut(&mut In<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let length = input.array()?.ok_or_else(|| refused("an array of unknown length"))?;
    (0..length).map(|_| take(input)).collect()
}

pub(crate) fn put_optional<T>(
    out: &mut Out<'_>,
    item: Option<T>,
    put: impl FnOnce(&mut Out<'_>, T) -> Encoded,
) -> Encoded {
    match item {
        Some(item) => put(out, item),
        None => out.null().map(drop),
    }
}

pub(crate) fn optional<T>(
    input: &mut In<'_>,
    take: impl FnOnce(&mut In<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if input.datatype()? == Type::Null {
        return input.null().map(|()| None);
    }
    take(input).map(Some)
}

pub(crate) fn expect_array(input: &mut In<'_>, length: u64) -> Result<(), Error> {
    match input.array()? == Some(length) {
        true => Ok(()),
        false => Err(refused(format_args!("an array of {length} was expected"))),
    }
}

pub(crate) fn expect_key(input: &mut In<'_>, key: u8) -> Result<(), Error> {
    match input.u8()? == key {
        true => Ok(()),
        false => Err(refused(format_args!("field {key} was expected"))),
    }
}

pub(crate) fn put_instant(out: &mut Out<'_>, instant: Instant) -> Encoded {
    out.i64(instant.micros()).map(drop)
}

pub(crate) fn instant(input: &mut In<'_>) -> Result<Instant, Error> {
    Instant::from_micros(input.i64()?).map_err(refused)
}

pub(crate) fn put_digest(out: &mut Out<'_>, digest: &Digest) -> Encoded {
    out.bytes(digest.as_bytes()).map(drop)
}

pub(crate) fn digest(input: &mut In<'_>) -> Result<Digest, Error> {
    Digest::from_slice(input.bytes()?).map_err(refused)
}

pub(crate) fn fixed<const N: usize>(input: &mut In<'_>) -> Result<[u8; N], Error> {
    input.bytes()?.try_into().map_err(|_| refused(format_args!("{N} bytes were expected")))
}

pub(crate) fn put_record(out: &mut Out<'_>, record: &Record) -> Encoded {
    let mut entries: Vec<_> = record.iter().collect();
    entries.sort_by_key(|(name, _)| (name.as_str().len(), name.as_str()));
    out.map(entries.len() as u64)?;
    for (name, value) in entries {
        out.str(name.as_str())?;
        put_value(out, value)?;
    }
    Ok(())
}

/// Levels a value may nest: far more than a door lets in, far less than a stack holds.
const MAX_DEPTH: usize = 64;

pub(crate) fn record(input: &mut In<'_>) -> Result<Record, Error> {
    record_within(input, MAX_DEPTH)
}

fn record_within(input: &mut In<'_>, levels: usize) -> Result<Record, Error> {
    let levels = levels.checked_sub(1).ok_or_else(|| refused("a value nested too deep"))?;
    let length = input.map()?.ok_or_else(|| refused("a map of unknown length"))?;
    let entries = (0..length).map(|_| Ok((AttributeName::new(input.str()?).map_err(refused)?, value(input, levels)?)));
    entries.collect()
}

pub(crate) fn put_value(out: &mut Out<'_>, value: &Value) -> Encoded {
    match value {
        Value::Bool(it) => out.bool(*it).map(drop),
        Value::Long(it) => out.i64(*it).map(drop),
        Value::String(it) => out.str(it).map(drop),
        Value::Entity(it) => put_uid(out.tag(REFERENCE)?, it),
        Value::Extension(function, argument) => {
            out.tag(EXTENSION)?.array(2)?.str(function.name())?.str(argument)?;
            Ok(())
        }
        Value::Set(items) => put_all(out.tag(SET)?, items.iter(), put_value),
        Value::Record(it) => put_record(out, it),
    }
}

/// A value that nothing is around.
pub(crate) fn top_value(input: &mut In<'_>) -> Result<Value, Error> {
    value(input, MAX_DEPTH)
}

fn value(input: &mut In<'_>, levels: usize) -> Result<Value, Error> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused by the integer it is not")]
    match input.datatype()? {
        Type::Bool => input.bool().map(Value::Bool),
        Type::String => input.str().map(|text| Value::String(text.into())),
        Type::Map => record_within(input, levels).map(Value::Record),
        Type::Tag => tagged(input, levels),
        _ => input.i64().map(Value::Long),
    }
}

fn tagged(input: &mut In<'_>, levels: usize) -> Result<Value, Error> {
    let levels = levels.checked_sub(1).ok_or_else(|| refused("a value nested too deep"))?;
    match input.tag()? {
        REFERENCE => uid(input).map(Value::Entity),
        SET => all(input, |input| value(input, levels)).map(Value::Set),
        EXTENSION => {
            expect_array(input, 2)?;
            let function = ExtensionFunction::named(input.str()?).ok_or_else(|| refused("an unknown extension"))?;
            Ok(Value::Extension(function, input.str()?.into()))
        }
        other => Err(refused(format_args!("tag {} has no meaning here", other.as_u64()))),
    }
}

pub(crate) fn put_entity(out: &mut Out<'_>, entity: &EntityData) -> Encoded {
    put_uid(out.array(3)?, &entity.uid)?;
    put_record(out, &entity.attributes)?;
    put_all(out, entity.parents.iter(), put_uid)
}

fn entity(input: &mut In<'_>) -> Result<EntityData, Error> {
    expect_array(input, 3)?;
    Ok(EntityData { uid: uid(input)?, attributes: record(input)?, parents: uids(input)? })
}

pub(crate) fn uids(input: &mut In<'_>) -> Result<BTreeSet<EntityUid>, Error> {
    all(input, uid).map(BTreeSet::from_iter)
}

/// A reference is `[type, id]`, asserted data `[[type, id], attributes, parents]`.
pub(crate) fn put_input(out: &mut Out<'_>, given: &EntityInput) -> Encoded {
    match given {
        EntityInput::Reference(it) => put_uid(out, it),
        EntityInput::Asserted(it) => put_entity(out, it),
    }
}

pub(crate) fn input_entity(input: &mut In<'_>) -> Result<EntityInput, Error> {
    match input.probe().array()? {
        Some(2) => uid(input).map(EntityInput::Reference),
        _ => entity(input).map(EntityInput::Asserted),
    }
}

/// The uid of a reference, or of asserted data whose attributes and parents are passed over.
pub(crate) fn named_entity(input: &mut In<'_>) -> Result<EntityUid, Error> {
    let mut ahead = input.probe();
    if ahead.array()? == Some(2) && ahead.datatype()? == Type::String {
        return uid(input);
    }
    expect_array(input, 3)?;
    let uid = uid(input)?;
    input.skip()?;
    input.skip()?;
    Ok(uid)
}

pub(crate) fn text(input: &mut In<'_>) -> Result<Arc<str>, Error> {
    input.str().map(Into::into)
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(input: &mut In<'_>) -> Result<T, Error> {
    input.str()?.parse().map_err(refused)
}
