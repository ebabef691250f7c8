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

/// Follows what is wanted.
///
/// Records are ordered by the instant of their request, and a batch or another node may commit an earlier one later: so the
/// newest stretch of time is read again each time. A record of a clock that is ahead does not move that stretch.
#[derive(Debug)]
pub struct Tail {
    filter: DecisionFilter,
    shown: BTreeMap<DecisionId, Instant>,
}

impl Tail {
    /// Begins with the newest decisions, at most so many, oldest first.
    pub async fn begin<H: DecisionHistory>(
        history: &H,
        filter: DecisionFilter,
        decisions: u32,
        now: Instant,
    ) -> Result<(Self, Vec<RecordedDecision>), HistoryError> {
        let mut tail = Self { filter, shown: BTreeMap::new() };
        // Noted first: what is committed from here on is told, among the newest or after them.
        let newest = history.page(&tail.filter, Page::NewestFirst(None), 1).await?;
        let noted = tail.note(history, newest.first().map(|it| it.recorded_at), now).await?;
        drop(noted);
        if decisions == 0 {
            return Ok((tail, Vec::new()));
        }
        let newest = search(history, &tail.filter, Page::NewestFirst(None), Reading::of(decisions)).await?;
        let mut begin = newest.decisions;
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
        let newest = self.shown.values().max().copied();
        self.note(history, newest, now).await
    }

    async fn note<H: DecisionHistory>(
        &mut self,
        history: &H,
        newest: Option<Instant>,
        now: Instant,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let behind = newest.map(|newest| newest.min(now).plus(Span::from_micros(-LATEST.micros())));
        let since = behind.max(self.filter.since);
        let filter = DecisionFilter { since, ..self.filter.clone() };
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
                None => break,
            }
        }
        self.shown.retain(|_, at| since.is_none_or(|since| *at >= since));
        Ok(new)
    }
}
