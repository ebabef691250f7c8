//! What a decision takes in PostgreSQL, and how fast it is brought there and read back:
//! `cargo bench -p magistrate-storage-postgres --bench bytes -- [RECORDS] [A_SECOND]`.
//!
//! Records are those of the scenario of the load tool, 100 policies and 1,000 grants and entities, over any user and any
//! document; so many of them a second by their own clock. On a private cluster of this machine, its files in memory.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark reads the clock, prints, and ends when something is wrong"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock, UNIX_EPOCH};

use magistrate_ledger::{
    Append, CommitFailed, Durable, PlacedRecord, Room, SealedHeader, SealedRecord, Sink, StreamId, Writer,
};
use magistrate_model::{
    ActionUid, Caller, Channel, EntityInput, EntityUid, Environment, Instant, Query, Question, Record, Span, Verdict,
};
use magistrate_pdp::history::Wanted;
use magistrate_pdp::{DecisionFilter, DecisionHistory, Evidence, Page, Position, View};
use magistrate_storage_postgres::{Database, MigrateOptions, PostgresStore, migrate};
use magistrate_testkit::postgres::{Cluster, Database as Created, Options};
use magistrate_testkit::{Scale, Scenario};
use sha2::{Digest as _, Sha256};

/// As many as the shipper takes up at a time.
const BATCH: u32 = 2_000;
/// As many as `audit verify` and `audit replay` read at a time.
const CHUNK: u32 = 1_000;
const ASKED: usize = 20_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|it| it.parse().ok());
    let count: u32 = arguments.next().unwrap_or(602_000);
    let a_second = i64::from(arguments.next().unwrap_or(20_000));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = Cluster::private(&Options::default());
    let created = cluster.database(None);
    runtime.block_on(async {
        let database = Database::new(&created.superuser_url()).unwrap();
        migrate(&database, &MigrateOptions::default()).await.unwrap();
        let store = PostgresStore::connect(&database).await.unwrap();
        let mut decided = Decided::new(a_second);
        ship(&store, &mut decided, count).await;
        sizes(&created, count);
        created.sql("ANALYZE audit.decision");
        Box::pin(read(&store, &decided, count)).await;
    });
}

/// Ships records batch by batch; what is timed is the sink alone.
async fn ship(store: &PostgresStore, decided: &mut Decided, count: u32) {
    let mut sink = store.sink().await.unwrap();
    let (mut took, mut cpu, mut bytes) = (Duration::ZERO, 0, 0);
    for _ in 0..count / BATCH {
        let batch = decided.next(BATCH);
        bytes += batch.iter().map(|record| record.bytes.len()).sum::<usize>();
        let (began, before) = (Clock::now(), processor());
        sink.commit(&batch).await.unwrap();
        took += began.elapsed();
        cpu += processor() - before;
    }
    let each = f64::from(count);
    println!("{count} records of {:.0} bytes", bytes as f64 / each);
    println!(
        "shipped {:.0} a second, {:.2} us of this program's CPU each",
        each / took.as_secs_f64(),
        cpu as f64 / 1e3 / each
    );
}

/// Bytes a decision, of each relation.
fn sizes(created: &Created, count: u32) {
    let relations = created.sql(
        "SELECT regexp_replace(c.relname, '[0-9]{8}', 'DAY'), sum(CASE c.relkind WHEN 'i' THEN pg_relation_size(c.oid) ELSE
            pg_table_size(c.oid) END) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'audit' AND c.relkind IN ('r', 'i') AND (c.relname ~ '^decision_' OR c.relname ~ '^dictionary')
        GROUP BY 1 HAVING sum(pg_table_size(c.oid)) > 200000 ORDER BY 1",
    );
    let mut all = 0.0;
    for line in relations.lines() {
        let (name, size) = line.split_once('|').unwrap();
        let each = size.parse::<f64>().unwrap() / f64::from(count);
        all += each;
        println!("{each:>8.1}  {name}");
    }
    println!("{all:>8.1}  bytes a decision");
}

