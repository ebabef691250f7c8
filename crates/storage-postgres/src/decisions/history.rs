//! Finding recorded decisions again.

use magistrate_ledger::{DecisionId, RecordedDecision, StreamId};
use magistrate_model::{Instant, RequestId, Span};
use magistrate_pdp::history::Counted;
use magistrate_pdp::{DecisionFilter, DecisionHistory, HistoryError, Page};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, Postgres};

use super::letters;
use super::row::{self, Row};
use super::statements::{
    BEHIND, COUNT, COUNT_BY_PRINCIPAL, COUNT_BY_RESOURCE, FIND, NEWEST, NEWEST_BY_PRINCIPAL, NEWEST_BY_RESOURCE,
    OLDEST, OLDEST_BY_PRINCIPAL, OLDEST_BY_RESOURCE, PLACES,
};
use crate::connect::{Purpose, Session, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// Days before and after every instant there is: the years 1 to 9999.
const FIRST_DAY: i64 = -719_163;
const LAST_DAY: i64 = 2_932_897;

/// Microseconds of a step of the index on instants.
const STEP: i64 = 10_000;

/// A place before or after every other one: day, instant, stream, seq.
type Edge = (i64, i64, [u8; 16], i64);
const FIRST: Edge = (FIRST_DAY, i64::MIN, [0; 16], i64::MIN);
const LAST: Edge = (LAST_DAY, i64::MAX, [0xff; 16], i64::MAX);

impl DecisionHistory for PostgresStore {
    async fn page(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Search).await?;
            let rows = matching(&mut transaction, filter, page, limit).await?;
            let rows = row::stored(&mut transaction, rows).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let rows = within(Purpose::Search.limit(), read).await.map_err(unreached)?;
        rows.iter().map(row::decode).collect()
    }

    async fn find(&self, id: DecisionId) -> Result<Option<RecordedDecision>, HistoryError> {
        let Ok(seq) = i64::try_from(id.seq) else {
            return Ok(None);
        };
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let row = find(&mut transaction, id, seq).await?;
            let rows = row::stored(&mut transaction, row.into_iter().collect()).await?;
            transaction.commit().await?;
            Ok(rows.into_iter().next())
        };
        within(Purpose::Read.limit(), read).await.map_err(unreached)?.as_ref().map(row::decode).transpose()
    }

    async fn count(&self, filter: &DecisionFilter, stretch: Span) -> Result<Vec<Counted>, HistoryError> {
        let is_named = !filter.principals.any.is_empty() || !filter.resources.any.is_empty();
        let purpose = match is_named || filter.since.is_some() || filter.until.is_some() {
            true => Purpose::CountSome,
            false => Purpose::Count,
        };
        let read = async {
            let mut transaction = self.administration().begin(purpose).await?;
            let rows = counted(&mut transaction, filter, stretch).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let rows = within(purpose.limit(), read).await.map_err(unreached)?;
        Counted::of_columns(
            rows.into_iter().map(|(start, cause, count)| (start, letters::cause(cause), count)).collect(),
        )
    }

    async fn places(&self) -> Result<Vec<(StreamId, u64)>, HistoryError> {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let places = sqlx::query_as(PLACES).persistent(transaction.prepares);
            let rows: Vec<(Vec<u8>, i64)> =
                places.fetch_all(&mut transaction.connection).await.map_err(|error| Fault::of(&error))?;
            transaction.commit().await?;
            Ok(rows)
        };
        let rows = within(Purpose::Read.limit(), read).await.map_err(unreached)?;
        let place = |(stream, seq): (Vec<u8>, i64)| Some((StreamId::from_column(&stream)?, u64::try_from(seq).ok()?));
        Ok(rows.into_iter().filter_map(place).collect())
    }

    async fn behind(
        &self,
        filter: &DecisionFilter,
        stream: StreamId,
        places: (u64, u64),
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let rows = behind(&mut transaction, filter, (stream, places), limit).await?;
            let rows = row::stored(&mut transaction, rows).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let rows = within(Purpose::Read.limit(), read).await.map_err(unreached)?;
        rows.iter().map(row::decode).collect()
    }
}

