//! The sink says only what is so, whatever happens on the way to the server.

use std::time::{Duration, Instant};

use magistrate_ledger::{Draft, SealedRecord, Sink, StreamId};
use magistrate_model::Span;
use magistrate_testkit::postgres::{Cluster, Disk, Options, Proxy};
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};
use magistrate_testkit::{Straight, instant, nonce};

use super::fresh::Fresh;
use crate::connect::Connector;
use crate::{Database, PostgresSink};

fn decided(count: i64) -> Vec<Decided> {
    let start = instant("2026-06-01T12:00:00Z");
    (0..count).map(|n| Decided::at(start.plus(Span::millis(n)))).collect()
}

fn drafts(count: i64) -> Vec<Draft> {
    decided(count).iter().map(Decided::draft).collect()
}

fn records(number: u8, count: i64) -> Vec<SealedRecord> {
    sealed(stream(number), &decided(count))
}

/// A sink that reaches a store's database by way of a proxy.
async fn by_way_of(proxy: &Proxy, fresh: &Fresh) -> PostgresSink {
    let database = Database::new(&proxy.url(&fresh.url())).unwrap();
    PostgresSink::connect(Connector::new(&database)).await.unwrap()
}

fn places(receipts: &[SealedRecord]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.id.seq).collect()
}

/// Every acknowledged record is stored exactly once, and nothing else is acknowledged than what is stored.
fn assert_stored(fresh: &Fresh, acknowledged: &[SealedRecord]) {
    let row =
        |it: &SealedRecord| format!("('\\x{}'::bytea, {}::bigint, '\\x{}'::bytea)", it.id.stream, it.id.seq, it.leaf);
    let rows: Vec<String> = acknowledged.iter().map(row).collect();
    let otherwise = fresh.created.sql(&format!(
        "SELECT a.seq, count(d.seq) FROM (VALUES {}) a (stream, seq, leaf)
            LEFT JOIN audit.decision d ON d.stream = a.stream AND d.seq = a.seq AND d.leaf = a.leaf
        GROUP BY a.stream, a.seq HAVING count(d.seq) <> 1",
        rows.join(", ")
    ));
    assert_eq!(otherwise, "", "places that are not stored exactly once, and how often they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_a_failure_and_nothing_is_kept_twice() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(fresh.created.cluster().address());
    let mut writer = Straight::new(by_way_of(&proxy, &fresh).await, stream(1));
    let mut acknowledged = writer.append(drafts(2)).await.unwrap();
    let mark = stream(1);
    // The stream's bytes pass with the values, once the statement is prepared.
    proxy.reset_after(mark.as_bytes());
    writer.append(drafts(3)).await.unwrap_err();
    assert_eq!(proxy.sprung(), 1);
    assert_eq!(fresh.stored(stream(1)), [1, 2, 3, 4, 5], "it was committed all the same");
    acknowledged.extend(writer.append(drafts(2)).await.unwrap());
    proxy.reset_before(mark.as_bytes());
    writer.append(drafts(3)).await.unwrap_err();
    assert_eq!(proxy.sprung(), 2);
    acknowledged.extend(writer.append(drafts(1)).await.unwrap());
    let all: Vec<u64> = (1..=11).collect();
    assert_eq!((places(&acknowledged), fresh.stored(stream(1))), (all.clone(), all));
    assert_stored(&fresh, &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_place_is_told_as_it_is_after_a_reset() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(fresh.created.cluster().address());
    let mut sink = by_way_of(&proxy, &fresh).await;
    let records = records(1, 4);
    sink.commit(&records[..1]).await.unwrap();
    proxy.reset_after(stream(1).as_bytes());
    sink.commit(&records[1..3]).await.unwrap_err();
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(3)));
    proxy.reset_before(stream(1).as_bytes());
    sink.commit(&records[3..]).await.unwrap_err();
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(3)));
    sink.commit(&records).await.unwrap();
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_process_that_is_killed_costs_one_batch() {
    let fresh = Fresh::new().await;
    let mut writer = Straight::new(fresh.store.sink().await.unwrap(), stream(1));
    let mut acknowledged = writer.append(drafts(2)).await.unwrap();
    let name = fresh.created.name().to_owned();
    assert!(fresh.created.cluster().terminate_backends(&format!("datname = '{name}'")) > 0);
    let failed = writer.append(drafts(2)).await.unwrap_err().to_string();
    assert!(failed.contains("cannot append 2 decision records"), "{failed}");
    acknowledged.extend(writer.append(drafts(2)).await.unwrap());
    assert_eq!(fresh.stored(stream(1)), [1, 2, 3, 4, 5, 6]);
    assert_stored(&fresh, &acknowledged);
}

