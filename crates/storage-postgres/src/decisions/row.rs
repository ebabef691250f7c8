//! A stored decision, as the driver gives it.

use std::collections::BTreeMap;

use magistrate_ledger::{RecordedDecision, StoredDecision};
use magistrate_pdp::HistoryError;

use super::statements::DICTIONARIES;
use super::{coding, letters};
use crate::connect::Session;
use crate::fault::Fault;

/// The columns of `decision`, in the order of the statements, and its private values.
pub(crate) type Row =
    (i64, Vec<u8>, i64, Vec<u8>, i64, i8, String, String, String, i8, i8, String, i32, Vec<u8>, Option<Vec<u8>>);

/// Decodes the record of a row, if the row says what the record says.
pub(crate) fn decode(stored: &StoredDecision) -> Result<RecordedDecision, HistoryError> {
    Ok(stored.decode()?)
}

/// The rows as they are, whatever they say, with bodies as they were before they were coded. Where a dictionary is missing, or
/// a body was not coded by it, the body stays what it is: no record.
pub(crate) async fn stored(session: &mut Session, rows: Vec<Row>) -> Result<Vec<StoredDecision>, Fault> {
    let mut ids: Vec<i32> = rows.iter().map(|row| row.12).filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let dictionaries = match ids.is_empty() {
        true => Vec::new(),
        false => sqlx::query_as::<_, (i32, Vec<u8>)>(DICTIONARIES)
            .bind(ids)
            .persistent(session.prepares)
            .fetch_all(&mut session.connection)
            .await
            .map_err(|error| Fault::of(&error))?,
    };
    let dictionaries = dictionaries.into_iter().collect();
    Ok(rows.into_iter().map(|row| decision(row, &dictionaries)).collect())
}

fn decision(row: Row, dictionaries: &BTreeMap<i32, Vec<u8>>) -> StoredDecision {
    let (
        day,
        stream,
        seq,
        leaf,
        recorded_at,
        class,
        principal,
        action,
        resource,
        decision,
        cause,
        request_id,
        dictionary,
        body,
        opening,
    ) = row;
    let plain = dictionaries.get(&dictionary).and_then(|bytes| coding::decode(bytes, &body).ok());
    StoredDecision {
        day,
        stream,
        seq,
        leaf,
        recorded_at,
        class: letters::class(class),
        principal,
        action,
        resource,
        decision: letters::decision(decision),
        cause: letters::cause(cause),
        request_id: Some(request_id).filter(|id| !id.is_empty()),
        body: plain.unwrap_or(body),
        opening,
    }
}
