//! Decisions as they are made.

use std::collections::BTreeMap;

use magistrate_ledger::{DecisionId, RecordedDecision};
use magistrate_model::{Instant, Span};

use super::filter::DecisionFilter;
use super::search::{Reading, search};
use super::{DecisionHistory, HistoryError, Page, Position};

/// The longest a record may be committed after the instant of its request, and still be followed.
const LATEST: Span = Span::seconds(30);
/// Decisions read at a time.
const PAGE: u32 = 500;

/// Rows that are looked into for the decisions to begin with, where columns do not tell which are wanted.
const BEGIN: u32 = 20_000;

/// Follows what is wanted.
///
/// Records are ordered by the instant of their request, and a batch or another node may commit an earlier one later: so the
/// newest stretch of time is read again each time. A record of a clock that is ahead does not move that stretch, and where
/// nothing is wanted it goes on with the clock.
#[derive(Debug)]
pub struct Tail {
    filter: DecisionFilter,
    /// What was there or was told, of the stretch that is read again.
    shown: BTreeMap<DecisionId, Instant>,
    /// Where that stretch begins: what is older is not told.
    floor: Instant,
}

impl Tail {
    /// Begins with the newest decisions, at most so many, oldest first.
    pub async fn begin<H: DecisionHistory>(
        history: &H,
        filter: DecisionFilter,
        decisions: u32,
        now: Instant,
    ) -> Result<(Self, Vec<RecordedDecision>), HistoryError> {
        // Clocks of nodes may be behind: what is newest here tells where they are.
        let newest = history.page(&DecisionFilter::default(), Page::NewestFirst(None), 1).await?;
        let newest = newest.first().map_or(now, |it| it.recorded_at.min(now));
        let floor = newest.plus(Span::from_micros(-LATEST.micros()));
        let mut tail = Self { filter, shown: BTreeMap::new(), floor };
        // Noted first: what is committed from here on is told, among the newest or after them.
        drop(tail.note(history, floor).await?);
        if decisions == 0 {
            return Ok((tail, Vec::new()));
        }
        let reading = Reading { limit: decisions, rows: BEGIN };
        let mut begin = search(history, &tail.filter, Page::NewestFirst(None), reading).await?.decisions;
        begin.reverse();
        tail.shown.extend(begin.iter().map(|found| (found.id, found.recorded_at)));
        Ok((tail, begin))
    }

    /// What is there and was not told before, oldest first.
    pub async fn next<H: DecisionHistory>(
        &mut self,
        history: &H,
        now: Instant,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let new = self.note(history, self.floor).await?;
        self.floor = self.floor.max(now.plus(Span::from_micros(-LATEST.micros())));
        let floor = self.floor;
        self.shown.retain(|_, at| *at >= floor);
        Ok(new)
    }

    async fn note<H: DecisionHistory>(
        &mut self,
        history: &H,
        floor: Instant,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let filter = DecisionFilter { since: Some(floor).max(self.filter.since), ..self.filter.clone() };
        let (mut last, mut new) = (None::<Position>, Vec::new());
        loop {
            let found = search(history, &filter, Page::OldestFirst(last), Reading { limit: PAGE, rows: PAGE }).await?;
            for decision in found.decisions {
                if self.shown.insert(decision.id, decision.recorded_at).is_none() {
                    new.push(decision);
                }
            }
            match found.next {
                Some(next) => last = Some(next),
                None => return Ok(new),
            }
        }
    }
}
