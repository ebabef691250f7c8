//! Who reads history is recorded before they are told anything.

use magistrate_ledger::{Act, ActId, ActRecord};
use magistrate_model::{Actor, Instant};

use super::HistoryError;
use crate::log::Sequencing;

/// Bytes of a question that are recorded: what an act holds.
const LONGEST: usize = 4_096;

/// Somebody reads history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub actor: Actor,
    /// How: the verb, or the method that was called.
    pub verb: &'static str,
    /// What is asked for, in one line.
    pub query: String,
    /// How many records are told, as far as that is known before.
    pub records: u64,
}

/// Records that somebody reads. What cannot be recorded is not told: an error here ends the reading.
pub async fn record_access<S: Sequencing>(
    store: &S,
    access: Access,
    id: [u8; 16],
    at: Instant,
) -> Result<(), HistoryError> {
    let Access { actor, verb, query, records } = access;
    let query = query.get(..query.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned();
    let act = Act::Access { verb: verb.to_owned(), query, records };
    let unrecorded = |why: &dyn std::fmt::Display| {
        HistoryError::Unreachable(format!("that it is read cannot be recorded, so nothing is told: {why}"))
    };
    let sealed = ActRecord { id: ActId(id), at, actor, act }.seal().map_err(|why| unrecorded(&why))?;
    store.record_act(&sealed).await.map_err(|why| unrecorded(&why))
}
