//! The steps of a Check that benchmarks take apart; doors take them themselves.

use magistrate_model::{Caller, Channel, Query};
use magistrate_proto::v1::CheckRequest;
use prost::Message as _;

use crate::query::{Asking, query};

/// The message of its bytes; nothing where they are none.
pub fn decode(bytes: &[u8]) -> Option<CheckRequest> {
    CheckRequest::decode(bytes).ok()
}

/// What a caller on the same machine asks with a message; nothing where that would be refused.
pub fn parse(wire: &CheckRequest) -> Option<Query> {
    let caller = Caller { address: Some([127, 0, 0, 1].into()), channel: Channel::Grpc, key: None, trace: None };
    query(wire, &Asking { caller, default_namespace: "" }).ok()
}
