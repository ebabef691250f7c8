//! The real program on real PostgreSQL: nodes, administrators and auditors on one database, in good days and bad.

use std::time::Duration;

use magistrate_client::v1::{CheckRequest, CheckResponse};
use magistrate_client::{Client, is_allowed};
use magistrate_tests::{Running, request};

mod administration;
mod chaos;
mod failover;
mod first_run;
mod network;
mod outages;
mod propagation;
mod restoring;
mod secrets;
mod terms;

/// Longer than any step of a test takes on a loaded machine; only failures wait so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether what takes minutes is tested as well: `LONG_TESTS=1`.
fn is_long() -> bool {
    std::env::var_os("LONG_TESTS").is_some()
}

/// What the example allows.
fn reads_own_message() -> CheckRequest {
    request(("User", "ana"), "readMessage", ("Message", "m-1001"))
}

/// What the example denies, until somebody grants it.
fn edits_document(revision: u64) -> CheckRequest {
    CheckRequest { at_least_revision: revision, ..request(("User", "ana"), "editDocument", ("Document", "welcome")) }
}

/// Whether a request is allowed. A refusal ends the test.
async fn allowed(client: &Client, request: CheckRequest) -> bool {
    is_allowed(&answer(client, request).await)
}

/// The answer to a request. A node waits half a second for a revision, which a busy machine may need longer for:
/// then it says so, and is asked again.
async fn answer(client: &Client, request: CheckRequest) -> CheckResponse {
    let asking = async {
        loop {
            match client.check(request.clone(), PATIENCE).await {
                Err(error) if error.to_string().contains("is not served here yet") => {}
                answer => return answer.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// Why a request is refused. An answer ends the test.
async fn refusal(client: &Client, request: CheckRequest) -> String {
    match client.check(request, PATIENCE).await {
        Err(error) => error.to_string(),
        Ok(answer) => panic!("it was answered: {answer:?}"),
    }
}

/// Asks until the answer, or the refusal, is as expected.
async fn until(client: &Client, request: CheckRequest, expected: impl Fn(&Result<bool, String>) -> bool) {
    let mut last = None;
    let asking = async {
        loop {
            let answer = client.check(request.clone(), PATIENCE).await;
            let answer = answer.map(|answer| is_allowed(&answer)).map_err(|error| error.to_string());
            if expected(&answer) {
                return;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, asking).await;
    assert!(reached.is_ok(), "it never came to that; the last answer: {last:?}");
}

/// Waits for something that is looked for again and again.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut patience = PATIENCE;
    let pause = Duration::from_millis(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        patience = patience.checked_sub(pause).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"));
        std::thread::sleep(pause);
    }
}

/// A node that says it is ready.
fn ready(mut node: Running) -> Running {
    node.wait_for("\"ready\"");
    node
}
