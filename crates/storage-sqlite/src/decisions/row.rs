//! A stored decision, and what its row must say for it to be believed.

use magistrate_ledger::{DecisionId, IndexColumns, InvalidRecord, RecordedDecision, StreamId};
use magistrate_pdp::HistoryError;

/// The columns of `decision`, in the order of the statements.
pub(crate) type Row =
    (i64, Vec<u8>, i64, Vec<u8>, i64, String, String, String, String, String, String, Option<String>, Vec<u8>);

/// Decodes the record of a row and compares every column with what the record says.
pub(crate) fn decode(row: &Row) -> Result<RecordedDecision, HistoryError> {
    let (day, stream, seq, leaf, recorded_at, class, principal, action, resource, decision, cause, request_id, body) =
        row;
    let id = place(stream, *seq);
    let decoded = RecordedDecision::decode(id, body).map_err(|why: InvalidRecord| HistoryError::damaged(id, &why))?;
    let said = IndexColumns::of(&decoded.record);
    let columns = [
        ("stream", stream == id.stream.as_bytes()),
        ("day", *day == decoded.recorded_at.day()),
        ("recorded_at", *recorded_at == decoded.recorded_at.micros()),
        ("leaf", leaf == decoded.leaf.as_bytes()),
        ("class", class == decoded.class.name()),
        ("principal", *principal == said.principal),
        ("action", *action == said.action),
        ("resource", *resource == said.resource),
        ("decision", decision == said.decision),
        ("cause", cause == said.cause),
        ("request_id", *request_id == said.request_id),
    ];
    match columns.iter().find(|(_, agrees)| !agrees) {
        None => Ok(decoded),
        Some((column, _)) => {
            Err(HistoryError::Damaged { id, why: format!("the column `{column}` does not say what the record says") })
        }
    }
}

/// The place a row claims; one that cannot be a place becomes another one, which the record then denies.
fn place(stream: &[u8], seq: i64) -> DecisionId {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(stream).for_each(|(to, from)| *to = *from);
    DecisionId { stream: StreamId::new(bytes), seq: u64::try_from(seq).unwrap_or(0) }
}
