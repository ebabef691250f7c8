//! What was decided, found again: whom a search wants, page by page, counted, followed, and decided anew.
//!
//! A store chooses rows by the columns it indexes; what only a record tells is judged here, on records that were decoded and
//! compared with their columns. Counts alone are by columns.

mod access;
mod by_place;
mod chained;
mod cursor;
mod filter;
mod prove;
pub mod replay;
mod review;
mod search;
mod strays;
mod tail;
mod tally;
mod words;

use std::future::Future;

use magistrate_ledger::{
    DamagedDecision, DecisionId, RecordedDecision, StoredCheckpoint, StoredDecision, StoredHeader, StreamId,
};
use magistrate_model::{Cause, Digest, Instant, Span};

pub use access::{Access, record_access};
pub use by_place::by_place;
pub use chained::{HEADER_PAGE, chained, each_header, give_headers};
pub use cursor::{Cursor, InvalidCursor};
pub use filter::{DecisionFilter, Wanted};
pub use prove::{Proving, in_log, newest_checkpoint, prove};
pub use review::Usage;
pub use search::{Found, Reading, search};
pub use strays::stray_openings;
pub use tail::{Tail, Told};
pub use tally::{ALL_TIME, Bucket, Tally, check_stretches, tally};
pub use words::SearchWords;

/// Where in history to continue: records are ordered by instant, then stream, then `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the record was decided.
    pub recorded_at: Instant,
    /// Which record it is.
    pub id: DecisionId,
}

/// In which direction a page of history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest first, older than the position if one is given.
    NewestFirst(Option<Position>),
    /// The oldest first, newer than the position if one is given.
    OldestFirst(Option<Position>),
}

/// History could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store did not answer.
    #[error("cannot read the decision history: {0}")]
    Unreachable(String),
    /// A stored record is damaged: its bytes do not say what its row says.
    #[error(
        "the record of decision {id} is damaged: {why}; restore it from a copy and find out who can write to the store"
    )]
    Damaged {
        /// Which record.
        id: DecisionId,
        /// What is wrong with it.
        why: String,
    },
}

impl From<DamagedDecision> for HistoryError {
    fn from(DamagedDecision { id, why }: DamagedDecision) -> Self {
        Self::Damaged { id, why }
    }
}

/// Where private values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredOpening {
    /// Their UTC day, counted from 1970-01-01.
    pub day: i64,
    /// Whose they are.
    pub id: DecisionId,
    /// There is no record that they belong to.
    pub is_stray: bool,
}

impl StoredOpening {
    /// From the columns of a store: day, stream, place, and whether it is stray.
    pub fn of_columns((day, stream, seq, is_stray): (i64, Vec<u8>, i64, bool)) -> Result<Self, HistoryError> {
        let place = StreamId::from_column(&stream).zip(u64::try_from(seq).ok());
        let nowhere = || {
            let why = "private values lie at a place that no decision can have: find out who can write to the store";
            HistoryError::Unreachable(why.to_owned())
        };
        let (stream, seq) = place.ok_or_else(nowhere)?;
        Ok(Self { day, id: DecisionId { stream, seq }, is_stray })
    }
}

/// What history is verified by: everything, as it is stored, believed by nobody.
pub trait Evidence: Send + Sync + 'static {
    /// Every stream of which there is a record, a header or a place.
    fn streams(&self) -> impl Future<Output = Result<Vec<StreamId>, HistoryError>> + Send;

    /// The headers of a stream behind a number, by number, at most so many.
    fn headers(
        &self,
        stream: StreamId,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredHeader>, HistoryError>> + Send;

    /// The last place of a stream, by the store's own count.
    fn last_place(&self, stream: StreamId) -> impl Future<Output = Result<u64, HistoryError>> + Send;

    /// Leaves of records of a stream that retention took out and that share what covers them with others.
    fn kept_leaves(&self, stream: StreamId) -> impl Future<Output = Result<Vec<(u64, Digest)>, HistoryError>> + Send;

    /// Every checkpoint.
    fn checkpoints(&self) -> impl Future<Output = Result<Vec<StoredCheckpoint>, HistoryError>> + Send;

    /// Checkpoints behind one, by origin and size, at most so many: of one log, or of all if none is named.
    fn checkpoints_after(
        &self,
        origin: Option<&str>,
        after: (&str, u64),
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredCheckpoint>, HistoryError>> + Send;

    /// Records of a stream behind `after`, by place, at most so many; a place that is stored twice is told twice.
    fn records(
        &self,
        stream: StreamId,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredDecision>, HistoryError>> + Send;

    /// Private values behind others, in an order of the store's own, at most so many.
    fn openings(
        &self,
        after: Option<StoredOpening>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredOpening>, HistoryError>> + Send;
}

/// How many decisions of one cause there are in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Where the stretch begins, in microseconds.
    pub start: i64,
    /// The cause.
    pub cause: Cause,
    /// How many.
    pub count: u64,
}

impl Counted {
    /// What a store counted: where each stretch begins, the cause and how many.
    pub fn of_columns(rows: Vec<(i64, String, i64)>) -> Result<Vec<Self>, HistoryError> {
        let counted = |(start, cause, count): (i64, String, i64)| {
            let cause = Cause::named(&cause)?;
            Some(Self { start, cause, count: u64::try_from(count).unwrap_or(0) })
        };
        let counts: Option<Vec<Self>> = rows.into_iter().map(counted).collect();
        counts.ok_or_else(|| HistoryError::Unreachable(UNKNOWN_CAUSE.to_owned()))
    }
}

const UNKNOWN_CAUSE: &str = "a column holds a cause that this version does not know; run `magistrate audit verify`";

/// Where recorded decisions are found again.
pub trait DecisionHistory: Send + Sync + 'static {
    /// At most `limit` decisions whose columns match. What only the record tells is passed over: [`search`] judges it.
    fn page(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<RecordedDecision>, HistoryError>> + Send;

    /// One decision, if it is there.
    fn find(&self, id: DecisionId) -> impl Future<Output = Result<Option<RecordedDecision>, HistoryError>> + Send;

    /// How many decisions there are whose columns match, by cause and stretch of time, in no order. Stretches are so long,
    /// and one of them begins at the epoch.
    fn count(
        &self,
        filter: &DecisionFilter,
        stretch: Span,
    ) -> impl Future<Output = Result<Vec<Counted>, HistoryError>> + Send;

    /// The last place of every stream that has records, in no order. Whatever is committed later lies behind these places,
    /// or in another stream.
    fn places(&self) -> impl Future<Output = Result<Vec<(StreamId, u64)>, HistoryError>> + Send;

    /// At most `limit` decisions of a stream behind the first place and up to the last, by place, whose columns match.
    fn behind(
        &self,
        filter: &DecisionFilter,
        stream: StreamId,
        places: (u64, u64),
        limit: u32,
    ) -> impl Future<Output = Result<Vec<RecordedDecision>, HistoryError>> + Send;
}
