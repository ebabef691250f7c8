//! The mapping of every field, each refusal beside a neighbour that passes, and the door as a whole.

mod batch;
mod query;
mod random;
mod refusing;
mod served;
mod service;
mod status;
mod value;

use std::net::IpAddr;

use magistrate_client::{check_request, entity_ref};
use magistrate_model::{Caller, Channel, Malformed};
use magistrate_pdp::CheckError;
use magistrate_proto::v1::CheckRequest;

use crate::query::Asking;
use crate::status::Refusal;

fn asking(address: [u8; 4]) -> Asking<'static> {
    Asking {
        caller: Caller { address: Some(IpAddr::from(address)), channel: Channel::Grpc, key: None, trace: None },
        default_namespace: "Company",
    }
}

/// A caller on this machine, which may assert.
fn near() -> Asking<'static> {
    asking([127, 0, 0, 1])
}

/// A caller elsewhere, which may not.
fn far() -> Asking<'static> {
    asking([192, 0, 2, 1])
}

/// A request that passes.
fn plain() -> CheckRequest {
    check_request(entity_ref("Company::User", "ana"), "readMessage", entity_ref("Company::Message", "m1"))
}

/// What is wrong, one line a finding.
fn lines(malformed: &Malformed) -> Vec<String> {
    let violations = malformed.violations().iter();
    violations.map(|it| format!("{}: {}", it.field, it.description)).collect()
}

/// What is wrong with a request, one line a finding; nothing if it passes.
fn complaints<T>(outcome: Result<T, Refusal>) -> Vec<String> {
    match outcome {
        Ok(_) => Vec::new(),
        Err(Refusal::Check(CheckError::Malformed(malformed))) => lines(&malformed),
        Err(other) => vec![format!("{other:?}")],
    }
}
