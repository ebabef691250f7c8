//! How fast decisions are appended and a large state is loaded: `cargo bench -p magistrate-storage-postgres`.
//!
//! On a private cluster of this machine, which also runs this program: compare within a run. Records are sealed
//! beforehand; what is timed is the sink alone, from the call to the server's word that it committed.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark reads the clock, prints, and ends when something is wrong"
)]

use std::time::{Duration, Instant};

use magistrate_ledger::{SealedRecord, Sink};
use magistrate_model::Span;
use magistrate_pdp::PolicySource;
use magistrate_storage_postgres::{Database, MigrateOptions, PostgresSink, PostgresStore, migrate};
use magistrate_testkit::instant;
use magistrate_testkit::postgres::{Cluster, Database as Created, Options};
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};

/// What each row of the table appends for.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// About what a record with facts and grants takes.
const BODY: usize = 400;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:>8} {:>6} {:>6} {:>10} {:>10} {:>10}", "fsync", "sinks", "batch", "rows/s", "p50 ms", "p99 ms");
    for durable in [false, true] {
        let cluster = Cluster::private(&Options { durable, ..Options::default() });
        for (sinks, batch) in [(1, 1), (1, 100), (1, 500), (1, 1_000), (4, 1), (4, 500)] {
            let (created, store) = runtime.block_on(fresh(&cluster));
            let (rows, mut took) = runtime.block_on(append(&store, sinks, batch));
            took.sort_unstable();
            let at = |share: usize| took.get(took.len() * share / 100).unwrap().as_secs_f64() * 1e3;
            let fsync = if durable { "on" } else { "off" };
            println!("{fsync:>8} {sinks:>6} {batch:>6} {rows:>10.0} {:>10.2} {:>10.2}", at(50), at(99));
            drop((store, created));
        }
    }
    runtime.block_on(load(&Cluster::private(&Options::default())));
}

/// A migrated database.
async fn fresh(cluster: &Cluster) -> (Created, PostgresStore) {
    let created = cluster.database(None);
    let database = Database::new(&created.superuser_url()).unwrap();
    migrate(&database, &MigrateOptions::default()).await.unwrap();
    let store = PostgresStore::connect(&database).await.unwrap();
    (created, store)
}

/// Appends through some sinks at once; returns rows a second of all of them, and how long each batch took.
async fn append(store: &PostgresStore, sinks: u8, batch: usize) -> (f64, Vec<Duration>) {
    let mut running = tokio::task::JoinSet::new();
    for number in 1..=sinks {
        let (sink, records) = (store.sink().await.unwrap(), records(number, batch));
        running.spawn(append_batches(sink, records));
    }
    let began = Instant::now();
    let took: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    (took.len() as f64 * batch as f64 / began.elapsed().as_secs_f64(), took)
}

/// Appends the same batch over and over, each time behind the last one.
async fn append_batches(mut sink: PostgresSink, mut records: Vec<SealedRecord>) -> Vec<Duration> {
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < LONG_ENOUGH {
        let before = Instant::now();
        sink.commit(&records).await.unwrap();
        took.push(before.elapsed());
        let count = records.len() as u64;
        for record in &mut records {
            record.id.seq += count;
            record.recorded_at = record.recorded_at.plus(Span::millis(20));
        }
    }
    took
}

/// A batch of different principals and resources.
fn records(number: u8, count: usize) -> Vec<SealedRecord> {
    let start = instant("2026-06-01T06:00:00Z");
    let decided: Vec<Decided> = (0..20).map(|n| Decided::at(start.plus(Span::millis(n)))).collect();
    let patterns = sealed(stream(number), &decided);
    let record = |(n, pattern): (usize, &SealedRecord)| {
        let mut record = pattern.clone();
        record.id.seq = n as u64 + 1;
        record.index.principal = format!("Company::User::\"user-{}\"", n * 7_919 % 5_003);
        record.index.resource = format!("Company::Document::\"document-{}\"", n * 104_729 % 100_003);
        record.bytes.resize(BODY, 0);
        record
    };
    patterns.iter().cycle().take(count).enumerate().map(record).collect()
}

/// Loads a million grants and two hundred thousand entities.
async fn load(cluster: &Cluster) {
    let (created, store) = fresh(cluster).await;
    created.sql(
        "ALTER TABLE magistrate.entity DISABLE TRIGGER USER; ALTER TABLE magistrate.entity_parent DISABLE TRIGGER USER;
         ALTER TABLE magistrate.role_assignment DISABLE TRIGGER USER;
         INSERT INTO magistrate.entity SELECT 'Company::User', 'user-' || n, '{\"clearance\":3,\"suspended\":false,\"unit\":'
            '{\"__entity\":{\"id\":\"commerce\",\"type\":\"Company::OrgUnit\"}}}', 1, NULL FROM generate_series(1, 200000) n;
         INSERT INTO magistrate.entity_parent SELECT 'Company::User', 'user-' || n, 'Company::Group', 'employees', 1, NULL
            FROM generate_series(1, 200000) n;
         INSERT INTO magistrate.role_assignment (id, holder_type, holder_id, role_type, role_id, resource_type,
                resource_id, not_before, expires_at, reason, valid_from)
            SELECT 'generated-' || n, 'Company::User', 'user-' || n % 200000, 'Company::Role', 'viewer',
                'Company::Folder', 'folder-' || n % 70000, 0, 4000000000000000, 'generated', 1
            FROM generate_series(1, 1000000) n;
         ANALYZE;",
    );
    let before = peak();
    let began = Instant::now();
    let loaded = store.load().await.unwrap();
    let (took, after) = (began.elapsed().as_secs_f64(), peak());
    println!(
        "\nloaded {} entities and {} grants in {took:.1} s; the peak of memory rose by {} MiB",
        loaded.entities.len(),
        loaded.grants.len(),
        (after - before) / 1024
    );
}

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
