//! A question as it goes over the wire, and how its answer is judged.

use std::hash::Hasher as _;

use bytes::Bytes;
use prost::Message;
use serde_json::Value as Json;

/// A question, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The message, framed as the protocol has it.
    pub(crate) body: Bytes,
    /// For each decision that is asked for whether it must be an allow.
    pub(crate) expected: Vec<bool>,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Told {
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// Decisions that are other than they must be.
    pub(crate) wrong: u64,
    /// The ids of the decisions, folded: see [`fold`].
    pub(crate) folded: u64,
}

/// Whose answers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Of Magistrate's Check.
    Check,
    /// Of Magistrate's `CheckBatch`.
    Batch,
    /// Of the echo, which decides nothing.
    Echo,
    /// Of Cerbos's `CheckResources`.
    Cerbos,
    /// JSON with an allow at this place, or a text that says so.
    Json { pointer: &'static str, allow: &'static str },
}

impl Judge {
    /// What an answer says, or `None` if it cannot be read or answers another number of questions.
    pub(crate) fn judge(self, answer: &Bytes, expected: &[bool]) -> Option<Told> {
        let mut told = Told::default();
        match self {
            Self::Echo => drop(Decided::decode(answer.clone()).ok()?),
            Self::Check => told.count(&Decided::decode(answer.clone()).ok()?, *expected.first()?),
            Self::Batch => {
                let batch = DecidedBatch::decode(answer.clone()).ok()?;
                if batch.results.len() != expected.len() {
                    return None;
                }
                for (item, expected) in batch.results.iter().zip(expected) {
                    told.count(item.response.as_ref()?, *expected);
                }
            }
            Self::Cerbos => {
                let answer = Resources::decode(answer.clone()).ok()?;
                let effect = answer.results.first()?.actions.values().next()?;
                told.add(*effect == EFFECT_ALLOW, *expected.first()?);
            }
            Self::Json { pointer, allow } => {
                let json: Json = serde_json::from_slice(answer).ok()?;
                let allowed = match json.pointer(pointer)? {
                    Json::Bool(allowed) => *allowed,
                    Json::String(text) => text == allow,
                    Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => return None,
                };
                told.add(allowed, *expected.first()?);
            }
        }
        Some(told)
    }
}

impl Told {
    fn count(&mut self, decided: &Decided, expected: bool) {
        self.add(decided.decision == DECISION_ALLOW, expected);
        self.folded = self.folded.wrapping_add(fold(&decided.decision_id));
    }

    fn add(&mut self, allowed: bool, expected: bool) {
        *(if allowed { &mut self.allowed } else { &mut self.denied }) += 1;
        self.wrong += u64::from(allowed != expected);
    }
}

/// A number for an id of a decision: the sums over two lists are equal, as good as surely, only if the lists hold the
/// same ids equally often.
pub(crate) fn fold(id: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(id);
    hasher.finish()
}

const DECISION_ALLOW: i32 = 1;
const EFFECT_ALLOW: i32 = 1;

/// What is read of a `CheckResponse`: reading no more keeps the tool faster than what it measures.
#[derive(Clone, PartialEq, Message)]
struct Decided {
    #[prost(int32, tag = "1")]
    decision: i32,
    #[prost(bytes = "bytes", tag = "3")]
    decision_id: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct DecidedBatch {
    #[prost(message, repeated, tag = "1")]
    results: Vec<DecidedItem>,
}

#[derive(Clone, PartialEq, Message)]
struct DecidedItem {
    #[prost(message, optional, tag = "1")]
    response: Option<Decided>,
}

/// What is read of Cerbos's `CheckResourcesResponse`.
#[derive(Clone, PartialEq, Message)]
struct Resources {
    #[prost(message, repeated, tag = "2")]
    results: Vec<ResourceResult>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceResult {
    #[prost(btree_map = "string, int32", tag = "2")]
    actions: std::collections::BTreeMap<String, i32>,
}

#[cfg(test)]
mod tests {
    use magistrate_proto::v1::batch_result::Outcome;
    use magistrate_proto::v1::{BatchResult, CheckBatchResponse, CheckResponse, ItemError};

    use super::*;

    fn response(decision: i32, id: &str) -> CheckResponse {
        CheckResponse { decision, decision_id: id.into(), revision: 7, ..CheckResponse::default() }
    }

    fn encoded(message: &impl Message) -> Bytes {
        message.encode_to_vec().into()
    }

    #[test]
    fn answers_of_checks_are_judged() {
        let allow = encoded(&response(1, "a-1"));
        let told = Judge::Check.judge(&allow, &[true]).unwrap();
        assert_eq!(told, Told { allowed: 1, denied: 0, wrong: 0, folded: fold(b"a-1") });
        assert_eq!(Judge::Check.judge(&allow, &[false]).unwrap().wrong, 1, "an allow where a deny is right");
        for no in [0, 2, 7] {
            let told = Judge::Check.judge(&encoded(&response(no, "")), &[true]).unwrap();
            assert_eq!((told.denied, told.wrong), (1, 1), "anything but an allow is a no");
        }
        assert_eq!(Judge::Check.judge(&Bytes::from_static(b"\xff"), &[true]), None);
    }

    #[test]
    fn every_item_of_a_batch_is_judged() {
        let item = |decision, id| BatchResult { outcome: Some(Outcome::Response(response(decision, id))) };
        let batch = |results| encoded(&CheckBatchResponse { results, ..CheckBatchResponse::default() });
        let told = Judge::Batch.judge(&batch(vec![item(1, "a"), item(2, "b")]), &[true, true]).unwrap();
        assert_eq!((told.allowed, told.denied, told.wrong), (1, 1, 1));
        assert_eq!(told.folded, fold(b"a").wrapping_add(fold(b"b")));
        assert_eq!(Judge::Batch.judge(&batch(vec![item(1, "a")]), &[true, true]), None, "one is missing");
        let error = BatchResult { outcome: Some(Outcome::Error(ItemError::default())) };
        assert_eq!(Judge::Batch.judge(&batch(vec![error]), &[true]), None, "one is no decision");
    }

    #[test]
    fn answers_in_json_are_judged() {
        let judge = Judge::Json { pointer: "/decision", allow: "Allow" };
        let answer = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(judge.judge(&answer(r#"{"decision":"Allow"}"#), &[true]).unwrap().wrong, 0);
        assert_eq!(judge.judge(&answer(r#"{"decision":"Deny"}"#), &[true]).unwrap().wrong, 1);
        assert_eq!(judge.judge(&answer(r#"{"decision":true}"#), &[true]).unwrap().wrong, 0);
        assert_eq!(judge.judge(&answer(r#"{"result":true}"#), &[true]), None);
    }
}
