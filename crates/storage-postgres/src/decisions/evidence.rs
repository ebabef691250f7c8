//! Reading everything, to verify it.

use magistrate_ledger::{CheckpointColumns, HeaderColumns, StoredCheckpoint, StoredDecision, StoredHeader, StreamId};
use magistrate_model::Digest;
use magistrate_pdp::history::StoredOpening;
use magistrate_pdp::{Evidence, HistoryError};

use super::retention_statements::KEPT_LEAVES;
use super::row::{self, Row};
use super::statements::{CHECKPOINTS, CHECKPOINTS_AFTER, HEADERS, LAST_PLACE, OPENINGS, RECORDS, STREAMS};
use crate::connect::{Purpose, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// A question within a transaction that reads, and its answer.
macro_rules! read {
    ($store:expr, $query:expr, $fetch:ident) => {
        read!($store, crate::connect::Purpose::Read, $query, $fetch)
    };
    ($store:expr, $purpose:expr, $query:expr, $fetch:ident) => {{
        let read = async {
            let mut transaction = $store.administration().begin($purpose).await?;
            let query = $query.persistent(transaction.prepares);
            let answer = query.$fetch(&mut transaction.connection).await.map_err(|error| Fault::of(&error))?;
            transaction.commit().await?;
            Ok::<_, Fault>(answer)
        };
        within($purpose.limit(), read).await.map_err(|fault: Fault| HistoryError::Unreachable(fault.to_string()))
    }};
}

pub(super) use read;

impl Evidence for PostgresStore {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        let rows: Vec<Vec<u8>> = read!(self, sqlx::query_scalar(STREAMS), fetch_all)?;
        Ok(rows.iter().filter_map(|bytes| StreamId::from_column(bytes)).collect())
    }

    async fn headers(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let question = sqlx::query_as(HEADERS).bind(stream.as_bytes().as_slice()).bind(after).bind(i64::from(limit));
        let rows: Vec<HeaderColumns> = read!(self, question, fetch_all)?;
        Ok(rows.into_iter().map(StoredHeader::from).collect())
    }

    async fn last_place(&self, stream: StreamId) -> Result<u64, HistoryError> {
        let last: i64 = read!(self, sqlx::query_scalar(LAST_PLACE).bind(stream.as_bytes().as_slice()), fetch_one)?;
        Ok(u64::try_from(last).unwrap_or(0))
    }

    async fn kept_leaves(&self, stream: StreamId) -> Result<Vec<(u64, Digest)>, HistoryError> {
        let question = sqlx::query_as(KEPT_LEAVES).bind(stream.as_bytes().as_slice());
        let rows: Vec<(i64, Vec<u8>)> = read!(self, question, fetch_all)?;
        let kept = |(seq, leaf): (i64, Vec<u8>)| Some((u64::try_from(seq).ok()?, Digest::from_slice(&leaf).ok()?));
        Ok(rows.into_iter().filter_map(kept).collect())
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let rows: Vec<CheckpointColumns> = read!(self, sqlx::query_as(CHECKPOINTS), fetch_all)?;
        Ok(rows.into_iter().map(StoredCheckpoint::from).collect())
    }

    async fn checkpoints_after(
        &self,
        origin: Option<&str>,
        (after, size): (&str, u64),
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let Ok(size) = i64::try_from(size) else { return Ok(Vec::new()) };
        let question = sqlx::query_as(CHECKPOINTS_AFTER).bind(origin).bind(after).bind(size).bind(i64::from(limit));
        let rows: Vec<CheckpointColumns> = read!(self, question, fetch_all)?;
        Ok(rows.into_iter().map(StoredCheckpoint::from).collect())
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredDecision>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let question = sqlx::query_as(RECORDS).bind(stream.as_bytes().as_slice());
        let read = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let question = question.bind(after).bind(i64::from(limit)).persistent(transaction.prepares);
            let rows: Vec<Row> =
                question.fetch_all(&mut transaction.connection).await.map_err(|error| Fault::of(&error))?;
            let rows = row::stored(&mut transaction, rows).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        within(Purpose::Read.limit(), read).await.map_err(|fault: Fault| HistoryError::Unreachable(fault.to_string()))
    }

    async fn openings(&self, after: Option<StoredOpening>, limit: u32) -> Result<Vec<StoredOpening>, HistoryError> {
        let day = after.and_then(|it| i32::try_from(it.day).ok());
        let (stream, seq) = after.map_or((Vec::new(), 0), |it| (it.id.stream.as_bytes().to_vec(), it.id.seq));
        let Ok(seq) = i64::try_from(seq) else { return Ok(Vec::new()) };
        let question = sqlx::query_as(OPENINGS).bind(day).bind(stream).bind(seq).bind(i64::from(limit));
        let rows: Vec<(i64, Vec<u8>, i64, bool)> = read!(self, question, fetch_all)?;
        rows.into_iter().map(StoredOpening::of_columns).collect()
    }
}
