//! How many decisions are wanted, by cause and by time.

use std::collections::BTreeMap;

use magistrate_model::{Cause, Decision, Instant, Span};

use super::filter::DecisionFilter;
use super::search::{Reading, search};
use super::{DecisionHistory, HistoryError, Page};

/// Decisions read at once where records must be.
const PAGE: u32 = 4_096;

/// A stretch that has every instant there is, for whoever wants no histogram.
pub const ALL_TIME: Span = Span::from_micros(i64::MAX / 4);

/// Stretches of a histogram at most, and the shortest and longest.
const STRETCHES: i64 = 1_000;
const SHORTEST: Span = Span::seconds(1);
const LONGEST: Span = Span::hours(10_000 * 366 * 24);

/// Whether so much time may be told in stretches so long; says why not.
pub fn check_stretches(time: Span, stretch: Span) -> Result<(), String> {
    if stretch < SHORTEST {
        return Err("a stretch has at least one second".to_owned());
    }
    if stretch > LONGEST {
        return Err("a stretch is no longer than ten thousand years".to_owned());
    }
    let stretches = time.micros() / stretch.micros();
    match stretches < STRETCHES {
        true => Ok(()),
        false => Err(format!(
            "that is {stretches} stretches; at most {STRETCHES} are told: make them longer, or ask for less time"
        )),
    }
}

/// How many decisions there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By cause; those of which there is none are left out.
    pub causes: BTreeMap<Cause, u64>,
    /// By stretch of time, the oldest first; those of which there is none are left out.
    pub buckets: Vec<Bucket>,
    /// Up to which instant was counted, if there was more to read than was allowed: everything before it is in.
    pub cut_at: Option<Instant>,
}

/// A stretch of time, and how many decisions it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub start: Instant,
    /// Allows in it.
    pub allowed: u64,
    /// Denies in it.
    pub denied: u64,
}

impl Tally {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.causes.values().sum()
    }

    fn add(&mut self, buckets: &mut BTreeMap<i64, (u64, u64)>, start: i64, cause: Cause, count: u64) {
        *self.causes.entry(cause).or_default() += count;
        let (allowed, denied) = buckets.entry(start).or_default();
        *(match cause.decision() {
            Decision::Allow => allowed,
            Decision::Deny => denied,
        }) += count;
    }
}

/// Counts what is wanted in stretches so long. Where columns tell which decisions that are, the store counts; else at most
/// `rows` records are read, the oldest first.
pub async fn tally<H: DecisionHistory>(
    history: &H,
    filter: &DecisionFilter,
    stretch: Span,
    rows: u32,
) -> Result<Tally, HistoryError> {
    let (mut tally, mut buckets) = (Tally::default(), BTreeMap::new());
    if filter.is_of_columns() {
        for counted in history.count(filter, stretch).await? {
            tally.add(&mut buckets, counted.start, counted.cause, counted.count);
        }
    } else {
        let (mut page, mut left) = (Page::OldestFirst(None), rows);
        loop {
            let reading = Reading { limit: PAGE, rows: left.min(PAGE) };
            let found = search(history, filter, page, reading).await?;
            for decision in &found.decisions {
                let start = start_of(decision.recorded_at, stretch);
                tally.add(&mut buckets, start, decision.record.verdict.cause, 1);
            }
            let Some(next) = found.next else { break };
            left = left.saturating_sub(reading.rows);
            if left == 0 {
                tally.cut_at = Some(next.recorded_at);
                break;
            }
            page = page.from(next);
        }
    }
    let bucket =
        |(start, (allowed, denied))| Some(Bucket { start: Instant::from_micros(start).ok()?, allowed, denied });
    tally.buckets = buckets.into_iter().filter_map(bucket).collect();
    Ok(tally)
}

/// Where the stretch begins that has this instant.
fn start_of(at: Instant, stretch: Span) -> i64 {
    at.micros() - at.micros().rem_euclid(stretch.micros().max(1))
}
