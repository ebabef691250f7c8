//! A sink whose shipments are measured.

use std::time::Instant;

use magistrate_ledger::{CommitFailed, SealedHeader, SealedRecord, SignedCheckpoint, Sink, StreamId};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::feed::Feed;
use super::{RECORDS, SECONDS};

/// Measures how long shipments take and how many records they hold.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    sink: S,
    feed: Feed,
    duration: Histogram<f64>,
    size: Histogram<u64>,
}

impl<S> Timed<S> {
    pub(super) fn new(sink: S, meter: &Meter, feed: Feed) -> Self {
        let duration = meter.f64_histogram("magistrate.ledger.ship.duration").with_unit("s");
        let duration = duration.with_description("Time until a shipment was in the store, or had failed");
        let size = meter.u64_histogram("magistrate.ledger.ship.records").with_description("Records of a shipment");
        Self {
            sink,
            feed,
            duration: duration.with_boundaries(SECONDS.to_vec()).build(),
            size: size.with_boundaries(RECORDS.to_vec()).build(),
        }
    }
}

impl<S: Sink> Sink for Timed<S> {
    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        let started = now();
        let outcome = self.sink.commit(batch).await;
        let outcome_name = if outcome.is_ok() { "ok" } else { "failed" };
        let attributes = [KeyValue::new("outcome", outcome_name)];
        self.duration.record(now().duration_since(started).as_secs_f64(), &attributes);
        self.size.record(batch.len() as u64, &attributes);
        if outcome.is_ok() {
            self.feed.tell(batch);
        }
        outcome
    }

    async fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), CommitFailed> {
        self.sink.seal(headers, checkpoint).await
    }

    async fn last_sealed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        self.sink.last_sealed(stream).await
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        self.sink.last_committed(stream).await
    }
}

#[expect(clippy::disallowed_methods, reason = "durations are measured here and nowhere decided by")]
fn now() -> Instant {
    Instant::now()
}
