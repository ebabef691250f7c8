//! Asking: as fast as answers come, or as fast as was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use hdrhistogram::Histogram;
use magistrate_client::v1::Decision;
use magistrate_client::v1::batch_result::Outcome;
use magistrate_client::{Client, ClientError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figures::Figures;
use crate::questions::{self, Known};
use crate::target::Target;

const DEADLINE: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) requests: u64,
    pub(crate) within: Duration,
    pub(crate) warm_up: u64,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) rate: Option<u32>,
    pub(crate) deny_share: f64,
    pub(crate) batch: usize,
    pub(crate) seed: u64,
}

/// What one lane of questions came to.
#[derive(Debug)]
struct Lane {
    /// Microseconds from when a question was meant to be sent.
    latency: Histogram<u64>,
    answered: u64,
    refused: u64,
}

/// Loads a target and measures it.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<Figures> {
    let known = Arc::new(questions::questions(plan.seed, plan.deny_share));
    let mut clients = Vec::new();
    for _ in 0..plan.connections {
        clients.push(Client::connect(target.url()).await?);
    }
    let warm = Plan { requests: plan.warm_up, rate: None, ..*plan };
    if plan.warm_up > 0 {
        load(&clients, &known, &warm, target.answers()).await.context("while warming up")?;
    }
    let before = target.usage();
    let begun = Instant::now();
    let lanes = load(&clients, &known, plan, target.answers()).await?;
    let took = begun.elapsed();
    let usage = target.usage().and_then(|after| Some(after.since(before?)));
    let mut latency = Histogram::new(3)?;
    let (mut answered, mut refused) = (0, 0);
    for lane in lanes {
        latency.add(lane.latency)?;
        answered += lane.answered;
        refused += lane.refused;
    }
    let decisions = answered * u64::try_from(plan.batch)?;
    Ok(Figures { answered, refused, decisions, took, latency, usage })
}

async fn load(clients: &[Client], known: &Arc<Vec<Known>>, plan: &Plan, checked: bool) -> anyhow::Result<Vec<Lane>> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    for client in clients {
        for _ in 0..plan.streams {
            lanes.spawn(lane(client.clone(), Arc::clone(known), *plan, Arc::clone(&next), begun, checked));
        }
    }
    let mut all = Vec::new();
    while let Some(ended) = lanes.join_next().await {
        all.push(ended.map_err(|error| anyhow!(error))??);
    }
    Ok(all)
}

async fn lane(
    client: Client,
    known: Arc<Vec<Known>>,
    plan: Plan,
    next: Arc<AtomicU64>,
    begun: Instant,
    checked: bool,
) -> anyhow::Result<Lane> {
    let mut lane = Lane { latency: Histogram::new(3)?, answered: 0, refused: 0 };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.requests || begun.elapsed() > plan.within {
            return Ok(lane);
        }
        let meant = match plan.rate {
            Some(rate) => begun + meant_after(number, rate),
            None => Instant::now(),
        };
        tokio::time::sleep_until(meant).await;
        let position = usize::try_from(number)? % known.len().max(1);
        let Some(Known { question, answer }) = known.get(position) else { bail!("there are no questions") };
        let decided = match plan.batch {
            1 => client.check(question.clone(), DEADLINE).await.map(|told| vec![told.decision()]),
            size => batch(&client, question, size).await,
        };
        match decided {
            Ok(decisions) => {
                if let Some(wrong) = decisions.iter().find(|decision| checked && *decision != answer) {
                    bail!("question {number} was answered {wrong:?}, and {answer:?} is right");
                }
                lane.answered += 1;
                lane.latency.record(u64::try_from(meant.elapsed().as_micros())?)?;
            }
            // What is overloaded or away may refuse; any other refusal is a wrong answer.
            Err(error) if error.is_worth_a_retry() => lane.refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn batch(
    client: &Client,
    question: &magistrate_client::v1::CheckRequest,
    size: usize,
) -> Result<Vec<Decision>, ClientError> {
    let answer = client.check_batch(questions::batch(question, size), DEADLINE).await?;
    let decision = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Response(response)) => response.decision(),
        Some(Outcome::Error(_)) | None => Decision::Unspecified,
    };
    Ok(answer.results.into_iter().map(|result| decision(result.outcome)).collect())
}

/// When a question of an open loop is meant to be sent.
fn meant_after(number: u64, rate: u32) -> Duration {
    Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_an_open_loop_are_meant_at_even_distances() {
        assert_eq!(meant_after(0, 1_000), Duration::ZERO);
        assert_eq!(meant_after(1, 1_000), Duration::from_millis(1));
        assert_eq!(meant_after(5_000, 1_000), Duration::from_secs(5));
        assert_eq!(meant_after(3, 3), Duration::from_secs(1));
    }
}
