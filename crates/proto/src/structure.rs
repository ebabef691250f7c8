//! `google.protobuf.Struct` with its repeated keys kept.
//!
//! On the wire a map is a repeated entry of key and value. Reading it into a map lets the last of two
//! equal keys win silently; here both stay visible.

/// A record: `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    /// The fields in the order sent. A well-formed record has no two with the same key.
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Entry>,
}

/// One field of a [`Struct`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// The field's name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The field's value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// A value: `google.protobuf.Value`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// What it is; a well-formed value has one.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of a [`Value`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Null, whatever the number.
    #[prost(enumeration = "prost_types::NullValue", tag = "1")]
    Null(i32),
    /// A number. Whole numbers beyond 2^53 lose digits here.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A string.
    #[prost(string, tag = "3")]
    String(String),
    /// A boolean.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// A record.
    #[prost(message, tag = "5")]
    Struct(Struct),
    /// A list.
    #[prost(message, tag = "6")]
    List(ListValue),
}

/// A list: `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListValue {
    /// The items in order.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// A whole number that a `google.protobuf.Value` cannot carry exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inexact(pub i64);

impl std::fmt::Display for Inexact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot send the number {}: it lies beyond 2^53 - 1, where the wire loses digits; send it as a string",
            self.0
        )
    }
}

impl std::error::Error for Inexact {}

impl Value {
    /// The largest whole number the wire carries unmistakably: 2^53 is also what 2^53 + 1
    /// becomes there. Its negative is the smallest.
    pub const LARGEST_WHOLE: i64 = (1 << 53) - 1;

    /// An entity, in the form that Cedar's JSON gives it.
    pub fn entity(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        let uid = Struct::from_iter([("type", type_name.into()), ("id", id.into())]);
        Struct::from_iter([("__entity", uid)]).into()
    }

    /// An extension value, in the form that Cedar's JSON gives it: `extension("ip", "10.0.0.1")`.
    pub fn extension(function: impl Into<String>, argument: impl Into<String>) -> Self {
        let call = Struct::from_iter([("fn", function.into()), ("arg", argument.into())]);
        Struct::from_iter([("__extn", call)]).into()
    }

    /// A whole number, if the wire can carry it exactly.
    #[expect(clippy::cast_precision_loss, reason = "within 2^53 every whole number is exact")]
    pub fn whole(number: i64) -> Result<Self, Inexact> {
        match number {
            -9_007_199_254_740_991..=Self::LARGEST_WHOLE => Ok(Kind::Number(number as f64).into()),
            _ => Err(Inexact(number)),
        }
    }
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Kind::Bool(value).into()
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Kind::Number(value.into()).into()
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Kind::Number(value.into()).into()
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Kind::String(value.to_owned()).into()
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Kind::String(value).into()
    }
}

impl From<Struct> for Value {
    fn from(value: Struct) -> Self {
        Kind::Struct(value).into()
    }
}

impl From<ListValue> for Value {
    fn from(value: ListValue) -> Self {
        Kind::List(value).into()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Struct {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let fields = fields.into_iter().map(|(key, value)| Entry { key: key.into(), value: Some(value.into()) });
        Self { fields: fields.collect() }
    }
}

impl<V: Into<Value>> FromIterator<V> for ListValue {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self { values: values.into_iter().map(Into::into).collect() }
    }
}
