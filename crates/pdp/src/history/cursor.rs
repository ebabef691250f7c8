//! Where somebody is in what arrives.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use magistrate_ledger::{DecisionId, StreamId};

/// What a cursor's text begins with: another form gets another word.
const FORM: &str = "t1";
/// Streams of a cursor at most: its text has up to 54 bytes for each.
const MOST: usize = 20_000;

/// How far each stream was looked at: what lies behind these places, or in other streams, is new to whoever holds this.
///
/// Its text is `t1` and the ids of the last decisions of all streams, parted by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<StreamId, u64>);

/// A text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCursor {
    /// It is something else.
    #[error("is no place in a feed that was given here; begin again without one")]
    Unknown,
    /// It is of too many streams.
    #[error("is of {0} streams; the most is {MOST}: begin again without one")]
    TooLong(usize),
}

impl Cursor {
    /// The place of a stream; 0 where nothing was looked at.
    pub fn place(&self, stream: StreamId) -> u64 {
        self.0.get(&stream).copied().unwrap_or(0)
    }

    /// Whether a decision is not new.
    pub fn has(&self, id: DecisionId) -> bool {
        id.seq <= self.place(id.stream)
    }

    /// Everything of the stream up to this decision was looked at.
    pub fn reach(&mut self, id: DecisionId) {
        let place = self.0.entry(id.stream).or_default();
        *place = id.seq.max(*place);
    }

    /// Whether nothing was looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of how many streams it is.
    pub fn streams(&self) -> usize {
        self.0.len()
    }

    /// Whether its text can be read again: it is not of too many streams.
    pub fn check(&self) -> Result<(), InvalidCursor> {
        match self.0.len() <= MOST {
            true => Ok(()),
            false => Err(InvalidCursor::TooLong(self.0.len())),
        }
    }
}

impl FromIterator<(StreamId, u64)> for Cursor {
    fn from_iter<I: IntoIterator<Item = (StreamId, u64)>>(places: I) -> Self {
        Self(places.into_iter().filter(|(_, place)| *place > 0).collect())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)?;
        self.0.iter().try_for_each(|(stream, seq)| write!(f, ",{}", DecisionId { stream: *stream, seq: *seq }))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let ids = text.strip_prefix(FORM).ok_or(InvalidCursor::Unknown)?;
        let mut cursor = Self::default();
        for id in ids.split(',').skip(1) {
            cursor.reach(id.parse().map_err(|_| InvalidCursor::Unknown)?);
        }
        cursor.check()?;
        // Neither twice the same stream nor anything else that is not written so.
        match cursor.to_string() == text {
            true => Ok(cursor),
            false => Err(InvalidCursor::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(stream: u8, seq: u64) -> DecisionId {
        DecisionId { stream: StreamId::new([stream; 16]), seq }
    }

    #[test]
    fn cursor_is_read_as_it_is_written_and_nothing_else_is() {
        let mut cursor = Cursor::default();
        assert_eq!("t1".parse(), Ok(cursor.clone()));
        [id(7, 5), id(3, u64::MAX), id(7, 4)].into_iter().for_each(|id| cursor.reach(id));
        let text = cursor.to_string();
        assert_eq!(text, format!("t1,{},{}", id(3, u64::MAX), id(7, 5)));
        assert_eq!(text.parse(), Ok(cursor.clone()));
        assert!(cursor.has(id(7, 5)) && !cursor.has(id(7, 6)) && !cursor.has(id(8, 1)));
        let swapped = format!("t1,{},{}", id(7, 5), id(3, 1));
        let twice = format!("t1,{},{}", id(7, 5), id(7, 6));
        for bad in ["", "t2", "t1,", "t1x", "t1,7-1", &swapped, &twice, &format!("{text},")] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor::Unknown), "{bad}");
        }
    }

    #[test]
    fn cursor_is_bounded() {
        let of = |streams: usize| -> Cursor {
            (1..=streams as u128).map(|number| (StreamId::new(number.to_be_bytes()), u64::MAX)).collect()
        };
        assert_eq!(of(MOST).to_string().parse(), Ok(of(MOST)));
        assert!(of(MOST).to_string().len() < 54 * MOST + 3);
        let more = of(MOST + 1);
        assert_eq!(more.check(), Err(InvalidCursor::TooLong(MOST + 1)));
        assert_eq!(more.to_string().parse::<Cursor>(), Err(InvalidCursor::TooLong(MOST + 1)));
    }
}
