//! What can be measured of a decision point at any time. Gauges hold it weakly: a server that stops waits until
//! nobody holds it.

use std::sync::{Arc, Weak};

use magistrate_grpc::{CallerStats, Certificates, Denied, Ended, TransportStats};
use magistrate_model::{Instant, Span};
use magistrate_pdp::{Clock as _, Pdp, Readiness, ReuseVitals, Served, Vitals};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::journal::Watch;
use crate::os::SystemClock;
use crate::sequencing::{LogVitals, LogWatch};

/// A figure of a decision point; `None` where there is none yet.
type Figure = fn(&Vitals) -> Option<f64>;

/// Name, unit, description, figure.
const GAUGES: [(&str, &str, &str, Figure); 9] = [
    ("magistrate.ready", "", "1 while decisions can be made", |it| {
        Some(if matches!(it.readiness, Readiness::Ready { .. }) { 1.0 } else { 0.0 })
    }),
    ("magistrate.staleness", "s", "Time since the policy store confirmed what is served", |it| {
        it.served.as_ref().map(|_| seconds(it.staleness))
    }),
    ("magistrate.served.revision", "", "Revision that is served", |it| served(it, |it| whole(it.revision.number()))),
    ("magistrate.served.policies", "", "Policies of the set that is served", |it| {
        served(it, |it| whole(it.policies as u64))
    }),
    ("magistrate.served.records", "", "Entities, scopes and grants that are served", |it| {
        served(it, |it| whole(it.records as u64))
    }),
    ("magistrate.ledger.waiting", "", "Decision records that are not yet durable", |it| Some(whole(it.waiting as u64))),
    ("magistrate.ledger.capacity", "", "Decision records that may wait to become durable", |it| {
        Some(whole(it.capacity as u64))
    }),
    ("magistrate.ledger.append.lag", "s", "How long the oldest append that is not through has taken", |it| {
        Some(seconds(it.append_lag))
    }),
    ("magistrate.started", "s", "When the process started, in seconds of Unix time", |_| super::process::started()),
];

pub(super) fn register(meter: &Meter, pdp: &Arc<Pdp>) {
    for (name, unit, says, figure) in GAUGES {
        let pdp = Arc::downgrade(pdp);
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(says);
        let _gauge = gauge
            .with_callback(move |gauge| {
                if let Some(figure) = vitals(&pdp).as_ref().and_then(figure) {
                    gauge.observe(figure, &[]);
                }
            })
            .build();
    }
    policy_set(meter, Arc::downgrade(pdp));
    comparisons(meter, pdp);
    reuse(meter, pdp);
}

/// A figure of a journal.
type JournalFigure = fn(&magistrate_journal::Vitals) -> f64;

const JOURNAL: [(&str, &str, &str, JournalFigure); 6] = [
    ("magistrate.checkpoint.age", "s", "Time since the newest checkpoint left the store", |it| {
        it.checkpoint_at.map_or(0.0, |at| seconds(SystemClock.now().since(at)))
    }),
    ("magistrate.journal.unshipped", "", "Records that are in the journal and not in the store", |it| {
        whole(it.unshipped)
    }),
    ("magistrate.journal.lag", "s", "Age of the oldest record that is not in the store", |it| {
        seconds(it.lag(SystemClock.now()))
    }),
    ("magistrate.journal.size", "By", "Bytes of all segments of the journal", |it| whole(it.bytes)),
    ("magistrate.journal.free", "By", "Bytes that can be appended before more room must be made", |it| {
        whole(u64::try_from(it.free).unwrap_or(0))
    }),
    ("magistrate.journal.trouble", "", "1 while something is wrong with the journal", |it| {
        if it.why.is_some() { 1.0 } else { 0.0 }
    }),
];

pub(super) fn register_journal(meter: &Meter, journal: &Watch) {
    for (name, unit, says, figure) in JOURNAL {
        let journal = journal.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(says);
        let _gauge = gauge.with_callback(move |gauge| gauge.observe(figure(&journal.vitals()), &[])).build();
    }
}

/// A figure of the global log.
type LogFigure = fn(&LogVitals) -> f64;

