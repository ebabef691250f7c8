//! Reading everything, to verify it.

use magistrate_ledger::{CheckpointColumns, HeaderColumns, StoredCheckpoint, StoredDecision, StoredHeader, StreamId};
use magistrate_model::Digest;
use magistrate_pdp::history::StoredOpening;
use magistrate_pdp::{Evidence, HistoryError};

use super::retention_statements::KEPT_LEAVES;
use super::row::{self, Row};
use super::statements::{CHECKPOINTS, CHECKPOINTS_AFTER, HEADERS, LAST_SEQ, OPENINGS, RECORDS, STREAMS};
use crate::fault::Fault;
use crate::store::SqliteStore;

impl Evidence for SqliteStore {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        let rows: Vec<Vec<u8>> =
            sqlx::query_scalar(STREAMS).fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(rows.iter().filter_map(|bytes| StreamId::from_column(bytes)).collect())
    }

    async fn headers(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query_as::<_, HeaderColumns>(HEADERS).bind(stream.as_bytes().as_slice());
        let rows = rows.bind(after).bind(i64::from(limit));
        let rows = rows.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(rows.into_iter().map(StoredHeader::from).collect())
    }

    async fn last_place(&self, stream: StreamId) -> Result<u64, HistoryError> {
        let last: Result<Option<i64>, _> =
            sqlx::query_scalar(LAST_SEQ).bind(stream.as_bytes().as_slice()).fetch_one(&self.decisions).await;
        Ok(last.map_err(|e| unreached(&e))?.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
    }

    async fn kept_leaves(&self, stream: StreamId) -> Result<Vec<(u64, Digest)>, HistoryError> {
        let rows = sqlx::query_as::<_, (i64, Vec<u8>)>(KEPT_LEAVES).bind(stream.as_bytes().as_slice());
        let rows = rows.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        let kept = |(seq, leaf): (i64, Vec<u8>)| Some((u64::try_from(seq).ok()?, Digest::from_slice(&leaf).ok()?));
        Ok(rows.into_iter().filter_map(kept).collect())
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let rows = sqlx::query_as::<_, CheckpointColumns>(CHECKPOINTS).fetch_all(&self.decisions).await;
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().map(StoredCheckpoint::from).collect())
    }

    async fn checkpoints_after(
        &self,
        origin: Option<&str>,
        (after, size): (&str, u64),
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        let Ok(size) = i64::try_from(size) else { return Ok(Vec::new()) };
        let question =
            sqlx::query_as::<_, CheckpointColumns>(CHECKPOINTS_AFTER).bind(origin).bind(after).bind(size).bind(limit);
        let rows = question.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(rows.into_iter().map(StoredCheckpoint::from).collect())
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredDecision>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query_as::<_, Row>(RECORDS).bind(stream.as_bytes().as_slice()).bind(after).bind(limit);
        let rows = rows.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(rows.into_iter().map(row::stored).collect())
    }

    async fn openings(&self, after: Option<StoredOpening>, limit: u32) -> Result<Vec<StoredOpening>, HistoryError> {
        let (stream, seq) = after.map_or((Vec::new(), 0), |it| (it.id.stream.as_bytes().to_vec(), it.id.seq));
        let Ok(seq) = i64::try_from(seq) else { return Ok(Vec::new()) };
        let rows =
            sqlx::query_as::<_, (i64, Vec<u8>, i64, bool)>(OPENINGS).bind(stream).bind(seq).bind(i64::from(limit));
        let rows = rows.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        rows.into_iter().map(StoredOpening::of_columns).collect()
    }
}

pub(super) fn unreached(error: &sqlx::Error) -> HistoryError {
    HistoryError::Unreachable(Fault::of(error).to_string())
}
