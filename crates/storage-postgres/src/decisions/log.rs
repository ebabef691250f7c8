//! The global log, and acts.

use magistrate_ledger::{
    ActColumns, CheckpointColumns, Entry, EntryColumns, HeaderColumns, LogBatch, LogId, Run, SealedAct, StoredAct,
    StoredCheckpoint, StoredEntry, StoredHeader, StreamId,
};
use magistrate_model::{Digest, Span};
use magistrate_pdp::{GlobalLog, HistoryError, Lease, LogError, Sequencing, Unlogged};

use super::evidence::read;
use super::log_statements::{
    ACTS, APPEND_LOG, ENTRIES, FIND_ENTRY, LAST_LOGGED_ACT, LEASE_LOG, LEAVES, LOG_ID, LOG_ROOTS, LOG_SIZE,
    NEWEST_CHECKPOINT, NEWEST_ENTRY, RECORD_ACT, UNLOGGED_HEADERS,
};
use crate::connect::{Purpose, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// A statement within a transaction that writes, and its answer.
macro_rules! write {
    ($store:expr, $query:expr, $fetch:ident) => {{
        let written = async {
            let mut transaction = $store.administration().begin(Purpose::Change).await?;
            let query = $query.persistent(transaction.prepares);
            let answer = query.$fetch(&mut transaction.connection).await.map_err(|error| Fault::of(&error))?;
            transaction.commit().await?;
            Ok::<_, Fault>(answer)
        };
        within(Purpose::Change.limit(), written).await.map_err(refused)
    }};
}

impl GlobalLog for PostgresStore {
    async fn log_id(&self) -> Result<Option<LogId>, HistoryError> {
        let id: Option<Vec<u8>> = read!(self, sqlx::query_scalar(LOG_ID), fetch_optional)?;
        Ok(id.and_then(|id| LogId::from_column(&id)))
    }

    async fn log_size(&self) -> Result<u64, HistoryError> {
        let size: i64 = read!(self, sqlx::query_scalar(LOG_SIZE), fetch_one)?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    async fn entries(&self, first: u64, limit: u32) -> Result<Vec<StoredEntry>, HistoryError> {
        let Ok(first) = i64::try_from(first) else { return Ok(Vec::new()) };
        let rows: Vec<EntryColumns> =
            read!(self, sqlx::query_as(ENTRIES).bind(first).bind(i64::from(limit)), fetch_all)?;
        Ok(rows.into_iter().map(StoredEntry::from).collect())
    }

    async fn newest_entry(&self, kind: &str) -> Result<Option<StoredEntry>, HistoryError> {
        let row: Option<EntryColumns> = read!(self, sqlx::query_as(NEWEST_ENTRY).bind(kind), fetch_optional)?;
        Ok(row.map(StoredEntry::from))
    }

    async fn find_entry(&self, kind: &str, reference: &str) -> Result<Option<StoredEntry>, HistoryError> {
        let row: Option<EntryColumns> =
            read!(self, sqlx::query_as(FIND_ENTRY).bind(kind).bind(reference), fetch_optional)?;
        Ok(row.map(StoredEntry::from))
    }

    async fn newest_checkpoint(&self, log: LogId) -> Result<Option<StoredCheckpoint>, HistoryError> {
        let row: Option<CheckpointColumns> =
            read!(self, sqlx::query_as(NEWEST_CHECKPOINT).bind(log.origin()), fetch_optional)?;
        Ok(row.map(StoredCheckpoint::from))
    }

    async fn log_hashes(&self, run: Run) -> Result<Vec<Digest>, HistoryError> {
        let (Ok(first), Ok(count), Ok(level)) =
            (i64::try_from(run.first), i64::try_from(run.count), i32::try_from(run.level))
        else {
            return Ok(Vec::new());
        };
        let hashes: Vec<Vec<u8>> = match level {
            0 => read!(self, sqlx::query_scalar(LEAVES).bind(first).bind(count), fetch_all)?,
            _ => read!(self, sqlx::query_scalar(LOG_ROOTS).bind(first).bind(count).bind(level), fetch_all)?,
        };
        Ok(hashes.iter().filter_map(|hash| Digest::from_slice(hash).ok()).collect())
    }
}

impl Unlogged for PostgresStore {
    async fn unlogged_headers(&self, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        let rows: Vec<HeaderColumns> = read!(self, sqlx::query_as(UNLOGGED_HEADERS).bind(i64::from(limit)), fetch_all)?;
        Ok(rows.into_iter().map(StoredHeader::from).collect())
    }

    async fn acts(&self, kind: Option<&str>, after: u64, limit: u32) -> Result<Vec<StoredAct>, HistoryError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let rows: Vec<ActColumns> =
            read!(self, sqlx::query_as(ACTS).bind(after).bind(i64::from(limit)).bind(kind), fetch_all)?;
        Ok(rows.into_iter().map(StoredAct::from).collect())
    }

    async fn last_logged_act(&self) -> Result<u64, HistoryError> {
        let last: i64 = read!(self, sqlx::query_scalar(LAST_LOGGED_ACT), fetch_one)?;
        Ok(u64::try_from(last).unwrap_or(0))
    }
}

impl Sequencing for PostgresStore {
    async fn lease(&self, holder: StreamId, begins: LogId, time: Span) -> Result<Lease, LogError> {
        let millis = i32::try_from(time.micros() / 1_000).unwrap_or(i32::MAX);
        let asked = sqlx::query_as(LEASE_LOG).bind(holder.as_bytes().as_slice()).bind(begins.as_bytes().as_slice());
        let (log, term, held): (Vec<u8>, i64, bool) = write!(self, asked.bind(millis), fetch_one)?;
        let log = LogId::from_column(&log).ok_or_else(|| LogError::Refused("the log has no id".to_owned()))?;
        Ok(Lease { log, term: u64::try_from(term).unwrap_or(0), held })
    }

    async fn append_log(&self, term: u64, batch: &LogBatch) -> Result<(), LogError> {
        let LogBatch { first, entries, roots, .. } = batch;
        let places: Vec<i64> = roots.iter().map(|(group, _)| signed(group.index)).collect::<Result<_, _>>()?;
        let appended = sqlx::query(APPEND_LOG)
            .bind(signed(term)?)
            .bind(signed(*first)?)
            .bind(column(entries, Entry::kind))
            .bind(column(entries, Entry::reference))
            .bind(column(entries, |entry| entry.leaf().as_bytes().to_vec()))
            .bind(column(entries, Entry::bytes))
            .bind(column(roots, |(group, _)| i32::try_from(group.level).unwrap_or(i32::MAX)))
            .bind(places)
            .bind(column(roots, |(_, root)| root.as_bytes().as_slice()));
        write!(self, appended, execute).map(drop)
    }

    async fn record_act(&self, act: &SealedAct) -> Result<(), LogError> {
        let recorded = sqlx::query(RECORD_ACT)
            .bind(act.record.id.0.as_slice())
            .bind(act.record.act.kind())
            .bind(act.leaf.as_bytes().as_slice())
            .bind(act.bytes.as_slice());
        write!(self, recorded, execute).map(drop)
    }
}

fn column<'a, T, C>(rows: &'a [T], value: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

fn signed(number: u64) -> Result<i64, LogError> {
    i64::try_from(number).map_err(|_| LogError::Refused(format!("{number} is no place of a log")))
}

fn refused(fault: Fault) -> LogError {
    match matches!(fault, Fault::Conflict | Fault::Constraint) {
        true => LogError::Refused(fault.to_string()),
        false => LogError::Unreachable(fault.to_string()),
    }
}
