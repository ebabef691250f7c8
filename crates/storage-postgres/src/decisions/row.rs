//! A stored decision, as the driver gives it.

use magistrate_ledger::{RecordedDecision, StoredDecision};
use magistrate_pdp::HistoryError;

/// The columns of `decision`, in the order of the statements, and its private values.
pub(crate) type Row = (
    i64,
    Vec<u8>,
    i64,
    Vec<u8>,
    i64,
    String,
    String,
    String,
    String,
    String,
    String,
    Option<String>,
    Vec<u8>,
    Option<Vec<u8>>,
);

/// Decodes the record of a row, if the row says what the record says.
pub(crate) fn decode(row: Row) -> Result<RecordedDecision, HistoryError> {
    Ok(stored(row).decode()?)
}

/// The row as it is, whatever it says.
pub(crate) fn stored(row: Row) -> StoredDecision {
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
        body,
        opening,
    ) = row;
    StoredDecision {
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
        body,
        opening,
    }
}
