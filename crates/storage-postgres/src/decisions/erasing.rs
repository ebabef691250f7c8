//! Erasing private values.

use magistrate_ledger::{DecisionId, SealedAct, Selection, StreamId};
use magistrate_model::Instant;
use magistrate_pdp::erasing::{Erasable, ErasableCount, Erasing, check_names};
use magistrate_pdp::{HistoryError, LogError};

use super::erasing_statements::{COUNT_ERASABLE, ERASABLE, ERASE};
use super::evidence::read;
use super::retention::{change, column};
use crate::connect::{Purpose, within};
use crate::fault::Fault;
use crate::store::PostgresStore;

/// A statement with its first four values: which decisions.
macro_rules! selected {
    ($statement:expr, $of:expr) => {{
        let statement = sqlx::query_as($statement).bind($of.principal.clone()).bind($of.resource.clone());
        statement.bind($of.since.map(Instant::micros)).bind($of.until.map(Instant::micros))
    }};
}

impl Erasing for PostgresStore {
    async fn count_erasable(&self, of: &Selection) -> Result<ErasableCount, HistoryError> {
        let (erasable, held): (i64, i64) = read!(self, Purpose::Survey, selected!(COUNT_ERASABLE, of), fetch_one)?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(ErasableCount { erasable: number(erasable), held: number(held) })
    }

    async fn erasable(&self, of: &Selection, limit: u32) -> Result<Vec<Erasable>, HistoryError> {
        let rows: Vec<(i64, Vec<u8>, i64)> =
            read!(self, Purpose::Survey, selected!(ERASABLE, of).bind(i64::from(limit)), fetch_all)?;
        let place = |(day, stream, seq): (i64, Vec<u8>, i64)| {
            let id = DecisionId { stream: StreamId::from_column(&stream)?, seq: u64::try_from(seq).ok()? };
            Some(Erasable { day, id })
        };
        Ok(rows.into_iter().filter_map(place).collect())
    }

    async fn erase(&self, act: &SealedAct, decisions: &[Erasable]) -> Result<(), LogError> {
        check_names(act, decisions)?;
        let seqs: Option<Vec<i64>> = decisions.iter().map(|it| i64::try_from(it.id.seq).ok()).collect();
        let seqs = seqs.ok_or_else(|| LogError::Refused("a place is out of range".to_owned()))?;
        let erased = sqlx::query(ERASE)
            .bind(act.record.id.0.as_slice())
            .bind(act.leaf.as_bytes().as_slice())
            .bind(act.bytes.as_slice())
            .bind(decisions.iter().map(|it| column(it.day)).collect::<Vec<_>>())
            .bind(decisions.iter().map(|it| it.id.stream.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(seqs);
        change!(self, Purpose::Change, erased)
    }

    /// The server's own business: its vacuum reuses what rows had, its log and its copies keep it as long as they are kept.
    async fn clean(&self) -> Result<(), LogError> {
        Ok(())
    }
}