const LOG: [(&str, &str, &str, LogFigure); 6] = [
    ("magistrate.log.sequencing", "", "1 while this node sequences the global log", |it| flag(it.holds)),
    ("magistrate.log.entries", "", "Entries of the global log, where this node sequences it", |it| {
        held(it, whole(it.entries))
    }),
    ("magistrate.log.uncovered", "", "Entries of it that no checkpoint covers", |it| {
        held(it, whole(it.entries.saturating_sub(it.covered)))
    }),
    ("magistrate.log.lag", "s", "Time since everything was in the global log, where this node sequences it", |it| {
        held(it, it.caught_up_at.map_or(0.0, |at| seconds(SystemClock.now().since(at))))
    }),
    ("magistrate.log.checkpoint.age", "s", "Time since this node signed the global log, where it sequences it", |it| {
        held(it, it.checkpoint_at.map_or(0.0, |at| seconds(SystemClock.now().since(at))))
    }),
    (
        "magistrate.log.trouble",
        "",
        "1 while something is wrong with the global log, 2 when it is not gone on with",
        |it| {
            if it.alarm.is_some() { 2.0 } else { flag(it.trouble.is_some() || it.held_up.is_some()) }
        },
    ),
];

pub(super) fn register_log(meter: &Meter, log: &LogWatch) {
    for (name, unit, says, figure) in LOG {
        let log = log.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(says);
        let _gauge = gauge.with_callback(move |gauge| gauge.observe(figure(&log.vitals()), &[])).build();
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn held(log: &LogVitals, figure: f64) -> f64 {
    if log.holds { figure } else { 0.0 }
}

/// Decisions made a second time by Cedar's own authorizer.
fn comparisons(meter: &Meter, pdp: &Arc<Pdp>) {
    type Count = fn((u64, u64, u64)) -> u64;
    let counters: [(&'static str, &'static str, Count); 3] = [
        ("magistrate.decisions.compared", "Decisions compared with Cedar's own authorizer", |it| it.0),
        ("magistrate.decisions.differed", "Decisions that differed from Cedar's own authorizer", |it| it.1),
        ("magistrate.decisions.undecided", "Decisions of which Cedar's own authorizer said nothing", |it| it.2),
    ];
    for (name, says, count) in counters {
        let pdp = Arc::downgrade(pdp);
        let counter = meter.u64_observable_counter(name).with_description(says);
        let _counter = counter
            .with_callback(move |counter| {
                if let Some(vitals) = vitals(&pdp) {
                    counter.observe(count(vitals.compared), &[]);
                }
            })
            .build();
    }
}

/// What becomes of earlier answers.
fn reuse(meter: &Meter, pdp: &Arc<Pdp>) {
    type Figure = fn(&ReuseVitals) -> u64;
    let counters: [(&'static str, &'static str, Figure); 3] = [
        ("magistrate.reuse.used", "Decisions that are earlier answers, used again", |it| it.used),
        ("magistrate.reuse.compared", "Answers used again that were evaluated all the same, to compare", |it| {
            it.compared
        }),
        ("magistrate.reuse.differed", "Answers used again that evaluation did not come to", |it| it.differed),
    ];
    for (name, says, figure) in counters {
        let pdp = Arc::downgrade(pdp);
        let counter = meter.u64_observable_counter(name).with_description(says);
        let observe = move |pdp: &Weak<Pdp>| vitals(pdp).map(|it| figure(&it.reuse));
        let _counter =
            counter.with_callback(move |to| observe(&pdp).into_iter().for_each(|it| to.observe(it, &[]))).build();
    }
    let missed = Arc::downgrade(pdp);
    let _missed = meter
        .u64_observable_counter("magistrate.reuse.missed")
        .with_description("Questions for which no earlier answer could be used, by reason")
        .with_callback(move |counter| {
            let Some(Vitals { reuse, .. }) = vitals(&missed) else { return };
            for (reason, count) in [("absent", reuse.absent), ("changed", reuse.changed), ("expired", reuse.expired)] {
                counter.observe(count, &[KeyValue::new("reason", reason)]);
            }
        })
        .build();
    let gauges: [(&'static str, &'static str, &'static str, Figure); 2] = [
        ("magistrate.reuse.entries", "", "Answers that are kept to be used again", |it| it.entries),
        ("magistrate.reuse.size", "By", "Bytes that they take, about", |it| it.bytes),
    ];
    for (name, unit, says, figure) in gauges {
        let pdp = Arc::downgrade(pdp);
        let gauge = meter.u64_observable_gauge(name).with_unit(unit).with_description(says);
        let observe = move |pdp: &Weak<Pdp>| vitals(pdp).map(|it| figure(&it.reuse));
        let _gauge =
            gauge.with_callback(move |to| observe(&pdp).into_iter().for_each(|it| to.observe(it, &[]))).build();
    }
}

/// Which policy set is served, as a label: a digest is no figure.
fn policy_set(meter: &Meter, pdp: Weak<Pdp>) {
    let gauge = meter.u64_observable_gauge("magistrate.policy_set.info").with_description("1 for what is served");
    let _gauge = gauge
        .with_callback(move |gauge| {
            if let Some(served) = vitals(&pdp).and_then(|vitals| vitals.served) {
                gauge.observe(1, &[KeyValue::new("policy_set_digest", served.policy_set.to_string())]);
            }
        })
        .build();
    let _gauge = meter
        .u64_observable_gauge("magistrate.build.info")
        .with_description("1 for the version that runs")
        .with_callback(|gauge| gauge.observe(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]))
        .build();
}

pub(super) fn register_transport(meter: &Meter, stats: &Arc<TransportStats>, certificates: Option<&Arc<Certificates>>) {
    let open = Arc::clone(stats);
    let _open = meter
        .u64_observable_gauge("magistrate.connections.open")
        .with_description("Connections that are open")
        .with_callback(move |gauge| gauge.observe(open.open() as u64, &[]))
        .build();
    let accepted = Arc::clone(stats);
    let _accepted = meter
        .u64_observable_counter("magistrate.connections.accepted")
        .with_description("Connections that were accepted")
        .with_callback(move |counter| counter.observe(accepted.accepted(), &[]))
        .build();
    let ended = Arc::clone(stats);
    let _ended = meter
        .u64_observable_counter("magistrate.connections.ended")
        .with_description("Connections that were refused or ended here, by reason")
        .with_callback(move |counter| {
            Ended::ALL
                .iter()
                .for_each(|why| counter.observe(ended.ended(*why), &[KeyValue::new("reason", why.name())]));
        })
        .build();
    let withheld = Arc::clone(stats);
    let _withheld = meter
        .u64_observable_counter("magistrate.answers.withheld")
        .with_description("Answers that were refused as overload, since answers that nobody took left no room")
        .with_callback(move |counter| counter.observe(withheld.withheld(), &[]))
        .build();
    if let Some(certificates) = certificates {
        register_certificates(meter, certificates);
    }
}

pub(super) fn register_callers(meter: &Meter, stats: &Arc<CallerStats>) {
    let stats = Arc::clone(stats);
    let _refused = meter
        .u64_observable_counter("magistrate.callers.refused")
        .with_description("Callers that were not let in, by cause")
        .with_callback(move |counter| {
            Denied::ALL
                .iter()
                .for_each(|why| counter.observe(stats.refused(*why), &[KeyValue::new("cause", why.name())]));
        })
        .build();
}

fn register_certificates(meter: &Meter, certificates: &Arc<Certificates>) {
    let shown = Arc::clone(certificates);
    let _not_after = meter
        .f64_observable_gauge("magistrate.certificate.not_after")
        .with_unit("s")
        .with_description("When the certificate that is shown ends, in seconds of Unix time")
        .with_callback(move |gauge| gauge.observe(seconds(shown.not_after().since(Instant::EPOCH)), &[]))
        .build();
    let files = Arc::clone(certificates);
    let _refused = meter
        .u64_observable_gauge("magistrate.certificate.refused")
        .with_description("1 while the files of certificate and key cannot be used, and an older one is shown")
        .with_callback(move |gauge| gauge.observe(files.refused().into(), &[]))
        .build();
}

fn vitals(pdp: &Weak<Pdp>) -> Option<Vitals> {
    Some(pdp.upgrade()?.vitals(SystemClock.now()))
}

fn served(vitals: &Vitals, figure: impl Fn(&Served) -> f64) -> Option<f64> {
    vitals.served.as_ref().map(figure)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge need not tell 2^53 from its neighbour")]
const fn whole(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "spans of ages are far below 2^53 microseconds")]
fn seconds(span: Span) -> f64 {
    span.micros() as f64 / 1e6
}
