//! Taking days out, and holding them.

use magistrate_ledger::{SealedAct, StreamId};
use magistrate_pdp::retention::{DayExpiry, Hold, Retention, StoredDay, StreamOfDay, hold_of};
use magistrate_pdp::{HistoryError, LogError};

use super::evidence::read;
use super::retention_statements::{DAYS, EXPIRE_DAY, HOLD_DAYS, HOLDS, RELEASE_DAYS, STREAMS_OF_DAY};
use crate::connect::{Purpose, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// The code under which our functions refuse, in words of their own.
const REFUSED: &str = "MG005";

/// Why nothing was changed.
pub(super) enum Unchanged {
    Fault(Fault),
    Refused(String),
}

impl From<Fault> for Unchanged {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A statement within a transaction that changes what is kept.
macro_rules! change {
    ($store:expr, $purpose:expr, $query:expr) => {{
        let changed = async {
            let mut transaction = $store.administration().begin($purpose).await?;
            let query = $query.persistent(transaction.prepares);
            query
                .execute(&mut transaction.connection)
                .await
                .map_err(|error| $crate::decisions::retention::why(&error))?;
            transaction.commit().await?;
            Ok::<_, $crate::decisions::retention::Unchanged>(())
        };
        within($purpose.limit(), changed).await.map_err($crate::decisions::retention::failed)
    }};
}

pub(super) use change;

impl Retention for PostgresStore {
    async fn days(&self) -> Result<Vec<StoredDay>, HistoryError> {
        let rows: Vec<(i64, bool)> = read!(self, sqlx::query_as(DAYS), fetch_all)?;
        Ok(rows.into_iter().map(|(day, held)| StoredDay { day, held }).collect())
    }

    async fn streams_of_day(&self, day: i64) -> Result<Vec<StreamOfDay>, HistoryError> {
        let question = sqlx::query_as(STREAMS_OF_DAY).bind(column(day));
        let rows: Vec<(Vec<u8>, i64, i64, i64)> = read!(self, Purpose::Survey, question, fetch_all)?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let row = |(stream, first, last, records): (Vec<u8>, i64, i64, i64)| {
            let stream = StreamId::from_column(&stream)?;
            Some(StreamOfDay { stream, first: number(first), last: number(last), records: number(records) })
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    async fn holds(&self) -> Result<Vec<Hold>, HistoryError> {
        let rows: Vec<(String, i64, Option<i64>, bool)> = read!(self, sqlx::query_as(HOLDS), fetch_all)?;
        let hold = |(name, first, last, released)| Hold { name, first, last, released };
        Ok(rows.into_iter().map(hold).collect())
    }

    async fn hold(&self, act: &SealedAct) -> Result<(), LogError> {
        let (name, first, last, released) = hold_of(act)?;
        let (id, leaf, body) = (act.record.id.0.as_slice(), act.leaf.as_bytes().as_slice(), act.bytes.as_slice());
        if released {
            return change!(self, Purpose::Change, sqlx::query(RELEASE_DAYS).bind(name).bind(id).bind(leaf).bind(body));
        }
        let held = sqlx::query(HOLD_DAYS).bind(name).bind(column(first)).bind(last.map(column));
        change!(self, Purpose::Change, held.bind(id).bind(leaf).bind(body))
    }

    async fn expire(&self, expiry: &DayExpiry) -> Result<(), LogError> {
        let DayExpiry { day, records, acts, covered, kept } = expiry;
        let seqs: Option<Vec<i64>> = kept.iter().map(|id| i64::try_from(id.seq).ok()).collect();
        let seqs = seqs.ok_or_else(|| LogError::Refused("a place is out of range".to_owned()))?;
        let expired = sqlx::query(EXPIRE_DAY)
            .bind(column(*day))
            .bind(i64::try_from(*records).unwrap_or(i64::MAX))
            .bind(acts.iter().map(|act| act.record.id.0.to_vec()).collect::<Vec<_>>())
            .bind(acts.iter().map(|act| act.leaf.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(acts.iter().map(|act| act.bytes.clone()).collect::<Vec<_>>())
            .bind(i64::try_from(*covered).unwrap_or(i64::MAX))
            .bind(kept.iter().map(|id| id.stream.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(seqs);
        change!(self, Purpose::Expiry, expired)
    }
}

/// A day as it is counted there; one that is out of range is none of which there are records.
pub(super) fn column(day: i64) -> i32 {
    i32::try_from(day).unwrap_or(i32::MIN / 2)
}

pub(super) fn why(error: &sqlx::Error) -> Unchanged {
    let fault = Fault::of(error);
    let refused = error.as_database_error().filter(|it| it.code().is_some_and(|code| code == REFUSED));
    refused.map_or(Unchanged::Fault(fault), |it| Unchanged::Refused(it.message().to_owned()))
}

pub(super) fn failed(why: Unchanged) -> LogError {
    match why {
        Unchanged::Refused(words) => LogError::Refused(words),
        Unchanged::Fault(fault) if matches!(fault, Fault::Conflict | Fault::Constraint) => {
            LogError::Refused(fault.to_string())
        }
        Unchanged::Fault(fault) => LogError::Unreachable(fault.to_string()),
    }
}
