//! What a large store costs: from the start to the first answer, and from a committed change to answers by it, while
//! the server is loaded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use magistrate_proto::v1::CheckRequest;
use magistrate_proto::v1::authorization_service_client::AuthorizationServiceClient;
use magistrate_testkit::Scale;
use serde_json::json;

use crate::arrivals::Spacing;
use crate::cli::{Misused, misused};
use crate::clock;
use crate::drive::{Pace, Plan};
use crate::figures::spread;
use crate::output::{show, tell};
use crate::report::starting::mebibytes;
use crate::report::table::{self, Table, number};
use crate::run::{How, measure_running};
use crate::scenario::Asked;
use crate::target::{Change, Prepared, Running, Spec};

/// How large, and how often.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The `magistrate` to measure, on PostgreSQL
    #[arg(long, default_value = "target/dist/magistrate")]
    program: String,
    /// Policies in all, at most 200,000
    #[arg(long, default_value_t = 10_000)]
    policies: usize,
    /// Role assignments, at most 1,000,000
    #[arg(long, default_value_t = 1_000_000)]
    assignments: usize,
    /// Users, folders and documents, at most 1,000,000
    #[arg(long, default_value_t = 200_000)]
    entities: usize,
    /// Starts that are timed, at most 20
    #[arg(long, default_value_t = 3)]
    starts: u32,
    /// Changes of each kind, at most 100
    #[arg(long, default_value_t = 10)]
    changes: u32,
    /// Questions a second meanwhile, at most 100,000
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// `scale`
pub(crate) fn scale(args: &ScaleArgs) -> anyhow::Result<()> {
    if args.policies > 200_000 || args.assignments > 1_000_000 || args.entities > 1_000_000 {
        misused!("`--policies` is at most 200,000, `--assignments` and `--entities` at most 1,000,000");
    }
    if !(1..=20).contains(&args.starts) || !(1..=100).contains(&args.changes) || !(1.0..=100_000.0).contains(&args.rate)
    {
        misused!("`--starts` is between 1 and 20, `--changes` between 1 and 100, `--rate` between 1 and 100,000");
    }
    let scale = Scale { policies: args.policies, assignments: args.assignments, entities: args.entities };
    let asked = Arc::new(Asked::generate(1, scale, 256, 0.25)?);
    let spec: Spec = format!("{},store=postgres", args.program).parse().map_err(|why| anyhow!("{why}"))?;
    tell("filling the store, which takes minutes");
    let prepared = Prepared::new(&spec, &asked, &PathBuf::new())?;
    let (starts, running) = starts(&prepared, args)?;
    tell(&starts.markdown());
    let changes = changes(&prepared, &running, args)?;
    let json = json!({ "starts": starts.json(), "changes": changes.json() });
    show(&json, &format!("{}\n{}", starts.markdown(), changes.markdown()), args.json)
}

/// Starts it again and again; the last one goes on.
fn starts(prepared: &Prepared, args: &ScaleArgs) -> anyhow::Result<(Table, Running)> {
    let about = format!(
        "{} policies, {} entities, {} grants in PostgreSQL on the same machine; {} starts: median (least to most). \
         Memory is what is resident at the first answer, and at most until then.",
        args.policies, args.entities, args.assignments, args.starts
    );
    let columns = ["ready after ms", "CPU ms", "MiB resident", "MiB at most"];
    let mut table = Table::new("Starting on a large store", about, &columns);
    let (mut ready, mut cpu, mut resident, mut most) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for n in 1..=args.starts {
        drop(last.take());
        let running = prepared.start(None)?;
        if let Some((after, usage)) = running.ready_after.zip(running.sample().server) {
            tell(&format!("start {n}: {after:.2?}, {} MiB", usage.resident >> 20));
            ready.push(after.as_secs_f64() * 1e3);
            cpu.push(usage.cpu * 1e3);
            resident.push(mebibytes(usage.resident));
            most.push(mebibytes(usage.peak));
        }
        last = Some(running);
    }
    let behind = json!({ "ready_after_ms": ready, "cpu_ms": cpu, "resident_mib": resident, "most_mib": most });
    let told = |values: Vec<f64>| spread(values).map_or("–".into(), table::spread);
    table.row(vec![told(ready), told(cpu), told(resident), told(most)], behind);
    Ok((table, last.context("nothing was started")?))
}

