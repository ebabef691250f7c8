//! A decision as a store keeps it, and what its row must say for it to be believed.

use crate::record::{IndexColumns, RecordedDecision};
use crate::stream::{DecisionId, StreamId};

/// The columns of a stored decision. `body` is the record; all others are derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// UTC day of the instant, counted from 1970-01-01.
    pub day: i64,
    /// The stream: 16 bytes.
    pub stream: Vec<u8>,
    /// The place in the stream.
    pub seq: i64,
    /// The leaf: 32 bytes.
    pub leaf: Vec<u8>,
    /// When it was decided, in microseconds.
    pub recorded_at: i64,
    /// The durability class.
    pub class: String,
    /// The principal, in Cedar's notation.
    pub principal: String,
    /// The action, in Cedar's notation.
    pub action: String,
    /// The resource, in Cedar's notation.
    pub resource: String,
    /// `allow` or `deny`.
    pub decision: String,
    /// The cause's name.
    pub cause: String,
    /// The caller's own id for the request.
    pub request_id: Option<String>,
    /// The record.
    pub body: Vec<u8>,
}

/// A stored decision whose bytes do not say what its row says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of decision {id} is damaged: {why}")]
pub struct DamagedDecision {
    /// Which record.
    pub id: DecisionId,
    /// What is wrong with it.
    pub why: String,
}

impl StoredDecision {
    /// Decodes the record and compares every column with what the record says.
    pub fn decode(&self) -> Result<RecordedDecision, DamagedDecision> {
        let id = self.place();
        let damaged = |why: String| DamagedDecision { id, why };
        let decoded = RecordedDecision::decode(id, &self.body).map_err(|why| damaged(why.to_string()))?;
        let said = IndexColumns::of(&decoded.record);
        let columns = [
            ("stream", self.stream == id.stream.as_bytes()),
            ("day", self.day == decoded.recorded_at.day()),
            ("recorded_at", self.recorded_at == decoded.recorded_at.micros()),
            ("leaf", self.leaf == decoded.leaf.as_bytes()),
            ("class", self.class == decoded.class.name()),
            ("principal", self.principal == said.principal),
            ("action", self.action == said.action),
            ("resource", self.resource == said.resource),
            ("decision", self.decision == said.decision),
            ("cause", self.cause == said.cause),
            ("request_id", self.request_id == said.request_id),
        ];
        match columns.iter().find(|(_, agrees)| !agrees) {
            None => Ok(decoded),
            Some((column, _)) => Err(damaged(format!("the column `{column}` does not say what the record says"))),
        }
    }

    /// The place a row claims; one that cannot be a place becomes another one, which the record then denies.
    fn place(&self) -> DecisionId {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(&self.stream).for_each(|(to, from)| *to = *from);
        DecisionId { stream: StreamId::new(bytes), seq: u64::try_from(self.seq).unwrap_or(0) }
    }
}
