//! Questions whose answers are known.

use magistrate_client::v1::{BatchItem, CheckBatchRequest, CheckRequest, Decision};
use magistrate_client::{check_request, entity_ref};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// A question and what must be answered.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) question: CheckRequest,
    pub(crate) answer: Decision,
}

/// Questions to the example in a fixed order, the given share of them denied.
pub(crate) fn questions(seed: u64, deny_share: f64) -> Vec<Known> {
    const ORDER: usize = 1_024;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let message = || entity_ref("Company::Message", "m-1001");
    let ask = |principal, answer| Known {
        question: check_request(principal, "Company::Action::\"readMessage\"", message()),
        answer,
    };
    let known = |deny| match deny {
        false => ask(entity_ref("Company::User", "ana"), Decision::Allow),
        true => ask(entity_ref("Company::Service", "payments"), Decision::Deny),
    };
    (0..ORDER).map(|_| known(random.random_bool(deny_share))).collect()
}

/// A batch of one question, asked so many times.
pub(crate) fn batch(question: &CheckRequest, size: usize) -> CheckBatchRequest {
    let item = BatchItem {
        principal: question.principal.clone(),
        action: question.action.clone(),
        resource: question.resource.clone(),
        ..BatchItem::default()
    };
    CheckBatchRequest { items: vec![item; size], ..CheckBatchRequest::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_the_seed_and_the_share() {
        let denied = |seed, share| {
            let questions = questions(seed, share);
            questions.iter().map(|it| it.answer == Decision::Deny).collect::<Vec<_>>()
        };
        assert_eq!(denied(1, 0.25), denied(1, 0.25));
        assert_ne!(denied(1, 0.25), denied(2, 0.25));
        assert!(denied(1, 0.0).iter().all(|it| !it) && denied(1, 1.0).iter().all(|it| *it));
        let quarter = denied(1, 0.25).into_iter().filter(|it| *it).count();
        assert!((150..360).contains(&quarter), "{quarter}");
    }
}
