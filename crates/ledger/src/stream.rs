//! Streams and decision ids.

use std::fmt;
use std::str::FromStr;

/// One process run: 128 random bits. Node names may collide; streams do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId([u8; 16]);

impl StreamId {
    /// From 16 random bytes.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From a column that holds 16 bytes, if it does.
    pub fn from_column(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From 32 lower-case hexadecimal digits, if it is that.
    pub fn from_hex(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        magistrate_model::hex(&self.0, f)
    }
}

/// The name of a decision: its stream and its place in it, written `<32 hex digits>-<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId {
    /// The stream.
    pub stream: StreamId,
    /// The place in the stream, from 1.
    pub seq: u64,
}

/// A text is not a decision id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decision id; it has 32 hexadecimal digits, a dash and a number")]
pub struct InvalidDecisionId(String);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.seq)
    }
}

impl FromStr for DecisionId {
    type Err = InvalidDecisionId;

    fn from_str(text: &str) -> Result<Self, InvalidDecisionId> {
        let parts = text.split_once('-').and_then(|(stream, seq)| {
            let seq = seq
                .parse()
                .ok()
                .filter(|seq: &u64| *seq > 0 && seq.to_string() == *text.rsplit('-').next().unwrap_or(""))?;
            Some(Self { stream: StreamId::from_hex(stream)?, seq })
        });
        parts.ok_or_else(|| InvalidDecisionId(text.chars().take(80).flat_map(char::escape_debug).collect()))
    }
}
