//! Finding recorded decisions again.

use magistrate_ledger::{DecisionId, RecordedDecision};
use magistrate_model::{Cause, Decision, Instant, RequestId};
use magistrate_pdp::{DecisionFilter, DecisionHistory, HistoryError, Page, Position};

use super::row::{self, Row};
use super::statements::{
    FIND, NEWEST, NEWEST_BY_PRINCIPAL, NEWEST_BY_RESOURCE, OLDEST, OLDEST_BY_PRINCIPAL, OLDEST_BY_RESOURCE,
};
use crate::connect::{Purpose, Session, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// Rows read at once where not every one of them will be returned.
const CHUNK: u32 = 256;

/// Days before and after every instant there is: the years 1 to 9999.
const FIRST_DAY: i64 = -719_163;
const LAST_DAY: i64 = 2_932_897;

/// A place before or after every other one: day, instant, stream, seq.
type Edge = (i64, i64, [u8; 16], i64);
const FIRST: Edge = (FIRST_DAY, i64::MIN, [0; 16], i64::MIN);
const LAST: Edge = (LAST_DAY, i64::MAX, [0xff; 16], i64::MAX);

impl DecisionHistory for PostgresStore {
    async fn search(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        if filter.policies.is_empty() {
            return self.rows(filter, page, limit).await?.into_iter().map(row::decode).collect();
        }
        self.search_by_policy(filter, page, limit).await
    }

    async fn find(&self, id: DecisionId) -> Result<Option<RecordedDecision>, HistoryError> {
        let Ok(seq) = i64::try_from(id.seq) else {
            return Ok(None);
        };
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let row = find(&mut transaction, id, seq).await?;
            transaction.commit().await?;
            Ok(row)
        };
        within(Purpose::Read.limit(), read).await.map_err(unreached)?.map(row::decode).transpose()
    }
}

impl PostgresStore {
    /// Determining policies are in the record only: reads on until enough match or history ends.
    async fn search_by_policy(
        &self,
        filter: &DecisionFilter,
        mut page: Page,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        let (wanted, mut found) = (usize::try_from(limit).unwrap_or(usize::MAX), Vec::new());
        while found.len() < wanted {
            let rows = self.rows(filter, page, CHUNK).await?;
            let read = rows.len();
            for row in rows {
                let record = row::decode(row)?;
                page = beyond(page, &record);
                if is_determined_by(filter, &record) {
                    found.push(record);
                }
            }
            if read < CHUNK as usize {
                break;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    async fn rows(&self, filter: &DecisionFilter, page: Page, limit: u32) -> Result<Vec<Row>, HistoryError> {
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let rows = matching(&mut transaction, filter, page, limit).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        within(Purpose::Read.limit(), read).await.map_err(unreached)
    }
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
    let (first_day, last_day) = days(filter, page);
    let (day, instant, stream, seq) = edge(page);
    sqlx::query_as(statement(filter, page))
        .persistent(session.prepares)
        .bind(list(&filter.principals, String::as_str))
        .bind(list(&filter.actions, String::as_str))
        .bind(list(&filter.resources, String::as_str))
        .bind(filter.decision.map(Decision::name))
        .bind(list(&filter.causes, |cause: &Cause| cause.name()))
        .bind(filter.request_id.as_ref().map(RequestId::as_str))
        .bind(number(first_day))
        .bind(number(last_day))
        .bind(filter.since.map_or(i64::MIN, Instant::micros))
        .bind(filter.until.map_or(i64::MAX, Instant::micros))
        .bind(number(day))
        .bind(instant)
        .bind(stream.as_slice())
        .bind(seq)
        .bind(i64::from(limit))
        .fetch_all(&mut session.connection)
        .await
        .map_err(|error| Fault::of(&error))
}

fn statement(filter: &DecisionFilter, page: Page) -> &'static str {
    match (page, filter.principals.is_empty(), filter.resources.is_empty()) {
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

fn beyond(page: Page, record: &RecordedDecision) -> Page {
    let position = Some(Position { recorded_at: record.recorded_at, id: record.id });
    match page {
        Page::NewestFirst(_) => Page::NewestFirst(position),
        Page::OldestFirst(_) => Page::OldestFirst(position),
    }
}

fn is_determined_by(filter: &DecisionFilter, record: &RecordedDecision) -> bool {
    let determining = &record.record.verdict.determining;
    determining.iter().any(|policy| filter.policies.contains(policy))
}

/// Wanted values; `None` when any will do. PostgreSQL holds no NUL, so nothing matches a value that has one.
fn list<T>(values: &[T], text: fn(&T) -> &str) -> Option<Vec<&str>> {
    (!values.is_empty()).then(|| values.iter().map(text).filter(|text| !text.contains('\0')).collect())
}

/// The number of a day that is one.
fn number(day: i64) -> i32 {
    i32::try_from(day).unwrap_or(i32::MAX)
}

fn unreached(fault: Fault) -> HistoryError {
    HistoryError::Unreachable(fault.to_string())
}
