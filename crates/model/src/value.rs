//! Attribute and context values, and the bounds they must keep.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::text::{self, InvalidText};
use crate::uid::EntityUid;

/// The name of an attribute: 1 to 128 bytes, no hidden characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(Arc<str>);

impl AttributeName {
    /// Bytes a name may have.
    pub const LIMIT: usize = 128;

    /// Checks the character rules.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        text::check(text, Self::LIMIT)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AttributeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Attributes by name, in byte order: one record has one encoding.
pub type Record = BTreeMap<AttributeName, Value>;

/// Cedar's extension constructors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExtensionFunction {
    /// `ip("10.0.0.1")`.
    Ip,
    /// `decimal("1.25")`.
    Decimal,
    /// `datetime("2026-01-01T00:00:00Z")`.
    Datetime,
    /// `duration("1h30m")`.
    Duration,
}

impl ExtensionFunction {
    /// Every constructor.
    pub const ALL: [Self; 4] = [Self::Ip, Self::Decimal, Self::Datetime, Self::Duration];

    /// The function's name in Cedar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Decimal => "decimal",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }

    /// The constructor called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// A Cedar value as callers send it and stores keep it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Long(i64),
    /// A string; where the schema wants an extension value, its constructor's argument.
    String(Arc<str>),
    /// A reference to an entity.
    Entity(EntityUid),
    /// An extension value, unparsed.
    Extension(ExtensionFunction, Arc<str>),
    /// A set; order is kept as given, duplicates are the evaluator's to fold.
    Set(Vec<Value>),
    /// A record.
    Record(Record),
}

impl Value {
    /// What a person calls this kind of value.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Long(_) => "an integer",
            Self::String(_) => "a string",
            Self::Entity(_) => "an entity reference",
            Self::Extension(..) => "an extension value",
            Self::Set(_) => "a set",
            Self::Record(_) => "a record",
        }
    }

    /// Calls `visit` with every entity named in the value, at any depth.
    pub fn each_entity<'a>(&'a self, visit: &mut dyn FnMut(&'a EntityUid)) {
        match self {
            Self::Entity(uid) => visit(uid),
            Self::Set(items) => items.iter().for_each(|item| item.each_entity(visit)),
            Self::Record(record) => record.values().for_each(|value| value.each_entity(visit)),
            Self::Bool(_) | Self::Long(_) | Self::String(_) | Self::Extension(..) => {}
        }
    }

    fn measure(&self, depth: usize, total: &mut Measure) {
        total.depth = total.depth.max(depth);
        match self {
            Self::Bool(_) => total.bytes += 1,
            Self::Long(_) => total.bytes += 8,
            Self::String(text) | Self::Extension(_, text) => total.bytes += 2 + text.len(),
            Self::Entity(uid) => total.bytes += uid.type_name().as_str().len() + uid.id().as_str().len(),
            Self::Set(items) => {
                total.bytes += 2 * items.len();
                items.iter().for_each(|item| item.measure(depth + 1, total));
            }
            Self::Record(record) => measure_record(record, depth + 1, total),
        }
    }
}

#[derive(Default)]
struct Measure {
    bytes: usize,
    depth: usize,
}

fn measure_record(record: &Record, depth: usize, total: &mut Measure) {
    total.depth = total.depth.max(depth);
    for (name, value) in record {
        total.bytes += 2 + name.as_str().len();
        value.measure(depth, total);
    }
}

/// How large and how deep a record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all names and values together.
    pub bytes: usize,
    /// Levels of records and sets, the outermost counted.
    pub depth: usize,
}

impl Bounds {
    /// Bounds of a request's context, and of the attributes of one entity.
    pub const REQUEST: Self = Self { bytes: 16 * 1024, depth: 8 };

    /// Accepts a record within the bounds; `what` names it in the error.
    pub fn check(self, what: &'static str, record: &Record) -> Result<(), OutOfBounds> {
        let mut total = Measure::default();
        measure_record(record, 1, &mut total);
        if total.bytes > self.bytes {
            return Err(OutOfBounds::Large { what, bytes: total.bytes, limit: self.bytes });
        }
        if total.depth > self.depth {
            return Err(OutOfBounds::Deep { what, depth: total.depth, limit: self.depth });
        }
        Ok(())
    }
}

/// A record exceeds its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// Too many bytes.
    #[error("{what} holds {bytes} bytes; the limit is {limit}: send ids and let policies read stored attributes")]
    Large {
        /// Which record.
        what: &'static str,
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many levels.
    #[error("{what} nests {depth} levels deep; the limit is {limit}: flatten it")]
    Deep {
        /// Which record.
        what: &'static str,
        /// Levels found.
        depth: usize,
        /// Levels allowed.
        limit: usize,
    },
}
