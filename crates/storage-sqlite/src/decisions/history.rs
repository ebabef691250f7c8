//! Recorded decisions, found again.

use magistrate_ledger::{DecisionId, RecordedDecision, StreamId};
use magistrate_model::{Instant, RequestId, Span};
use magistrate_pdp::history::Counted;
use magistrate_pdp::{DecisionFilter, DecisionHistory, HistoryError, Page};
use serde_json::Value;
use sqlx::query::QueryAs;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Sqlite};

use super::row::{self, Row};
use super::statements::{
    BEHIND, COUNT, COUNT_BY_PRINCIPAL, COUNT_BY_RESOURCE, FIND, NEWEST, NEWEST_BY_PRINCIPAL, NEWEST_BY_RESOURCE,
    OLDEST, OLDEST_BY_PRINCIPAL, OLDEST_BY_RESOURCE, PLACES,
};
use crate::fault::Fault;
use crate::store::SqliteStore;

/// A place before or after every other one: instant, stream, seq.
type Edge = (i64, [u8; 16], i64);
const FIRST: Edge = (i64::MIN, [0; 16], i64::MIN);
const LAST: Edge = (i64::MAX, [0xff; 16], i64::MAX);

impl DecisionHistory for SqliteStore {
    async fn page(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let (instant, stream, seq) = edge(page);
        let rows: Vec<Row> = chosen(statement(filter, page), filter)
            .bind(instant)
            .bind(stream.to_vec())
            .bind(seq)
            .bind(i64::from(limit))
            .bind(list(&filter.principals.none, String::as_str))
            .bind(list(&filter.actions.none, String::as_str))
            .bind(list(&filter.resources.none, String::as_str))
            .fetch_all(&self.decisions)
            .await
            .map_err(|error| unreached(&error))?;
        rows.into_iter().map(row::decode).collect()
    }

    async fn find(&self, id: DecisionId) -> Result<Option<RecordedDecision>, HistoryError> {
        let Ok(seq) = i64::try_from(id.seq) else {
            return Ok(None);
        };
        let row: Option<Row> = sqlx::query_as(FIND)
            .bind(id.stream.as_bytes().as_slice())
            .bind(seq)
            .fetch_optional(&self.decisions)
            .await
            .map_err(|error| unreached(&error))?;
        row.map(row::decode).transpose()
    }

    async fn count(&self, filter: &DecisionFilter, stretch: Span) -> Result<Vec<Counted>, HistoryError> {
        let statement = match (filter.principals.any.is_empty(), filter.resources.any.is_empty()) {
            (false, _) => COUNT_BY_PRINCIPAL,
            (true, false) => COUNT_BY_RESOURCE,
            (true, true) => COUNT,
        };
        let rows: Vec<(i64, String, i64)> = chosen(statement, filter)
            .bind(stretch.micros().max(1))
            .bind(None::<i64>)
            .bind(None::<i64>)
            .bind(None::<i64>)
            .bind(list(&filter.principals.none, String::as_str))
            .bind(list(&filter.actions.none, String::as_str))
            .bind(list(&filter.resources.none, String::as_str))
            .fetch_all(&self.decisions)
            .await
            .map_err(|error| unreached(&error))?;
        Counted::of_columns(rows)
    }

    async fn places(&self) -> Result<Vec<(StreamId, u64)>, HistoryError> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(PLACES).fetch_all(&self.decisions).await.map_err(|error| unreached(&error))?;
        let place = |(stream, seq): (Vec<u8>, i64)| Some((StreamId::from_column(&stream)?, u64::try_from(seq).ok()?));
        Ok(rows.into_iter().filter_map(place).collect())
    }

    async fn behind(
        &self,
        filter: &DecisionFilter,
        stream: StreamId,
        (after, last): (u64, u64),
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let rows: Vec<Row> = chosen(BEHIND, filter)
            .bind(stream.as_bytes().to_vec())
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::try_from(last).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .bind(list(&filter.principals.none, String::as_str))
            .bind(list(&filter.actions.none, String::as_str))
            .bind(list(&filter.resources.none, String::as_str))
            .fetch_all(&self.decisions)
            .await
            .map_err(|error| unreached(&error))?;
        rows.into_iter().map(row::decode).collect()
    }
}

/// A statement with its first eight values: what is wanted, and when.
fn chosen<'q, T: for<'r> FromRow<'r, SqliteRow>>(
    statement: &'static str,
    filter: &DecisionFilter,
) -> QueryAs<'q, Sqlite, T, SqliteArguments> {
    let causes = filter.wanted_causes();
    sqlx::query_as(statement)
        .bind(list(&filter.principals.any, String::as_str))
        .bind(list(&filter.actions.any, String::as_str))
        .bind(list(&filter.resources.any, String::as_str))
        .bind(causes.map(|causes| causes.iter().map(|cause| cause.name()).collect::<Value>().to_string()))
        .bind(list(&filter.request_ids.any, RequestId::as_str))
        .bind(list(&filter.request_ids.none, RequestId::as_str))
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

fn edge(page: Page) -> Edge {
    match page {
        Page::NewestFirst(None) => LAST,
        Page::OldestFirst(None) => FIRST,
        Page::NewestFirst(Some(position)) | Page::OldestFirst(Some(position)) => (
            position.recorded_at.micros(),
            *position.id.stream.as_bytes(),
            i64::try_from(position.id.seq).unwrap_or(i64::MAX),
        ),
    }
}

/// Wanted values as a JSON list; `None` when any will do.
fn list<T>(values: &[T], text: fn(&T) -> &str) -> Option<String> {
    let texts = || values.iter().map(text);
    (!values.is_empty()).then(|| texts().collect::<Value>().to_string())
}

fn unreached(error: &sqlx::Error) -> HistoryError {
    HistoryError::Unreachable(Fault::of(error).to_string())
}
