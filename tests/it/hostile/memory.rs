//! What peers make the process keep: requests that dribble, and answers that nobody takes.

use std::time::Duration;

use magistrate_client::v1::{BatchItem, CheckBatchRequest};
use magistrate_client::{ClientError, Refusal};
use magistrate_tests::Running;
use magistrate_tests::http2::{CHECK_BATCH, Raw, Taken, announced, empty_items};
use tonic::Code;

use super::{Attacked, PATIENCE, until};

/// The batch of `empty_items`, from an honest caller.
async fn batch(node: &Running) -> Result<usize, Refusal> {
    let batch = CheckBatchRequest { items: vec![BatchItem::default(); 1_000], ..CheckBatchRequest::default() };
    match node.client().await.check_batch(batch, PATIENCE).await {
        Ok(answer) => Ok(answer.results.len()),
        Err(ClientError::Refused(refusal)) => Err(*refusal),
        Err(other) => panic!("{other}"),
    }
}

/// Batches that come almost, forty at a time: what they are let in with is bounded, and a Check is none of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_dribble_take_bounded_room() {
    let attacked = Attacked::start("[limits]\nkept_mib = 8\ndeadline_seconds = 50").await;
    let mut raw = Raw::hello(attacked.address());
    let almost = announced(4_000_000, &vec![b'\n'; 3_900_000]);
    for n in 0..40 {
        raw.call(2 * n + 1, CHECK_BATCH, &[]);
        let _refused = raw.body(2 * n + 1, &almost);
    }
    assert!(attacked.refused("OVERLOADED") > 30, "156 MB came for 8");
    attacked.holds().await;
    drop(raw);
    until("all is given back", || batch_of_a_mib_is_taken(attacked.address()));
}

/// Whether a large batch is answered; that it is no question does not matter.
fn batch_of_a_mib_is_taken(address: &str) -> bool {
    let mut raw = Raw::hello(address);
    raw.call(1, CHECK_BATCH, &[]);
    raw.body(1, &announced(4_000_000, &vec![b'\n'; 3_900_000])) && raw.body(1, &vec![0; 50_000])
}

/// Who asks and leaves the answers where they are is cut off after `stall_seconds`, whether it takes nothing of them
/// by the rules of HTTP/2 or does not read its socket at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_taken_end_the_connection() {
    let attacked = Attacked::start("[limits]\nstall_seconds = 1").await;
    for (count, hello) in [(100, Raw::windowless as fn(&str) -> Raw), (3, Raw::windowless), (120, Raw::greedy)] {
        let before = attacked.ended("stalled");
        let mut raw = hello(attacked.address());
        (0..count).for_each(|n| _ = raw.ask(2 * n + 1, CHECK_BATCH, &empty_items()));
        until("it is cut off", || attacked.ended("stalled") > before);
        attacked.holds().await;
    }
}

/// Small answers too: one that waits does not hide behind others that are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_answer_that_is_not_taken_ends_the_connection() {
    let attacked = Attacked::start("[limits]\nstall_seconds = 1").await;
    let mut raw = Raw::windowless(attacked.address());
    raw.ask(1, magistrate_tests::http2::CHECK, &magistrate_tests::http2::question());
    until("it is cut off", || attacked.ended("stalled") == 1);
    assert_eq!(raw.ended(), Taken::Closed);
}

/// Answers that nobody takes leave room for small ones; large ones are refused until there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_kept_are_bounded() {
    let attacked = Attacked::start("[limits]\nkept_mib = 2\nstall_seconds = 60").await;
    assert_eq!(batch(&attacked.node).await, Ok(1_000));
    let mut raw = Raw::windowless(attacked.address());
    (0..20).for_each(|n| _ = raw.ask(2 * n + 1, CHECK_BATCH, &empty_items()));
    until("answers are withheld", || attacked.metric("magistrate_answers_withheld_total ") > 0);
    let refusal = batch(&attacked.node).await.unwrap_err();
    assert_eq!((refusal.code, refusal.reason.as_deref()), (Code::ResourceExhausted, Some("OVERLOADED")), "{refusal}");
    assert!(refusal.retry_after > Some(Duration::ZERO));
    attacked.holds().await;
    drop(raw);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while batch(&attacked.node).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the room is never given back");
    }
}
