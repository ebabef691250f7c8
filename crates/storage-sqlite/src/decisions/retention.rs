//! Taking days out, and holding them.

use magistrate_ledger::{SealedAct, StreamId};
use magistrate_pdp::retention::{DayExpiry, Hold, Retention, StoredDay, StreamOfDay, hold_of};
use magistrate_pdp::{HistoryError, LogError};
use sqlx::SqliteConnection;

use super::evidence::unreached;
use super::log::{failed, record, signed};
use super::retention_statements::{
    BARE, BEGIN_EXPIRING, DAYS, END_EXPIRING, EXPIRE, EXPIRED, EXPIRED_PLACES, HOLD_DAYS, HOLDS, KEEP_LEAF, OBSTACLES,
    RELEASE_DAYS, STREAMS_OF_DAY,
};
use crate::store::SqliteStore;

impl Retention for SqliteStore {
    async fn days(&self) -> Result<Vec<StoredDay>, HistoryError> {
        let rows = sqlx::query_as::<_, (i64, bool)>(DAYS).fetch_all(&self.decisions).await;
        let rows = rows.map_err(|e| unreached(&e))?;
        Ok(rows.into_iter().map(|(day, held)| StoredDay { day, held }).collect())
    }

    async fn streams_of_day(&self, day: i64) -> Result<Vec<StreamOfDay>, HistoryError> {
        let rows = sqlx::query_as::<_, (Vec<u8>, i64, i64, i64)>(STREAMS_OF_DAY).bind(day);
        let rows = rows.fetch_all(&self.decisions).await.map_err(|e| unreached(&e))?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let row = |(stream, first, last, records): (Vec<u8>, i64, i64, i64)| {
            let stream = StreamId::from_column(&stream)?;
            Some(StreamOfDay { stream, first: number(first), last: number(last), records: number(records) })
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    async fn holds(&self) -> Result<Vec<Hold>, HistoryError> {
        let rows = sqlx::query_as::<_, (String, i64, Option<i64>, bool)>(HOLDS).fetch_all(&self.decisions).await;
        let hold = |(name, first, last, released)| Hold { name, first, last, released };
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().map(hold).collect())
    }

    async fn hold(&self, act: &SealedAct) -> Result<(), LogError> {
        let (name, first, last, released) = hold_of(act)?;
        let held = async {
            let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await?;
            record(&mut transaction, act).await?;
            let id = act.record.id.0.as_slice();
            let row = match released {
                true => sqlx::query(RELEASE_DAYS).bind(name).bind(id),
                false => sqlx::query(HOLD_DAYS).bind(name).bind(first).bind(last).bind(id),
            };
            row.execute(&mut *transaction).await?;
            transaction.commit().await
        };
        held.await.map_err(|error: sqlx::Error| failed(&error))
    }

    async fn expire(&self, expiry: &DayExpiry) -> Result<(), LogError> {
        let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failed(&error))?;
        expire(&mut transaction, expiry).await?;
        transaction.commit().await.map_err(|error| failed(&error))
    }
}

async fn expire(connection: &mut SqliteConnection, expiry: &DayExpiry) -> Result<(), LogError> {
    let DayExpiry { day, records, acts, covered, kept } = expiry;
    let (day, records, covered) = (*day, signed(*records)?, signed(*covered)?);
    unobstructed(connection, day, records, covered).await?;
    for id in kept {
        let leaf = sqlx::query(KEEP_LEAF).bind(day).bind(id.stream.as_bytes().as_slice()).bind(signed(id.seq)?);
        leaf.execute(&mut *connection).await.map_err(|error| failed(&error))?;
    }
    let bare = sqlx::query_scalar::<_, String>(BARE).bind(day).bind(covered);
    if let Some(id) = bare.fetch_optional(&mut *connection).await.map_err(|error| failed(&error))? {
        return Err(LogError::Refused(format!("no header that the checkpoint covers is over the record {id}")));
    }
    let went = async {
        for (act, records) in acts.iter().zip(std::iter::once(records).chain(std::iter::repeat(0))) {
            record(connection, act).await?;
            let row = sqlx::query(EXPIRED).bind(act.record.id.0.as_slice()).bind(day).bind(records);
            row.execute(&mut *connection).await?;
        }
        for statement in [EXPIRED_PLACES, BEGIN_EXPIRING, EXPIRE, END_EXPIRING] {
            sqlx::query(statement).bind(day).execute(&mut *connection).await?;
        }
        Ok(())
    };
    went.await.map_err(|error: sqlx::Error| failed(&error))
}

/// Refuses what the schema would refuse as well, and more, in words.
async fn unobstructed(connection: &mut SqliteConnection, day: i64, records: i64, covered: i64) -> Result<(), LogError> {
    let asked = sqlx::query_as::<_, (bool, bool, i64, bool)>(OBSTACLES).bind(day).bind(covered);
    let (is_held, is_young, found, is_covered) = asked.fetch_one(connection).await.map_err(|error| failed(&error))?;
    let obstacles = [
        (is_young, format!("the day {day} is not over for a whole day")),
        (is_held, format!("the day {day} is held")),
        (found == 0, format!("there are no records of the day {day}")),
        (found != records, format!("there are {found} records of the day {day}, not {records}")),
        (!is_covered, format!("no checkpoint of the log that covers {covered} entries is stored")),
    ];
    obstacles.into_iter().find(|(is_one, _)| *is_one).map_or(Ok(()), |(_, why)| Err(LogError::Refused(why)))
}