/// Reads everything back in both orders, and asks what is asked of history.
async fn read(store: &PostgresStore, decided: &Decided, count: u32) {
    let (mut after, began) = (0, Clock::now());
    loop {
        let rows = store.records(decided.stream, after, CHUNK).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = last.seq();
    }
    println!("read by place {:.0} a second", f64::from(count) / began.elapsed().as_secs_f64());
    let (mut from, began) = (None, Clock::now());
    loop {
        let page = store.page(&DecisionFilter::default(), Page::OldestFirst(from), CHUNK).await.unwrap();
        let Some(last) = page.last() else { break };
        from = Some(Position { recorded_at: last.recorded_at, id: last.id });
    }
    println!("read by time {:.0} a second", f64::from(count) / began.elapsed().as_secs_f64());
    let user = DecisionFilter {
        principals: Wanted { any: vec![decided.user()], none: Vec::new() },
        ..DecisionFilter::default()
    };
    for (name, filter) in [("all", DecisionFilter::default()), ("one principal", user)] {
        for page in [Page::NewestFirst(None), Page::OldestFirst(None)] {
            let began = Clock::now();
            let found = store.page(&filter, page, 50).await.unwrap().len();
            println!("{found} of {name}, {page:?}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
        }
        let began = Clock::now();
        let counted = store.count(&filter, Span::hours(1)).await.unwrap();
        let total: u64 = counted.iter().map(|it| it.count).sum();
        println!("counted {total} of {name}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    }
}

/// Decisions of the scenario, one after the other.
struct Decided {
    stream: StreamId,
    asked: Vec<(Question, Verdict)>,
    writer: Writer,
    sealed: std::sync::mpsc::Receiver<Vec<SealedRecord>>,
    made: i64,
    a_second: i64,
    start: Instant,
}

impl Decided {
    fn new(a_second: i64) -> Self {
        let today = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed() / 86_400;
        let start = Instant::from_micros((today * 86_400 - 43_200) * 1_000_000).unwrap();
        let scale = Scale { policies: 100, assignments: 1_000, entities: 1_000 };
        let (snapshot, dataset) = Scenario::generate(1, scale).build(start);
        let of = |name: &str| -> Vec<EntityUid> {
            let found = dataset.entities.iter().filter(|it| it.uid.type_name().as_str() == name);
            found.map(|entity| entity.uid.clone()).collect()
        };
        let (users, documents) = (of("Company::User"), of("Company::Document"));
        let view = View::offline(Arc::new(snapshot), dataset);
        let any = |uids: &[EntityUid]| uids.get(random() as usize % uids.len()).unwrap().clone();
        let asked = (0..ASKED).map(|_| view.answer(query(any(&users), any(&documents)), start, Span::ZERO).unwrap());
        let (journal, sealed) = std::sync::mpsc::channel();
        let stream = StreamId::new(nonce());
        Self {
            stream,
            asked: asked.collect(),
            writer: Writer::new(Handed(journal), Room::unlimited(), stream, nonce),
            sealed,
            made: 0,
            a_second,
            start,
        }
    }

    fn next(&mut self, count: u32) -> Vec<SealedRecord> {
        let drafts = (0..count).map(|_| {
            let (question, verdict) = self.asked.get(random() as usize % ASKED).unwrap();
            let mut question = question.clone();
            question.facts.instant = self.start.plus(Span::from_micros(self.made * 1_000_000 / self.a_second));
            self.made += 1;
            self.writer.draft(&question, verdict)
        });
        let drafts = drafts.collect::<Vec<_>>();
        let _durable = self.writer.append(drafts).unwrap();
        self.sealed.recv().unwrap()
    }

    fn user(&self) -> String {
        self.asked.first().unwrap().0.query.principal.uid().to_string()
    }
}

fn query(user: EntityUid, document: EntityUid) -> Query {
    Query {
        principal: EntityInput::Reference(user),
        action: ActionUid::resolve("readDocument", "Company").unwrap(),
        resource: EntityInput::Reference(document),
        context: Record::new(),
        environment: Environment::default(),
        at_least_revision: None,
        request_id: None,
        explain: false,
        caller: Caller { address: None, channel: Channel::Grpc, key: None, trace: None },
    }
}

/// A journal that hands on what it takes.
#[derive(Debug)]
struct Handed(std::sync::mpsc::Sender<Vec<SealedRecord>>);

impl Append for Handed {
    fn append(&mut self, batch: &[PlacedRecord]) -> Result<Durable, CommitFailed> {
        let read = |it: &PlacedRecord| SealedRecord::read(it.id, it.bytes.clone(), it.opening.clone()).unwrap();
        self.0.send(batch.iter().map(read).collect()).unwrap();
        Ok(Durable::Already)
    }

    fn append_header(&mut self, _: &SealedHeader) -> Result<(), CommitFailed> {
        Ok(())
    }
}

/// The same bytes in every run, and none that tell of others.
fn nonce() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let hash = Sha256::digest(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    hash.first_chunk().copied().unwrap()
}

fn random() -> u32 {
    u32::from_be_bytes(nonce().first_chunk().copied().unwrap())
}

/// Processor time of this thread, in nanoseconds.
fn processor() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse().unwrap()
}
