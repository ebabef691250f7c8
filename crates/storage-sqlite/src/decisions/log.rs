//! The global log, and acts.

use magistrate_ledger::{
    ActColumns, CheckpointColumns, Entry, EntryColumns, HeaderColumns, LogBatch, LogId, Run, SealedAct, StoredAct,
    StoredCheckpoint, StoredEntry, StoredHeader, StreamId,
};
use magistrate_model::{Digest, Span};
use magistrate_pdp::{GlobalLog, HistoryError, Lease, LogError, Sequencing, Unlogged};
use sqlx::SqliteConnection;

use super::evidence::unreached;
use super::log_statements::{
    ACTS, APPEND_ENTRY, APPEND_ROOT, BEGIN_LOG, ENTRIES, FIND_ENTRY, HOLD_LOG, LAST_LOGGED_ACT, LEASE, LEAVES, LOG_ID,
    LOG_ROOTS, LOG_SIZE, NEWEST_CHECKPOINT, NEWEST_ENTRY, RECORD_ACT, RENEW_LOG, REQUIRE_TERM, UNLOGGED_HEADERS,
};
use crate::fault::Fault;
use crate::store::SqliteStore;

impl GlobalLog for SqliteStore {
    async fn log_id(&self) -> Result<Option<LogId>, HistoryError> {
        let id: Option<Vec<u8>> =
            sqlx::query_scalar(LOG_ID).fetch_optional(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(id.and_then(|id| LogId::from_column(&id)))
    }

    async fn log_size(&self) -> Result<u64, HistoryError> {
        let size: i64 = sqlx::query_scalar(LOG_SIZE).fetch_one(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    async fn entries(&self, first: u64, limit: u32) -> Result<Vec<StoredEntry>, HistoryError> {
        let Ok(first) = i64::try_from(first) else { return Ok(Vec::new()) };
        let rows = sqlx::query_as::<_, EntryColumns>(ENTRIES).bind(first).bind(limit).fetch_all(&self.decisions).await;
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().map(StoredEntry::from).collect())
    }

    async fn newest_entry(&self, kind: &str) -> Result<Option<StoredEntry>, HistoryError> {
        let row = sqlx::query_as::<_, EntryColumns>(NEWEST_ENTRY).bind(kind).fetch_optional(&self.decisions).await;
        Ok(row.map_err(|e| unreached(&e))?.map(StoredEntry::from))
    }

    async fn find_entry(&self, kind: &str, reference: &str) -> Result<Option<StoredEntry>, HistoryError> {
        let found = sqlx::query_as::<_, EntryColumns>(FIND_ENTRY).bind(kind).bind(reference);
        let row = found.fetch_optional(&self.decisions).await;
        Ok(row.map_err(|e| unreached(&e))?.map(StoredEntry::from))
    }

    async fn newest_checkpoint(&self, log: LogId) -> Result<Option<StoredCheckpoint>, HistoryError> {
        let row = sqlx::query_as::<_, CheckpointColumns>(NEWEST_CHECKPOINT).bind(log.origin());
        let row = row.fetch_optional(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(row.map(StoredCheckpoint::from))
    }

    async fn log_hashes(&self, run: Run) -> Result<Vec<Digest>, HistoryError> {
        let (Ok(first), Ok(count)) = (i64::try_from(run.first), i64::try_from(run.count)) else {
            return Ok(Vec::new());
        };
        let hashes = match run.level {
            0 => sqlx::query_scalar(LEAVES).bind(first).bind(count),
            level => sqlx::query_scalar(LOG_ROOTS).bind(first).bind(count).bind(level),
        };
        let hashes: Vec<Vec<u8>> = hashes.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(hashes.iter().filter_map(|hash| Digest::from_slice(hash).ok()).collect())
    }
}

impl Unlogged for SqliteStore {
    async fn unlogged_headers(&self, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        let rows = sqlx::query_as::<_, HeaderColumns>(UNLOGGED_HEADERS).bind(limit).fetch_all(&self.decisions).await;
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().map(StoredHeader::from).collect())
    }

    async fn acts(&self, kind: Option<&str>, after: u64, limit: u32) -> Result<Vec<StoredAct>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let rows =
            sqlx::query_as::<_, ActColumns>(ACTS).bind(after).bind(limit).bind(kind).fetch_all(&self.decisions).await;
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().map(StoredAct::from).collect())
    }

