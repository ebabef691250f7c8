//! `doctor`: what is configured, whether it works, and what to do where it does not.

use std::net::SocketAddr;

use magistrate_model::{Instant, Span};
use magistrate_pap::{Changes as _, Records as _};
use magistrate_pdp::{Clock as _, PolicySource as _, RefusalSettings, Settings};
use magistrate_storage_postgres::{Database, Hardening, HardeningLevel, PostgresStore};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::config::{Config, Otlp, Storage};
use crate::exit::Exit;
use crate::os::SystemClock;
use crate::output::Out;
use crate::store::Store;

mod keys;

/// How an examined thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug)]
struct Examined {
    what: &'static str,
    state: State,
    says: String,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Report(Vec<Examined>);

impl Report {
    fn add(&mut self, what: &'static str, state: State, says: impl Into<String>) {
        self.0.push(Examined { what, state, says: says.into() });
    }

    /// Whether an address could be listened on now.
    async fn listener(&mut self, what: &'static str, address: SocketAddr) {
        match TcpListener::bind(address).await {
            Ok(_) => self.add(what, State::Ok, address.to_string()),
            Err(error) => self.add(what, State::Failed, format!("cannot listen on `{address}`: {error}")),
        }
    }

    fn worst(&self) -> State {
        self.0.iter().map(|it| it.state).max().unwrap_or(State::Ok)
    }
}

/// `serve --check`: what a server would be started with, and whether it could start.
pub(crate) async fn check(config: &Config, out: Out) -> anyhow::Result<Exit> {
    let mut report = Report::default();
    configured(&mut report, config);
    report.listener("listen", config.listen).await;
    for address in &config.ops.listen {
        report.listener("ops.listen", *address).await;
    }
    finish(config, out, report).await
}

pub(crate) async fn run(config: &Config, out: Out) -> anyhow::Result<Exit> {
    finish(config, out, Report::default()).await
}

/// Every key that has a value, as it would count. No value here is secret.
fn configured(report: &mut Report, config: &Config) {
    let Settings { staleness, ledger_capacity, class, reuse } = config.settings;
    let telemetry = &config.telemetry;
    let namespace = match config.default_namespace.as_str() {
        "" => "the root".to_owned(),
        namespace => format!("`{namespace}`"),
    };
    report.add("default_namespace", State::Ok, namespace);
    report.add(
        "staleness",
        State::Ok,
        format!("soft {} s, hard {} s", staleness.soft.whole_seconds(), staleness.hard.whole_seconds()),
    );
    let key = if config.transport.require_key { "an API key is required" } else { "no API key is required here" };
    report.add("callers", State::Ok, key);
    report.add("ledger", State::Ok, format!("capacity {ledger_capacity} records, class {}", class.name()));
    let reused = match reuse.max_bytes {
        0 => "off: every question is evaluated".to_owned(),
        bytes => format!("earlier answers take at most {bytes} bytes"),
    };
    report.add("decision_reuse", State::Ok, reused);
    let RefusalSettings { alone_per_minute, summary } = config.refusals;
    let seconds = summary.whole_seconds();
    report.add(
        "refusals",
        State::Ok,
        format!("{alone_per_minute} of a caller and minute each recorded, the others summed up for {seconds} s"),
    );
    let private = match config.private.is_empty() {
        true => "none".to_owned(),
        false => config.private.to_string(),
    };
    report.add("private_fields", State::Ok, private);
    report.add("log", State::Ok, format!("`{}`, {}", telemetry.log, telemetry.log_format.name()));
    let pushed = match &telemetry.otlp {
        None => "nothing is pushed".to_owned(),
        Some(Otlp { endpoint: Some(endpoint) }) => format!("pushed to `{endpoint}`"),
        Some(Otlp { endpoint: None }) => "pushed to where the environment says".to_owned(),
    };
    report.add("telemetry", State::Ok, format!("{pushed}; {} of root traces sampled", telemetry.trace_ratio));
    report.add("drain_delay", State::Ok, format!("{} s", config.ops.drain_delay.as_secs()));
}

async fn finish(config: &Config, out: Out, mut report: Report) -> anyhow::Result<Exit> {
    report.add("version", State::Ok, env!("CARGO_PKG_VERSION"));
    report.add("node", State::Ok, config.node.clone());
    match &config.storage {
        Storage::Embedded(dir) => report.add("store", State::Ok, format!("embedded, in `{}`", dir.display())),
        Storage::Postgres(database) => describe(&mut report, database),
    }
    match Store::open(config).await {
        Ok(store) => {
            examine(&mut report, &store).await;
            keys::examine(&mut report, &store, config.transport.require_key, SystemClock.now()).await;
        }
        Err(error) => report.add("opening", State::Failed, format!("{error:#}")),
    }
    tell(out, &report)?;
    Ok(if report.worst() == State::Failed { Exit::Failed } else { Exit::Ok })
}

fn describe(report: &mut Report, database: &Database) {
    report.add("store", State::Ok, database.describe());
    for weakness in database.weaknesses() {
        report.add("connection", State::Warning, weakness);
    }
}

async fn examine(report: &mut Report, store: &Store) {
    report.add("opening", State::Ok, "the schema is at this program's version");
    clock_and_head(report, store).await;
    match store.base().await {
        Ok(base) => match base.policy_set {
            Some(set) => report.add(
                "policies",
                State::Ok,
                format!("{} policies live as {}", set.policies.len(), set.digest.short()),
            ),
            None => report.add("policies", State::Warning, "none applied yet; run `magistrate policy apply`"),
        },
        Err(error) => report.add("policies", State::Failed, error.to_string()),
    }
    if let Err(error) = store.migrations().await {
        report.add("policy history", State::Failed, error.to_string());
    }
    if let Some(postgres) = store.postgres() {
        database(report, postgres).await;
    }
}

async fn clock_and_head(report: &mut Report, store: &Store) {
    let asked = SystemClock.now();
    match store.standing().await {
        Ok(standing) => {
            report.add("revision", State::Ok, standing.head.revision.to_string());
            if let Some(there) = standing.clock {
                clock(report, there, asked, SystemClock.now());
            }
        }
        Err(error) => report.add("revision", State::Failed, error.to_string()),
    }
}

fn clock(report: &mut Report, there: Instant, asked: Instant, answered: Instant) {
    let apart = asked.since(there).max(there.since(answered)).max(Span::ZERO);
    let says = format!("{} ms apart from the database's", apart.micros() / 1_000);
    let state = match apart.micros() {
        0..=500_000 => State::Ok,
        500_001..=2_000_000 => State::Warning,
        _ => State::Failed,
    };
    report.add("clock", state, says);
}

async fn database(report: &mut Report, store: &PostgresStore) {
    match store.hardening().await {
        Ok(hardening) => protection(report, hardening),
        Err(error) => report.add("hardening", State::Failed, error.to_string()),
    }
    match store.listen().await {
        Ok(Some(_)) => report.add("wake-up", State::Ok, "changes are announced on a direct connection"),
        Ok(None) => report.add(
            "wake-up",
            State::Warning,
            "no direct connection: changes are found by polling, within 500 ms; give `database.direct_url`",
        ),
        Err(error) => report.add("wake-up", State::Warning, error.to_string()),
    }
    match store.nodes().await {
        Ok(nodes) => nodes.iter().for_each(|node| {
            let says = format!("`{}` served revision {} at {}", node.name, node.revision, node.reported_at);
            report.add("serving", State::Ok, says);
        }),
        Err(error) => report.add("serving", State::Warning, error.to_string()),
    }
}

fn protection(report: &mut Report, hardening: Hardening) {
    for remark in hardening.remarks {
        report.add("server", State::Warning, remark);
    }
    match hardening.level {
        HardeningLevel::None => hardening.findings.into_iter().for_each(|finding| {
            report.add("hardening", State::Failed, finding);
        }),
        HardeningLevel::Standard => report.add(
            "hardening",
            State::Ok,
            "standard: rights and triggers; `migrate --hardening strict` as a superuser adds event triggers",
        ),
        HardeningLevel::Strict => report.add("hardening", State::Ok, "strict: rights, triggers and event triggers"),
    }
}

fn tell(out: Out, report: &Report) -> std::io::Result<()> {
    let rows: Vec<_> =
        report.0.iter().map(|it| vec![it.what.to_owned(), it.state.name().to_owned(), it.says.clone()]).collect();
    let json = || {
        let all = report
            .0
            .iter()
            .map(|it| json!({ "check": it.what, "state": it.state.name().to_lowercase(), "says": it.says }));
        json!({ "state": report.worst().name().to_lowercase(), "checks": all.collect::<Vec<Json>>() })
    };
    out.rows(&["check", "state", "says"], &rows, json)
}
