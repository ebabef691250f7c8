//! Instants in microseconds, and spans as people write them.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant: microseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
///
/// Microseconds because every store keeps them exactly: an instant that is hashed is the instant that
/// is read back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

const MICROS: i64 = 1_000_000;
const MICROS_I128: i128 = 1_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
const FIRST: i64 = -62_135_596_800 * MICROS;
const LAST: i64 = 253_402_300_800 * MICROS - 1;

/// A text or number is not an instant or a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {expected}")]
pub struct InvalidInstant {
    given: String,
    expected: &'static str,
}

impl Instant {
    /// The epoch.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch.
    pub fn from_micros(micros: i64) -> Result<Self, InvalidInstant> {
        match micros {
            FIRST..=LAST => Ok(Self(micros)),
            _ => Err(InvalidInstant { given: micros.to_string(), expected: "an instant between the years 1 and 9999" }),
        }
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down: the precision of Cedar's `datetime`.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The UTC day as days since the epoch: the partition of a decision record.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400 * MICROS)
    }

    /// This instant moved by a span, kept within the years 1 to 9999.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).clamp(FIRST, LAST))
    }

    /// The span from `earlier` to this instant; negative if it lies later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Parses RFC 3339, or a span with a sign (`+2h`, `-1d`) counted from `now`.
    pub fn parse(text: &str, now: Self) -> Result<Self, InvalidInstant> {
        match text.strip_prefix(['+', '-']) {
            Some(rest) => {
                let span: Span = rest.parse()?;
                Ok(now.plus(if text.starts_with('-') { Span(-span.0) } else { span }))
            }
            None => text.parse(),
        }
    }

    /// The text Cedar's `datetime()` takes, with milliseconds: `2026-01-31T09:00:00.000Z`.
    pub fn cedar_datetime(self) -> String {
        let at = self.date_time();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * MICROS_I128)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for Instant {
    fn from(moment: OffsetDateTime) -> Self {
        let micros = i64::try_from(moment.unix_timestamp_nanos().div_euclid(MICROS_I128)).unwrap_or(LAST);
        Self(micros.clamp(FIRST, LAST))
    }
}

impl FromStr for Instant {
    type Err = InvalidInstant;

    fn from_str(text: &str) -> Result<Self, InvalidInstant> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self::from).map_err(|_| InvalidInstant {
            given: crate::uid::printable(text),
            expected: "an instant; write RFC 3339 such as `2026-01-31T09:00:00Z`, or a span from now such as `+2h`",
        })
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date_time().format(&Rfc3339) {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// A span of whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS))
    }

    /// A span of whole milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// A span of whole hours.
    pub const fn hours(hours: i64) -> Self {
        Self::seconds(hours.saturating_mul(3_600))
    }

    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn whole_seconds(self) -> i64 {
        self.0.div_euclid(MICROS)
    }
}

impl FromStr for Span {
    type Err = InvalidInstant;

    /// Parses a whole number and a unit: `90s`, `15m`, `2h`, `30d`.
    fn from_str(text: &str) -> Result<Self, InvalidInstant> {
        let refuse = || InvalidInstant {
            given: crate::uid::printable(text),
            expected: "a span; write `90s`, `15m`, `2h` or `30d`",
        };
        let unit = text.chars().last().ok_or_else(refuse)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(refuse()),
        };
        let number = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let number: i64 = number.and_then(|digits| digits.parse().ok()).ok_or_else(refuse)?;
        number.checked_mul(seconds * MICROS).map(Self).ok_or_else(refuse)
    }
}
