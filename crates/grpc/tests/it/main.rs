//! What a Check allocates, step by step. The process counts every allocation, so these tests are a program of their own.
#![expect(clippy::unwrap_used, reason = "tests")]

mod asked;

use allocation_counter::{AllocationInfo, measure};
use magistrate_grpc::measured::{decode, parse};
use magistrate_model::{Cause, Span};

/// The steps of one Check from its bytes to the verdict, each with what it may allocate at most.
const STEPS: [(&str, u64); 3] = [("decode", 30), ("parse", 19), ("answer", 33)];

fn counted<T>(step: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut outcome = None;
    let info = measure(|| outcome = Some(step()));
    (outcome.unwrap(), info)
}

/// However many policies there are, an answer allocates the same, once what it is about is kept.
#[test]
fn check_allocates_no_more_than_it_did() {
    for policies in [10, 1_000] {
        let (view, now) = asked::state(policies);
        let bytes = asked::bytes();
        let ask = || {
            let (wire, decoding) = counted(|| decode(&bytes).unwrap());
            let (query, parsing) = counted(|| parse(&wire).unwrap());
            let (answer, answering) = counted(|| view.answer(query, now, Span::ZERO).unwrap());
            assert_eq!(answer.1.cause, Cause::Permitted);
            [decoding, parsing, answering]
        };
        // The least of some: caches tidy up now and then, by the clock.
        let asked: Vec<_> = (0..10).map(|_| ask()).collect();
        let least = |step: usize| asked.iter().map(|counts| counts[step]).min_by_key(|info| info.count_total).unwrap();
        let counts = [least(0), least(1), least(2)];
        for ((step, most), info) in STEPS.iter().zip(counts) {
            let told =
                format!("{policies} policies, {step}: {} allocations, {} bytes", info.count_total, info.bytes_total);
            assert!(info.count_total <= *most, "{told}; at most {most}");
        }
    }
}
