//! Which decisions an act is about.

use magistrate_model::Instant;
use minicbor::decode::Error;

use crate::act::text;
use crate::cbor::{self, Encoded, In, Out, optional, put_instant, put_optional};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Which decisions were meant: all that fit every part.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// Of this principal, in Cedar's notation.
    pub principal: Option<String>,
    /// On this resource, in Cedar's notation.
    pub resource: Option<String>,
    /// Recorded at this instant or later.
    pub since: Option<Instant>,
    /// Recorded before this instant.
    pub until: Option<Instant>,
}

impl Selection {
    /// Whether a decision was meant.
    pub fn covers(&self, principal: &str, resource: &str, at: Instant) -> bool {
        self.principal.as_deref().is_none_or(|it| it == principal)
            && self.resource.as_deref().is_none_or(|it| it == resource)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }

    /// What of it was recorded on a UTC day, counted from 1970-01-01; none where nothing can be.
    pub fn on_day(&self, day: i64) -> Option<Self> {
        let begin = |day: i64| Instant::from_micros(day.checked_mul(DAY)?).ok();
        let (first, next) = (begin(day)?, begin(day + 1));
        let since = self.since.map_or(first, |since| since.max(first));
        let until = [self.until, next].into_iter().flatten().min();
        until.is_none_or(|until| since < until).then(|| Self { since: Some(since), until, ..self.clone() })
    }

    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        for text in [&self.principal, &self.resource] {
            put_optional(out, text.as_deref(), |out, text| out.str(text).map(drop))?;
        }
        put_optional(out, self.since, put_instant)?;
        put_optional(out, self.until, put_instant)
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        Ok(Self {
            principal: optional(input, text)?,
            resource: optional(input, text)?,
            since: optional(input, cbor::instant)?,
            until: optional(input, cbor::instant)?,
        })
    }
}