/// A kind of change, and the changes of it by number.
type Kind = (&'static str, fn(u32) -> Change);

const KINDS: [Kind; 3] = [("grant", grant), ("entity", entity), ("policy", policy)];

/// Changes one thing after the other while questions come in.
fn changes(prepared: &Prepared, running: &Running, args: &ScaleArgs) -> anyhow::Result<Table> {
    let about = format!(
        "From the time PostgreSQL gives the commit to the first answer by it, {} changes a kind, one after the other, at \
         {} questions a second; and the latency of these questions meanwhile, from when each was meant to be sent.",
        args.changes, args.rate
    );
    let columns = ["change", "visible p50 ms", "p99 ms", "at most ms", "Check p50 µs", "p99 µs", "p99.9 µs"];
    let mut table = Table::new("Changes to a large store, under load", about, &columns);
    let question = prepared.question()?;
    for (kind, change) in KINDS {
        tell(&format!("changing: {kind}"));
        let watched = watched(running.address, &question, || {
            let changing = AtomicBool::new(true);
            thread::scope(|scope| {
                let changes = scope.spawn(|| {
                    let outcome = (0..args.changes).try_for_each(|n| {
                        prepared.change(&change(n))?;
                        thread::sleep(Duration::from_millis(300));
                        Ok(())
                    });
                    changing.store(false, Ordering::Release);
                    outcome
                });
                let mut figures = Vec::new();
                while changing.load(Ordering::Acquire) {
                    figures.push(measure_running(prepared, running, &how(args.rate))?);
                }
                changes.join().map_err(|_| anyhow!("changing panicked"))?.map(|()| figures)
            })
        })?;
        let (figures, seen) = watched;
        let committed = prepared.commits()?;
        let mut visible: Vec<f64> =
            seen.iter().filter_map(|(revision, at)| Some(at - committed.get(revision)?)).collect();
        visible.sort_by(f64::total_cmp);
        let of = |share: f64| quantile(&visible, share).map_or("–".into(), |seconds| number(seconds * 1e3));
        let latency =
            |share: f64| figures.iter().map(|it| it.latency(share)).max().map_or("–".into(), |it| it.to_string());
        let cells = [of(0.5), of(0.99), of(1.0), latency(0.5), latency(0.99), latency(0.999)];
        let behind = json!({ "change": kind, "visible_s": visible });
        let row: Vec<String> = [kind.to_owned()].into_iter().chain(cells).collect();
        tell(&row.join(", "));
        table.row(row, behind);
    }
    Ok(table)
}

fn how(rate: f64) -> How<'static> {
    let plan = Plan {
        requests: 10_000_000,
        within: Duration::from_secs(2),
        warm_up: 0,
        connections: 4,
        // No more than a server takes: with more, those before its settings are read are refused.
        streams: 128,
        threads: 1,
        pace: Some(Pace { per_second: rate, spacing: Spacing::Poisson }),
        seed: 1,
    };
    How { plan, batch: 1, server_cores: None, refusals_are_fine: false, verify_history: false }
}

fn grant(n: u32) -> Change {
    let add = "grant add Company::User::user-0 --role viewer --on Company::Folder::folder-1 --expires +1h --id";
    Change::Command(add.split(' ').map(str::to_owned).chain([format!("scale-{n}")]).collect())
}

fn entity(n: u32) -> Change {
    let attributes = json!({ "unit": { "__entity": { "type": "Company::OrgUnit", "id": "commerce" } }, "clearance": n % 5,
        "employment": "employee", "suspended": false });
    let put = ["entity", "put", "Company::User::user-0", "--parent", "Company::Group::employees", "--attributes"];
    Change::Command(put.map(str::to_owned).into_iter().chain([attributes.to_string()]).collect())
}

fn policy(n: u32) -> Change {
    Change::Policy(format!(
        "@id(\"changing.policy\")\npermit (principal == Company::User::\"user-{n}\", \
         action == Company::Action::\"readDocument\", resource);\n"
    ))
}

/// When each revision was first answered by, by the clock of the wall, in seconds.
type Seen = BTreeMap<u64, f64>;

/// Asks over and over, while something is done.
fn watched<T>(
    address: SocketAddr,
    question: &CheckRequest,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Seen)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(watch(address, question, &done))
        });
        let outcome = work();
        done.store(true, Ordering::Release);
        let seen = watching.join().map_err(|_| anyhow!("watching panicked"))??;
        Ok((outcome?, seen))
    })
}

async fn watch(address: SocketAddr, question: &CheckRequest, done: &AtomicBool) -> anyhow::Result<Seen> {
    let mut client = AuthorizationServiceClient::connect(format!("http://{address}")).await?;
    let question = question.clone();
    let mut seen = Seen::new();
    let mut newest = client.check(question.clone()).await?.into_inner().revision;
    while !done.load(Ordering::Acquire) {
        let revision = client.check(question.clone()).await?.into_inner().revision;
        if revision > newest {
            let now = clock::wall().as_secs_f64();
            // Some may have come together.
            seen.extend((newest + 1..=revision).map(|revision| (revision, now)));
            newest = revision;
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    Ok(seen)
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied()
}