async fn behind(
    session: &mut Session,
    filter: &DecisionFilter,
    (stream, (after, last)): (StreamId, (u64, u64)),
    limit: u32,
) -> Result<Vec<Row>, Fault> {
    chosen::<Row>(BEHIND, filter, days(filter, Page::OldestFirst(None)))
        .bind(stream.as_bytes().to_vec())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .bind(None::<i64>)
        .bind(i64::from(limit))
        .bind(list(&filter.principals.none, String::as_str))
        .bind(list(&filter.actions.none, String::as_str))
        .bind(list(&filter.resources.none, String::as_str))
        .bind(None::<i32>)
        .bind(None::<i32>)
        .persistent(session.prepares)
        .fetch_all(&mut session.connection)
        .await
        .map_err(|error| Fault::of(&error))
}

async fn find(session: &mut Session, id: DecisionId, seq: i64) -> Result<Option<Row>, Fault> {
    sqlx::query_as(FIND)
        .persistent(session.prepares)
        .bind(id.stream.as_bytes().as_slice())
        .bind(seq)
        .fetch_optional(&mut session.connection)
        .await
        .map_err(|error| Fault::of(&error))
}

async fn matching(session: &mut Session, filter: &DecisionFilter, page: Page, limit: u32) -> Result<Vec<Row>, Fault> {
    let (day, instant, stream, seq) = edge(page);
    // Not beyond the place but from the next one on: of what is beyond a day the planner thinks that it is nothing.
    let next = match page {
        Page::NewestFirst(_) => seq.saturating_sub(1),
        Page::OldestFirst(_) => seq.saturating_add(1),
    };
    chosen::<Row>(statement(filter, page), filter, days(filter, page))
        .bind(number(day))
        .bind(instant)
        .bind(stream.as_slice().to_vec())
        .bind(next)
        .bind(i64::from(limit))
        .bind(list(&filter.principals.none, String::as_str))
        .bind(list(&filter.actions.none, String::as_str))
        .bind(list(&filter.resources.none, String::as_str))
        .bind(steps(filter, page).0)
        .bind(steps(filter, page).1)
        .persistent(session.prepares)
        .fetch_all(&mut session.connection)
        .await
        .map_err(|error| Fault::of(&error))
}

async fn counted(session: &mut Session, filter: &DecisionFilter, stretch: Span) -> Result<Vec<(i64, i8, i64)>, Fault> {
    let statement = match (filter.principals.any.is_empty(), filter.resources.any.is_empty()) {
        (false, _) => COUNT_BY_PRINCIPAL,
        (true, false) => COUNT_BY_RESOURCE,
        (true, true) => COUNT,
    };
    let page = Page::OldestFirst(None);
    chosen::<(i64, i8, i64)>(statement, filter, days(filter, page))
        .bind(stretch.micros().max(1))
        .bind(None::<i64>)
        .bind(None::<Vec<u8>>)
        .bind(None::<i64>)
        .bind(None::<i64>)
        .bind(list(&filter.principals.none, String::as_str))
        .bind(list(&filter.actions.none, String::as_str))
        .bind(list(&filter.resources.none, String::as_str))
        .bind(steps(filter, page).0)
        .bind(steps(filter, page).1)
        .persistent(session.prepares)
        .fetch_all(&mut session.connection)
        .await
        .map_err(|error| Fault::of(&error))
}

