//! Erasing private values.

use std::collections::BTreeSet;

use magistrate_ledger::{DecisionId, SealedAct, Selection, StreamId};
use magistrate_model::Instant;
use magistrate_pdp::erasing::{Erasable, ErasableCount, Erasing, check_names};
use magistrate_pdp::{HistoryError, LogError};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Sqlite, SqliteConnection};

use super::erasing_statements::{
    BEGIN_ERASING, CHECKPOINT, COUNT_ERASABLE, END_ERASING, ERASABLE, ERASE, ERASED, IS_HELD, VACUUM,
};
use super::evidence::unreached;
use super::log::{failed, record, signed};
use crate::store::SqliteStore;

impl Erasing for SqliteStore {
    async fn count_erasable(&self, of: &Selection) -> Result<ErasableCount, HistoryError> {
        let counted = selected::<(i64, i64)>(COUNT_ERASABLE, of).fetch_one(&self.decisions).await;
        let (all, held) = counted.map_err(|e| unreached(&e))?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(ErasableCount { erasable: number(all - held), held: number(held) })
    }

    async fn erasable(&self, of: &Selection, limit: u32) -> Result<Vec<Erasable>, HistoryError> {
        let rows = selected::<(i64, Vec<u8>, i64)>(ERASABLE, of).bind(limit).fetch_all(&self.decisions).await;
        let place = |(day, stream, seq): (i64, Vec<u8>, i64)| {
            let id = DecisionId { stream: StreamId::from_column(&stream)?, seq: u64::try_from(seq).ok()? };
            Some(Erasable { day, id })
        };
        Ok(rows.map_err(|e| unreached(&e))?.into_iter().filter_map(place).collect())
    }

    async fn erase(&self, act: &SealedAct, decisions: &[Erasable]) -> Result<(), LogError> {
        check_names(act, decisions)?;
        let mut transaction = self.decisions.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failed(&error))?;
        erase(&mut transaction, act, decisions).await?;
        transaction.commit().await.map_err(|error| failed(&error))
    }

    /// What was erased is overwritten in the file (`secure_delete`), but for copies that lie in gaps of pages where rows were
    /// moved: the file is written anew. The write-ahead log has earlier pages until it is emptied.
    async fn clean(&self) -> Result<(), LogError> {
        sqlx::query(VACUUM).execute(&self.decisions).await.map_err(|error| failed(&error))?;
        let emptied = sqlx::query_as::<_, (i64, i64, i64)>(CHECKPOINT).fetch_one(&self.decisions).await;
        match emptied.map_err(|error| failed(&error))? {
            (0, _, _) => Ok(()),
            _ => Err(LogError::Unreachable(
                "another connection reads the file, so its write-ahead log still has what was erased; run this again"
                    .to_owned(),
            )),
        }
    }
}

async fn erase(connection: &mut SqliteConnection, act: &SealedAct, decisions: &[Erasable]) -> Result<(), LogError> {
    let days: BTreeSet<i64> = decisions.iter().map(|decision| decision.day).collect();
    for day in days {
        let held = sqlx::query_scalar::<_, bool>(IS_HELD).bind(day).fetch_one(&mut *connection).await;
        if held.map_err(|error| failed(&error))? {
            return Err(LogError::Refused(format!("the day {day} is held")));
        }
    }
    let (id, count) = (act.record.id.0.as_slice(), decisions.len() as u64);
    let began = async {
        record(connection, act).await?;
        let told = sqlx::query(ERASED).bind(id).bind(i64::try_from(count).unwrap_or(i64::MAX));
        told.execute(&mut *connection).await?;
        sqlx::query(BEGIN_ERASING).bind(id).execute(&mut *connection).await
    };
    began.await.map_err(|error: sqlx::Error| failed(&error))?;
    let mut gone = 0;
    for Erasable { day, id } in decisions {
        let erased = sqlx::query(ERASE).bind(id.stream.as_bytes().as_slice()).bind(signed(id.seq)?).bind(day);
        gone += erased.execute(&mut *connection).await.map_err(|error| failed(&error))?.rows_affected();
    }
    if gone != count {
        let why = format!("the private values of {gone} of {count} decisions are there; somebody else erased some");
        return Err(LogError::Refused(why));
    }
    let ended = sqlx::query(END_ERASING).bind(id).execute(connection).await;
    ended.map(drop).map_err(|error| failed(&error))
}

/// A statement with its first four values: which decisions.
fn selected<'q, T: for<'r> FromRow<'r, SqliteRow>>(
    statement: &'static str,
    of: &Selection,
) -> sqlx::query::QueryAs<'q, Sqlite, T, SqliteArguments> {
    let statement = sqlx::query_as(statement).bind(of.principal.clone()).bind(of.resource.clone());
    statement.bind(of.since.map(Instant::micros)).bind(of.until.map(Instant::micros))
}
