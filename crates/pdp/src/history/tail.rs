//! Decisions as they arrive in the store.

use std::collections::BTreeMap;

use magistrate_ledger::{DecisionId, RecordedDecision, StreamId};
use magistrate_model::{Instant, Span};

use super::cursor::Cursor;
use super::filter::DecisionFilter;
use super::search::{Reading, search};
use super::{DecisionHistory, HistoryError, Page};

/// Decisions that are told at once, about.
const AT_ONCE: usize = 2_000;
/// Places of a stream that are looked at in one statement, however few of them are wanted.
const STRETCH: u64 = 50_000;
/// Far longer than a request is under way before its record gets its place.
const SLACK: Span = Span::hours(24);

/// Rows that are looked into for the decisions to begin with, where columns do not tell which are wanted.
const BEGIN: u32 = 20_000;

/// Follows what is wanted.
///
/// Records of a stream arrive in the order of their places, whatever the order of their instants and however late: a node
/// whose store was away brings what is hours old. So what was told is known by place, stream by stream, and what lies behind
/// that place is new.
#[derive(Debug)]
pub struct Tail {
    filter: DecisionFilter,
    cursor: Cursor,
    /// Instants before which nothing of a stream can be new: its clock never runs backwards.
    floors: BTreeMap<StreamId, Instant>,
    /// Decisions that are told at once, and places that are looked at in one statement.
    at_once: usize,
    stretch: u64,
}

/// What was found at once.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// By instant, as far as the places of each stream ascend.
    pub decisions: Vec<RecordedDecision>,
    /// Whether there is more to be found already.
    pub more: bool,
    /// Whether anything was looked at, wanted or not.
    pub moved: bool,
}

impl Tail {
    /// Begins with the newest decisions, at most so many, oldest first.
    pub async fn begin<H: DecisionHistory>(
        history: &H,
        filter: DecisionFilter,
        decisions: u32,
    ) -> Result<(Self, Vec<RecordedDecision>), HistoryError> {
        // First, so that what arrives from here on is told afterwards.
        let cursor: Cursor = history.places().await?.into_iter().collect();
        let tail = Self::of(filter, cursor);
        if decisions == 0 {
            return Ok((tail, Vec::new()));
        }
        let reading = Reading { limit: decisions, rows: BEGIN };
        let mut begin = search(history, &tail.filter, Page::NewestFirst(None), reading).await?.decisions;
        begin.retain(|found| tail.cursor.has(found.id));
        begin.reverse();
        Ok((tail, begin))
    }

    /// Goes on where another one was; `None` where that was in another history: one that has none of its streams.
    pub async fn resume<H: DecisionHistory>(
        history: &H,
        filter: DecisionFilter,
        cursor: Cursor,
    ) -> Result<Option<Self>, HistoryError> {
        let places = history.places().await?;
        let is_of_it = cursor.is_empty() || places.iter().any(|(stream, _)| cursor.place(*stream) > 0);
        Ok(is_of_it.then(|| Self::of(filter, cursor)))
    }

    fn of(filter: DecisionFilter, cursor: Cursor) -> Self {
        Self { filter, cursor, floors: BTreeMap::new(), at_once: AT_ONCE, stretch: STRETCH }
    }

    /// The same, telling about so many decisions at once, of so many places of a stream; at least one.
    #[must_use]
    pub fn in_pages(self, at_once: usize, stretch: u64) -> Self {
        Self { at_once: at_once.max(1), stretch: stretch.max(1), ..self }
    }

    /// Where it is: behind everything that was told.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What is there and was not told before. After an error nothing was told.
    pub async fn next<H: DecisionHistory>(&mut self, history: &H) -> Result<Told, HistoryError> {
        let (at_once, stretch) = (self.at_once, self.stretch);
        let mut places = history.places().await?;
        places.retain(|(stream, last)| *last > self.cursor.place(*stream));
        let mut more = places.len() > at_once;
        places.truncate(at_once);
        let share = (at_once / places.len().max(1)).max(1);
        let (mut told, mut reached, moved) = (Vec::new(), Vec::new(), !places.is_empty());
        for (stream, last) in places {
            let until = last.min(self.cursor.place(stream).saturating_add(stretch));
            let rows = self.behind(history, stream, until, share).await?;
            // A page that is full ends with its last row.
            let end = rows.get(share - 1).map_or(until, |row| row.id.seq);
            more |= end < last;
            reached.push(DecisionId { stream, seq: end });
            self.know_floor(history, DecisionId { stream, seq: end }, rows.last()).await?;
            // Places ascend within a stream, even where instants do not.
            let mut at = None;
            let wanted = rows.into_iter().filter(|row| self.filter.is_of_columns() || self.filter.accepts(row));
            told.extend(wanted.map(|row| {
                at = at.max(Some(row.recorded_at));
                (at, row)
            }));
        }
        reached.into_iter().for_each(|id| self.cursor.reach(id));
        told.sort_by_key(|(at, row)| (*at, row.id));
        Ok(Told { decisions: told.into_iter().map(|(_, row)| row).collect(), more, moved })
    }

    async fn behind<H: DecisionHistory>(
        &self,
        history: &H,
        stream: StreamId,
        until: u64,
        limit: usize,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let since = self.filter.since.max(self.floors.get(&stream).copied());
        let filter = DecisionFilter { since, ..self.filter.clone() };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        history.behind(&filter, stream, (self.cursor.place(stream), until), limit).await
    }

    /// A store that keeps days apart is spared most of them.
    async fn know_floor<H: DecisionHistory>(
        &mut self,
        history: &H,
        end: DecisionId,
        last: Option<&RecordedDecision>,
    ) -> Result<(), HistoryError> {
        let known = match last {
            Some(last) => Some(last.recorded_at),
            None if self.floors.contains_key(&end.stream) => None,
            None => history.find(end).await?.map(|found| found.recorded_at),
        };
        if let Some(at) = known {
            self.floors.insert(end.stream, at.plus(Span::from_micros(-SLACK.micros())));
        }
        Ok(())
    }
}
