//! A page of what is wanted.

use magistrate_ledger::RecordedDecision;

use super::filter::DecisionFilter;
use super::{DecisionHistory, HistoryError, Page, Position};

/// Rows read at once where not every one of them will be returned: few at first, and more where few of them are wanted.
const FIRST_CHUNK: u32 = 256;
const LATER_CHUNK: u32 = 4_096;

/// How much of history is read for one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Decisions that are returned at most.
    pub limit: u32,
    /// Rows that are read at most, where columns do not tell which are wanted.
    pub rows: u32,
}

impl Reading {
    /// As many rows as it takes.
    pub fn of(limit: u32) -> Self {
        Self { limit, rows: u32::MAX }
    }
}

/// What a page of history holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// In the order of the page.
    pub decisions: Vec<RecordedDecision>,
    /// Where to go on; `None` at the end. A page with no decision may have one: rows were read, and none was wanted.
    pub next: Option<Position>,
}

impl Position {
    /// The place of a decision.
    pub fn of(decision: &RecordedDecision) -> Self {
        Self { recorded_at: decision.recorded_at, id: decision.id }
    }
}

impl Page {
    /// The same direction, from there on.
    #[must_use]
    pub fn from(self, position: Position) -> Self {
        match self {
            Self::NewestFirst(_) => Self::NewestFirst(Some(position)),
            Self::OldestFirst(_) => Self::OldestFirst(Some(position)),
        }
    }
}

/// Reads on until enough decisions are wanted, enough rows were read, or history ends.
pub async fn search<H: DecisionHistory>(
    history: &H,
    filter: &DecisionFilter,
    mut page: Page,
    reading: Reading,
) -> Result<Found, HistoryError> {
    let by_columns = filter.is_of_columns();
    let (wanted, mut read, mut found) = (reading.limit as usize, 0_u32, Found::default());
    while found.decisions.len() < wanted {
        let left = u32::try_from(wanted - found.decisions.len()).unwrap_or(u32::MAX);
        let some = if read == 0 { FIRST_CHUNK } else { LATER_CHUNK };
        let chunk = if by_columns { left } else { some.min(reading.rows.saturating_sub(read)) };
        let rows = history.page(filter, page, chunk).await?;
        let is_last = rows.len() < chunk as usize;
        read = read.saturating_add(chunk);
        for row in rows {
            if found.decisions.len() == wanted {
                return Ok(found);
            }
            let position = Position::of(&row);
            (page, found.next) = (page.from(position), Some(position));
            if by_columns || filter.accepts(&row) {
                found.decisions.push(row);
            }
        }
        if is_last {
            found.next = None;
            return Ok(found);
        }
        if !by_columns && read >= reading.rows {
            return Ok(found);
        }
    }
    Ok(found)
}
