//! Several nodes of one decision point.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::v1::{CheckRequest, CheckResponse};
use crate::{Client, ClientError};

/// The pause after every node was unavailable; it doubles each time.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Clients of several nodes: asks one after the other, and the next one where one is unavailable. Any node answers
/// alike, so a node that is stopped or restarted costs its callers a retry and no answer.
#[derive(Debug)]
pub struct Nodes {
    clients: Vec<Client>,
    next: AtomicUsize,
}

impl Nodes {
    /// All of these; with none, every question is refused as unreachable.
    pub fn new(clients: Vec<Client>) -> Self {
        Self { clients, next: AtomicUsize::new(0) }
    }

    /// Asks for one decision until a node answers, the deadline passes, or asking again would be no use.
    ///
    /// A question whose answer was lost on the way is asked again and recorded again: each is a decision of its own.
    pub async fn check(&self, request: CheckRequest, deadline: Duration) -> Result<CheckResponse, ClientError> {
        let until = Instant::now() + deadline;
        let mut pause = PAUSE;
        let mut last = ClientError::Unreachable { endpoint: "any node".to_owned(), why: "no node is known".to_owned() };
        loop {
            for _ in 0..self.clients.len() {
                let left = until.saturating_duration_since(Instant::now());
                let Some(client) = self.pick().filter(|_| !left.is_zero()) else {
                    return Err(last);
                };
                match client.check(request.clone(), left).await {
                    Err(error) if error.is_worth_a_retry() => last = error,
                    ended => return ended,
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left <= pause || self.clients.is_empty() {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn pick(&self) -> Option<&Client> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients.get(next.checked_rem(self.clients.len())?)
    }
}
