//! What a Check costs from the bytes of its message to the verdict, by the number of policies:
//! `cargo bench -p magistrate-grpc --bench verdict`.
//!
//! Six attributes in the context, an address and a time among them; a role held on a folder above what is asked about;
//! without connection, record and answer; the product's allocator. Wall time of one thread, median of the rounds, in
//! microseconds; compare within a run.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, reason = "what it is given is its own")]

use std::hint::black_box;
use std::time::Instant;

use magistrate_grpc::measured::{decode, parse};
use magistrate_model::Span;

#[path = "../tests/it/asked.rs"]
mod asked;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const TIMES: u32 = 20_000;

fn main() {
    println!("{:>9} {:>10} {:>10} {:>10} {:>14}", "policies", "decode us", "parse us", "answer us", "to verdict us");
    let bytes = asked::bytes();
    for policies in [10, 1_000, 10_000] {
        let (view, now) = asked::state(policies);
        let Some(wire) = decode(&bytes) else { return println!("the message is none") };
        let Some(query) = parse(&wire) else { return println!("the message is refused") };
        let decoding = median(|| decode(&bytes).is_some());
        let parsing = median(|| parse(&wire).is_some());
        let answering = median(|| view.answer(black_box(query.clone()), now, Span::ZERO).is_ok());
        let whole = median(|| {
            let query = decode(black_box(&bytes)).and_then(|wire| parse(&wire));
            query.is_some_and(|query| view.answer(query, now, Span::ZERO).is_ok())
        });
        println!("{policies:>9} {decoding:>10.2} {parsing:>10.2} {answering:>10.2} {whole:>14.2}");
    }
}

/// Microseconds each.
fn median(step: impl Fn() -> bool) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&step)).collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn round(step: &impl Fn() -> bool) -> f64 {
    let begun = Instant::now();
    let done = (0..TIMES).filter(|_| black_box(step())).count();
    assert_eq!(done, TIMES as usize);
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
}