/// A statement with its first ten values: what is wanted, and when.
fn chosen<'q, T: for<'r> FromRow<'r, sqlx::postgres::PgRow>>(
    statement: &'static str,
    filter: &DecisionFilter,
    (first_day, last_day): (i64, i64),
) -> QueryAs<'q, Postgres, T, PgArguments> {
    let causes = filter.wanted_causes();
    sqlx::query_as(statement)
        .bind(list(&filter.principals.any, String::as_str))
        .bind(list(&filter.actions.any, String::as_str))
        .bind(list(&filter.resources.any, String::as_str))
        .bind(causes.map(|causes| causes.into_iter().map(letters::of_cause).collect::<Vec<_>>()))
        .bind(list(&filter.request_ids.any, RequestId::as_str))
        .bind(list(&filter.request_ids.none, RequestId::as_str))
        .bind(number(first_day))
        .bind(number(last_day))
        .bind(filter.since.map_or(i64::MIN, Instant::micros))
        .bind(filter.until.map_or(i64::MAX, Instant::micros))
}

fn statement(filter: &DecisionFilter, page: Page) -> &'static str {
    match (page, filter.principals.any.is_empty(), filter.resources.any.is_empty()) {
        (Page::NewestFirst(_), false, _) => NEWEST_BY_PRINCIPAL,
        (Page::NewestFirst(_), true, false) => NEWEST_BY_RESOURCE,
        (Page::NewestFirst(_), true, true) => NEWEST,
        (Page::OldestFirst(_), false, _) => OLDEST_BY_PRINCIPAL,
        (Page::OldestFirst(_), true, false) => OLDEST_BY_RESOURCE,
        (Page::OldestFirst(_), true, true) => OLDEST,
    }
}

/// The days in which anything can match: all other partitions are left out.
fn days(filter: &DecisionFilter, page: Page) -> (i64, i64) {
    let first = filter.since.map_or(FIRST_DAY, Instant::day);
    let last = filter.until.map_or(LAST_DAY, Instant::day);
    match page {
        Page::NewestFirst(_) => (first, last.min(edge(page).0)),
        Page::OldestFirst(_) => (first.max(edge(page).0), last),
    }
}

/// Where in the first of these days, and in the last, anything can match: in steps as the index on instants has them.
fn steps(filter: &DecisionFilter, page: Page) -> (i32, i32) {
    let (_, instant, ..) = edge(page);
    let (since, until) = (filter.since.map(Instant::micros), filter.until.map(Instant::micros));
    let (first, last) = match page {
        Page::OldestFirst(Some(_)) => (Some(since.map_or(instant, |since| since.max(instant))), until),
        Page::NewestFirst(Some(_)) => (since, Some(until.map_or(instant, |until| until.min(instant)))),
        Page::OldestFirst(None) | Page::NewestFirst(None) => (since, until),
    };
    let step = |micros: i64| i32::try_from(micros.rem_euclid(Span::hours(24).micros()) / STEP).unwrap_or(i32::MAX);
    (first.map_or(0, step), last.map_or(i32::MAX, step))
}

fn edge(page: Page) -> Edge {
    match page {
        Page::NewestFirst(None) => LAST,
        Page::OldestFirst(None) => FIRST,
        Page::NewestFirst(Some(position)) | Page::OldestFirst(Some(position)) => (
            position.recorded_at.day(),
            position.recorded_at.micros(),
            *position.id.stream.as_bytes(),
            i64::try_from(position.id.seq).unwrap_or(i64::MAX),
        ),
    }
}

/// Wanted values; `None` when any will do. PostgreSQL holds no NUL, so nothing matches a value that has one.
fn list<T>(values: &[T], text: fn(&T) -> &str) -> Option<Vec<String>> {
    let known = |text: &&str| !text.contains('\0');
    (!values.is_empty()).then(|| values.iter().map(text).filter(known).map(ToOwned::to_owned).collect())
}

/// The number of a day that is one.
fn number(day: i64) -> i32 {
    i32::try_from(day).unwrap_or(i32::MAX)
}

fn unreached(fault: Fault) -> HistoryError {
    HistoryError::Unreachable(fault.to_string())
}
