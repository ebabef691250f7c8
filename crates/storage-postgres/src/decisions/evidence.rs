//! Reading everything, to verify it.

use magistrate_ledger::{StoredCheckpoint, StoredDecision, StoredHeader, StreamId};
use magistrate_pdp::{Evidence, HistoryError};

use super::row::{self, Row};
use super::statements::{CHECKPOINTS, HEADERS, LAST_PLACE, RECORDS, STREAMS};
use crate::connect::{Purpose, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// A question within a transaction that reads, and its answer.
macro_rules! read {
    ($store:expr, $query:expr, $fetch:ident) => {{
        let read = async {
            let mut transaction = $store.administration().begin(Purpose::Read).await?;
            let query = $query.persistent(transaction.prepares);
            let answer = query.$fetch(&mut transaction.connection).await.map_err(|error| Fault::of(&error))?;
            transaction.commit().await?;
            Ok::<_, Fault>(answer)
        };
        within(Purpose::Read.limit(), read).await.map_err(|fault: Fault| HistoryError::Unreachable(fault.to_string()))
    }};
}

impl Evidence for PostgresStore {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        let rows: Vec<Vec<u8>> = read!(self, sqlx::query_scalar(STREAMS), fetch_all)?;
        Ok(rows.iter().filter_map(|bytes| stream_of(bytes)).collect())
    }

    async fn headers(&self, stream: StreamId) -> Result<Vec<StoredHeader>, HistoryError> {
        let rows: Vec<HeaderRow> = read!(self, sqlx::query_as(HEADERS).bind(stream.as_bytes().as_slice()), fetch_all)?;
        Ok(rows.into_iter().map(stored_header).collect())
    }

    async fn last_place(&self, stream: StreamId) -> Result<u64, HistoryError> {
        let last: i64 = read!(self, sqlx::query_scalar(LAST_PLACE).bind(stream.as_bytes().as_slice()), fetch_one)?;
        Ok(u64::try_from(last).unwrap_or(0))
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let rows: Vec<CheckpointRow> = read!(self, sqlx::query_as(CHECKPOINTS), fetch_all)?;
        Ok(rows.into_iter().map(stored_checkpoint).collect())
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredDecision>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let question = sqlx::query_as(RECORDS).bind(stream.as_bytes().as_slice());
        let rows: Vec<Row> = read!(self, question.bind(after).bind(i64::from(limit)), fetch_all)?;
        Ok(rows.into_iter().map(row::stored).collect())
    }
}

/// A row of `header`: stream, number, first place, count, root, bytes.
type HeaderRow = (Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);

fn stored_header((stream, number, first_seq, count, root, header): HeaderRow) -> StoredHeader {
    StoredHeader { stream, number, first_seq, count, root, header }
}

/// The stream of a column that must hold 16 bytes.
fn stream_of(bytes: &[u8]) -> Option<StreamId> {
    bytes.try_into().ok().map(StreamId::new)
}

/// A row of `checkpoint`: origin, size, root, note.
type CheckpointRow = (String, i64, Vec<u8>, String);

fn stored_checkpoint((origin, size, root, note): CheckpointRow) -> StoredCheckpoint {
    StoredCheckpoint { origin, size, root, note }
}