    async fn last_logged_act(&self) -> Result<u64, HistoryError> {
        let last: i64 =
            sqlx::query_scalar(LAST_LOGGED_ACT).fetch_one(&self.decisions).await.map_err(|e| unreached(&e))?;
        Ok(u64::try_from(last).unwrap_or(0))
    }
}

impl Sequencing for SqliteStore {
    async fn lease(&self, holder: StreamId, begins: LogId, time: Span) -> Result<Lease, LogError> {
        let leased = async {
            let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query(BEGIN_LOG)
                .bind(begins.as_bytes().as_slice())
                .bind(holder.as_bytes().as_slice())
                .execute(&mut *transaction)
                .await?;
            for statement in [RENEW_LOG, HOLD_LOG] {
                let changed = sqlx::query(statement)
                    .bind(holder.as_bytes().as_slice())
                    .bind(time.micros())
                    .execute(&mut *transaction)
                    .await?;
                if changed.rows_affected() > 0 {
                    break;
                }
            }
            let row: (Vec<u8>, i64, bool) =
                sqlx::query_as(LEASE).bind(holder.as_bytes().as_slice()).fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(row)
        };
        let (log, term, held) = leased.await.map_err(|error: sqlx::Error| failed(&error))?;
        let log = LogId::from_column(&log).ok_or_else(|| LogError::Refused("the log has no id".to_owned()))?;
        Ok(Lease { log, term: u64::try_from(term).unwrap_or(0), held })
    }

    async fn append_log(&self, term: u64, batch: &LogBatch) -> Result<(), LogError> {
        let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failed(&error))?;
        let fenced = sqlx::query(REQUIRE_TERM).bind(signed(term)?).execute(&mut *transaction).await;
        if fenced.map_err(|error| failed(&error))?.rows_affected() != 1 {
            return Err(LogError::Refused(format!("the log is no longer in term {term}")));
        }
        for (place, entry) in (batch.first..).zip(&batch.entries) {
            append(&mut transaction, signed(place)?, entry).await.map_err(|error| failed(&error))?;
        }
        for (group, root) in &batch.roots {
            let row = sqlx::query(APPEND_ROOT).bind(group.level).bind(signed(group.index)?);
            let appended = row.bind(root.as_bytes().as_slice()).execute(&mut *transaction).await;
            appended.map_err(|error| failed(&error))?;
        }
        transaction.commit().await.map_err(|error| failed(&error))
    }

    async fn record_act(&self, act: &SealedAct) -> Result<(), LogError> {
        let recorded = async {
            let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await?;
            record(&mut transaction, act).await?;
            transaction.commit().await
        };
        recorded.await.map_err(|error: sqlx::Error| failed(&error))
    }
}

/// Keeps an act behind all others, within a transaction.
pub(super) async fn record(connection: &mut SqliteConnection, act: &SealedAct) -> Result<(), sqlx::Error> {
    sqlx::query(RECORD_ACT)
        .bind(act.record.id.0.as_slice())
        .bind(act.record.act.kind())
        .bind(act.leaf.as_bytes().as_slice())
        .bind(act.bytes.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

async fn append(connection: &mut SqliteConnection, place: i64, entry: &Entry) -> Result<(), sqlx::Error> {
    sqlx::query(APPEND_ENTRY)
        .bind(place)
        .bind(entry.kind())
        .bind(entry.reference())
        .bind(entry.leaf().as_bytes().as_slice())
        .bind(entry.bytes())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn signed(number: u64) -> Result<i64, LogError> {
    i64::try_from(number).map_err(|_| LogError::Refused(format!("{number} is no place of a log")))
}

pub(super) fn failed(error: &sqlx::Error) -> LogError {
    let fault = Fault::of(error);
    match fault == Fault::Constraint {
        true => LogError::Refused(fault.to_string()),
        false => LogError::Unreachable(fault.to_string()),
    }
}