/// What is only checked at the end of the transaction fails after the statement has been answered.
#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_committed() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    let records = records(1, 3);
    sink.commit(&records[..1]).await.unwrap();
    fresh.created.sql(
        "CREATE FUNCTION public.too_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late'; END $$;
         CREATE CONSTRAINT TRIGGER too_late AFTER UPDATE ON audit.stream DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION public.too_late();",
    );
    sink.commit(&records[1..]).await.unwrap_err();
    fresh.created.sql("DROP TRIGGER too_late ON audit.stream");
    assert_eq!(sink.last_committed(stream(1)).await, Ok(Some(1)));
    assert_eq!(fresh.stored(stream(1)), [1]);
}

#[tokio::test]
async fn other_bytes_at_a_place_are_refused_loudly() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    sink.commit(&records(1, 2)).await.unwrap();
    let refused = sink.commit(&records(1, 3)).await.unwrap_err();
    let named = format!("place 1 of stream {}", stream(1));
    assert!(refused.why.contains(&named) && refused.why.contains("who else writes"), "{}", refused.why);
    assert_eq!(fresh.stored(stream(1)), [1, 2]);
}

#[tokio::test]
async fn a_day_far_from_today_is_refused_with_what_to_do() {
    let fresh = Fresh::new().await;
    let far = [Decided::at(instant("2056-06-01T12:00:00Z"))];
    let refused = fresh.store.sink().await.unwrap().commit(&sealed(stream(1), &far)).await.unwrap_err();
    assert!(refused.why.contains("2056-06-01") && refused.why.contains("clocks"), "{}", refused.why);
}

/// A batch of several streams is one transaction as well.
#[tokio::test]
async fn records_of_several_streams_are_kept_together_or_not_at_all() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    let (one, two) = (records(1, 2), records(2, 2));
    sink.commit(&two[..1]).await.unwrap();
    let other = records(2, 1);
    let mixed = [&one[..], &other[..]].concat();
    sink.commit(&mixed).await.unwrap_err();
    assert_eq!(fresh.stored(stream(1)), [0; 0]);
    sink.commit(&[&one[..], &two[..]].concat()).await.unwrap();
    assert_eq!((fresh.stored(stream(1)), fresh.stored(stream(2))), (vec![1, 2], vec![1, 2]));
}

/// Two processes with one stream never mix: whoever comes second is told.
#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_on_one_stream_never_share_a_place() {
    let fresh = Fresh::new().await;
    let write = async || {
        let mut writer = Straight::new(fresh.store.sink().await.unwrap(), stream(1));
        let (mut acknowledged, mut refused) = (Vec::new(), 0);
        for _ in 0..30 {
            match writer.append(drafts(3)).await {
                Ok(receipts) => acknowledged.extend(receipts),
                Err(failed) => {
                    assert!(failed.conflict, "{failed}");
                    refused += 1;
                    writer = Straight::new(fresh.store.sink().await.unwrap(), StreamId::new(nonce()));
                }
            }
        }
        (acknowledged, refused)
    };
    let ((one, refused), (two, refused_too)) = tokio::join!(write(), write());
    let ids = one.iter().chain(&two).map(|record| record.id);
    let mut all: Vec<_> = ids.map(|id| (*id.stream.as_bytes(), id.seq)).collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "each place once: {all:?}");
    let stored = fresh.created.sql("SELECT encode(stream, 'hex'), seq FROM audit.decision ORDER BY stream, seq");
    let hex = |(stream, seq): &([u8; 16], u64)| format!("{}|{seq}", StreamId::new(*stream));
    assert_eq!(all.iter().map(hex).collect::<Vec<_>>(), stored.lines().collect::<Vec<_>>());
    assert!(refused + refused_too > 0, "they met");
}

