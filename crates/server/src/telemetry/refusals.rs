//! What becomes of refusals.

use std::sync::Arc;

use magistrate_pdp::{RefusalCounts, Refusals};
use opentelemetry::metrics::Meter;

type Count = fn(&RefusalCounts) -> u64;

const COUNTERS: [(&str, &str, Count); 3] = [
    ("magistrate.refusals.recorded", "Refusals in the ledger, each as an act of its own", |it| it.alone),
    ("magistrate.refusals.summed", "Refusals in the ledger, in summaries", |it| it.summed),
    ("magistrate.refusals.dropped", "Refusals that the store refused to record", |it| it.dropped),
];

pub(super) fn register(meter: &Meter, lane: &Arc<Refusals>) {
    for (name, says, count) in COUNTERS {
        let lane = Arc::clone(lane);
        let counter = meter.u64_observable_counter(name).with_description(says);
        let _counter = counter.with_callback(move |counter| counter.observe(count(&lane.counts()), &[])).build();
    }
    let lane = Arc::clone(lane);
    let _waiting = meter
        .u64_observable_gauge("magistrate.refusals.waiting")
        .with_description("Refusals that are not yet in the ledger")
        .with_callback(move |gauge| gauge.observe(lane.counts().waiting(), &[]))
        .build();
}
