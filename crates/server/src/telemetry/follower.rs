//! How following the policy store goes.

use magistrate_pdp::{FollowError, Polled};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// Counts polls by their outcome.
#[derive(Debug, Clone)]
pub(crate) struct Polls(Counter<u64>);

impl Polls {
    pub(super) fn new(meter: &Meter) -> Self {
        let polls = meter.u64_counter("magistrate.follower.polls").with_description("Polls of the policy store");
        Self(polls.build())
    }

    pub(crate) fn count(&self, outcome: &Result<Polled, FollowError>) {
        let outcome = match outcome {
            Ok(Polled::Unchanged(_)) => "unchanged",
            Ok(Polled::Advanced(_)) => "advanced",
            Ok(Polled::Empty) => "empty",
            Err(FollowError::Load(_)) => "unreadable",
            Err(FollowError::Rewritten { .. }) => "rewritten",
            Err(FollowError::Skewed { .. }) => "skewed",
            Err(FollowError::Unusable { .. } | FollowError::TooLarge) => "unusable",
        };
        self.0.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