/// The question for the last place waits for a batch that is being committed, the first of its stream included.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_place_waits_for_a_commit_under_way() {
    for earlier in [0, 1] {
        let fresh = Fresh::new().await;
        let records = records(1, 2);
        let mut sink = fresh.store.sink().await.unwrap();
        sink.commit(&records[..earlier]).await.unwrap();
        let database = Database::new(&fresh.url()).unwrap();
        let mut slow = Connector::new(&database).connect().await.unwrap();
        crate::connect::run(&mut slow, "BEGIN").await.unwrap();
        crate::decisions::append_alone(&mut slow, &records).await.unwrap();
        let asked = tokio::spawn(async move { sink.last_committed(stream(1)).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!asked.is_finished());
        crate::connect::run(&mut slow, "COMMIT").await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(Some(2)), "after {earlier}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering_costs_a_bounded_time() {
    let cluster = Cluster::private(&Options::default());
    let fresh = Fresh::on(&cluster).await;
    let mut writer = Straight::new(fresh.store.sink().await.unwrap(), stream(1));
    let mut acknowledged = writer.append(drafts(1)).await.unwrap();
    cluster.pause();
    for _ in 0..3 {
        let began = Instant::now();
        writer.append(drafts(1)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(4_500), "{:?}", began.elapsed());
    }
    cluster.resume();
    acknowledged.extend(persist(&mut writer).await);
    assert_stored(&fresh, &acknowledged);
}

/// While the server is away, most calls fail at once; when it is back, appending goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_not_waited_for() {
    let cluster = Cluster::private(&Options::default());
    let fresh = Fresh::on(&cluster).await;
    let mut writer = Straight::new(fresh.store.sink().await.unwrap(), stream(1));
    let mut acknowledged = writer.append(drafts(1)).await.unwrap();
    for crash in [false, true] {
        if crash {
            cluster.kill_9();
        } else {
            cluster.stop();
        }
        let began = Instant::now();
        for _ in 0..1_000 {
            let failed = writer.append(drafts(1)).await.unwrap_err().to_string();
            assert!(failed.contains("server"), "{failed}");
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        cluster.start();
        acknowledged.extend(persist(&mut writer).await);
    }
    assert_stored(&fresh, &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "where no disk can be mounted, the test says that it did nothing")]
async fn a_full_disk_refuses_batches_and_nothing_else() {
    let disk = match Disk::of_mebibytes(200) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED a_full_disk_refuses_batches_and_nothing_else: {why}"),
    };
    let cluster = Cluster::private(&Options { data_on: Some(disk.path().to_owned()), ..Options::default() });
    let fresh = Fresh::on(&cluster).await;
    let mut writer = Straight::new(fresh.store.sink().await.unwrap(), stream(1));
    let mut acknowledged = writer.append(drafts(3)).await.unwrap();
    disk.fill();
    let failed = loop {
        match writer.append(drafts(1_000)).await {
            Ok(receipts) => acknowledged.extend(receipts),
            Err(failed) => break failed.to_string(),
        }
    };
    assert!(failed.contains("1000 decision records") && failed.contains("disk is full"), "{failed}");
    disk.free();
    acknowledged.extend(writer.append(drafts(3)).await.unwrap());
    assert_eq!(places(&acknowledged), fresh.stored(stream(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_asked_ever_more_rarely() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(fresh.created.cluster().address());
    let mut sink = by_way_of(&proxy, &fresh).await;
    proxy.refuse();
    proxy.reset();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        sink.commit(&records(1, 1)).await.unwrap_err();
    }
    // After the one that was reset: at once, and after 50, 100, 200, 400 ms.
    let asked = proxy.accepted() - 1;
    assert!((3..=6).contains(&asked), "{asked}");
    proxy.heal();
    let began = Instant::now();
    while sink.commit(&records(1, 1)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(4));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn persist(writer: &mut Straight<PostgresSink>) -> Vec<SealedRecord> {
    let began = Instant::now();
    loop {
        match writer.append(drafts(1)).await {
            Ok(receipts) => return receipts,
            Err(failed) => assert!(began.elapsed() < Duration::from_secs(20), "{failed}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_dropped_leaves_nothing_half_done() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    let records = records(1, 300);
    for yields in 0..12 {
        let batch = &records[..(yields + 1) * 20];
        tokio::select! {
            biased;
            _ = sink.commit(batch) => {}
            () = async { for _ in 0..yields { tokio::task::yield_now().await } } => {}
        }
        let last = sink.last_committed(stream(1)).await.unwrap().unwrap_or(0);
        assert_eq!(fresh.stored(stream(1)).len() as u64, last);
        sink.commit(batch).await.unwrap();
    }
    assert_eq!(fresh.stored(stream(1)).len(), 240);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_connections_says_so_and_is_used_once_it_has() {
    let cluster = Cluster::private(&Options { max_connections: Some(10), ..Options::default() });
    let fresh = Fresh::on(&cluster).await;
    // Of ten, three are kept for superusers, and used by nobody else.
    cluster.sql("postgres", "CREATE ROLE crowd LOGIN PASSWORD 'crowd' IN ROLE pg_read_all_data");
    let crowd = Database::new(&fresh.created.login("crowd", "crowd")).unwrap();
    let mut held = Vec::new();
    let refused = loop {
        match PostgresSink::connect(Connector::new(&crowd)).await {
            Ok(sink) => held.push(sink),
            Err(fault) => break fault,
        }
    };
    assert_eq!(refused, crate::fault::Fault::Exhausted);
    let mut waiting = held.pop().unwrap();
    assert!(held.len() > 2);
    waiting.lose_connection();
    let again = PostgresSink::connect(Connector::new(&crowd)).await.unwrap();
    let failed = waiting.last_committed(stream(1)).await.unwrap_err();
    assert!(failed.why.contains("max_connections"), "{}", failed.why);
    drop((again, held));
    let began = Instant::now();
    while waiting.last_committed(stream(1)).await.is_err_and(|failed| failed.why.contains("max_connections")) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
