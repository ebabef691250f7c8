//! What is counted while asking.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::call::Told;
use crate::wire::Failure;

/// Counts of one or several workers.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Microseconds from when a question was meant to be sent until its answer was read.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds from when a question was meant to be sent until it was: what the tool itself, or a full
    /// connection, adds to latency.
    pub(crate) lag: Histogram<u64>,
    /// Questions that were due.
    pub(crate) due: u64,
    /// Questions that were answered.
    pub(crate) answered: u64,
    /// What the answers said, added up.
    pub(crate) told: Told,
    /// Questions that were not answered, by why.
    pub(crate) failures: BTreeMap<String, u64>,
    /// The first failure in words.
    pub(crate) first_failure: Option<String>,
}

/// Microseconds of an hour: longer than any run.
const LONGEST: u64 = 3_600_000_000;
/// Answers that could not be read.
const UNREADABLE: &str = "unreadable";
/// Questions on connections that broke.
const BROKEN: &str = "broken";
/// Questions that were due and had no answer when there was no more waiting.
pub(crate) const UNANSWERED: &str = "unanswered";

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            lag: Histogram::new_with_bounds(1, LONGEST, 3)?,
            due: 0,
            answered: 0,
            told: Told::default(),
            failures: BTreeMap::new(),
            first_failure: None,
        })
    }

    pub(crate) fn answer(&mut self, told: Option<Told>, latency: Duration, lag: Duration) {
        let Some(told) = told else {
            return self.fail(UNREADABLE.to_owned(), "an answer could not be read".to_owned());
        };
        self.answered += 1;
        self.told.absorb(told);
        self.latency.saturating_record(micros(latency));
        self.lag.saturating_record(micros(lag));
    }

    pub(crate) fn failure(&mut self, failure: Failure) {
        match failure {
            Failure::Status(name, message) => self.fail(name.clone(), format!("{name}: {message}")),
            Failure::Broken(why) => self.fail(BROKEN.to_owned(), why),
        }
    }

    fn fail(&mut self, kind: String, told: String) {
        *self.failures.entry(kind).or_default() += 1;
        self.first_failure.get_or_insert(told);
    }

    /// Counts what was due and came to nothing.
    pub(crate) fn close(&mut self, due: u64) {
        self.due = due;
        let missing = due.saturating_sub(self.answered + self.failed());
        if missing > 0 {
            *self.failures.entry(UNANSWERED.to_owned()).or_default() += missing;
            self.first_failure.get_or_insert_with(|| "questions were left unanswered".to_owned());
        }
    }

    /// Questions that were not answered.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latency.add(other.latency)?;
        self.lag.add(other.lag)?;
        self.due += other.due;
        self.answered += other.answered;
        self.told.absorb(other.told);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.first_failure = self.first_failure.take().or(other.first_failure);
        Ok(())
    }
}

impl Told {
    pub(crate) fn absorb(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.wrong += other.wrong;
        self.folded = self.folded.wrapping_add(other.folded);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Option<Told> = Some(Told { allowed: 1, denied: 0, wrong: 0, folded: 5 });

    #[test]
    fn parts_add_up_to_the_whole() {
        let (mut one, mut other, mut whole) = (Tally::new().unwrap(), Tally::new().unwrap(), Tally::new().unwrap());
        for n in 1..=1_000 {
            let part = if n % 3 == 0 { &mut one } else { &mut other };
            for tally in [part, &mut whole] {
                tally.answer(ALLOWED, Duration::from_micros(n), Duration::ZERO);
            }
        }
        one.failure(Failure::Status("UNAVAILABLE".into(), "away".into()));
        other.failure(Failure::Status("UNAVAILABLE".into(), "later".into()));
        one.add(other).unwrap();
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(one.latency.value_at_quantile(quantile), whole.latency.value_at_quantile(quantile));
        }
        assert!((499..=501).contains(&one.latency.value_at_quantile(0.5)) && one.latency.max() >= 1_000);
        assert_eq!((one.answered, one.told), (whole.answered, whole.told));
        assert_eq!(one.failures, BTreeMap::from([("UNAVAILABLE".to_owned(), 2)]));
        assert_eq!(one.first_failure.as_deref(), Some("UNAVAILABLE: away"));
    }

    #[test]
    fn what_was_due_and_never_came_is_counted() {
        let mut tally = Tally::new().unwrap();
        tally.answer(ALLOWED, Duration::from_millis(1), Duration::ZERO);
        tally.answer(None, Duration::from_millis(1), Duration::ZERO);
        tally.close(5);
        let expected = BTreeMap::from([(UNREADABLE.to_owned(), 1), (UNANSWERED.to_owned(), 3)]);
        assert_eq!((tally.answered, &tally.failures), (1, &expected));
        assert_eq!(tally.latency.len(), 1, "latency is of answers");
    }
}
