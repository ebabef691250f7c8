//! The functions that decisions are appended with, asked in SQL: shipping and partitions.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::setup::Installed;
use crate::{HardeningLevel, Role};

const DAY: i64 = 86_400_000_000;

/// One record to ship; every column has a value that differs from all others.
#[derive(Debug, Clone, PartialEq)]
struct Shipped {
    seq: i64,
    leaf: Vec<u8>,
    recorded_at: i64,
    texts: [&'static str; 6],
    request_id: Option<&'static str>,
    body: Vec<u8>,
}

impl Shipped {
    fn new(seq: i64, recorded_at: i64) -> Self {
        let texts = ["database", "User::\"ä\"", "Action::\"a\"", "Doc::\"d\"", "allow", "permitted"];
        Self {
            seq,
            leaf: vec![u8::try_from(seq % 256).unwrap(); 32],
            recorded_at,
            texts,
            request_id: None,
            body: vec![1],
        }
    }
}

/// A database and somebody who ships to it.
struct Shipping {
    installed: Installed,
    app: PgConnection,
    now: i64,
}

impl Shipping {
    async fn new() -> Self {
        let installed = Installed::at(HardeningLevel::Standard).await;
        // The template may be from before midnight.
        installed.created.sql("SELECT audit.prepare_days()");
        let app = PgConnection::connect(&installed.login(Role::App)).await.unwrap();
        // Noon: an hour before is the same day.
        let now = "SELECT (extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC')) * 1000000)::bigint";
        let now = installed.created.sql(now).parse::<i64>().unwrap() + DAY / 2;
        Self { installed, app, now }
    }

    async fn ship(&mut self, stream: u8, rows: &[Shipped]) -> Result<i64, String> {
        ship(&mut self.app, stream, rows).await
    }

    fn at(&self, seq: i64, days: i64) -> Shipped {
        Shipped::new(seq, self.now + days * DAY)
    }

    fn count(&self) -> String {
        self.installed.created.sql("SELECT count(*) FROM audit.decision")
    }
}

async fn ship(connection: &mut PgConnection, stream: u8, rows: &[Shipped]) -> Result<i64, String> {
    let text = |n: usize| rows.iter().map(|row| row.texts[n]).collect::<Vec<_>>();
    let shipped = sqlx::query_scalar("SELECT audit.ship($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
        .bind(vec![stream; 16])
        .bind(rows.iter().map(|row| row.seq).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.leaf.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
        .bind(text(0))
        .bind(text(1))
        .bind(text(2))
        .bind(text(3))
        .bind(text(4))
        .bind(text(5))
        .bind(rows.iter().map(|row| row.request_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.body.clone()).collect::<Vec<_>>());
    shipped.fetch_one(connection).await.map_err(|error| code(&error))
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

async fn last_seq(connection: &mut PgConnection, stream: u8) -> Option<i64> {
    sqlx::query_scalar("SELECT audit.last_seq($1)").bind(vec![stream; 16]).fetch_one(connection).await.unwrap()
}

fn refused(code: &str) -> Result<i64, String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn shipping_again_is_harmless() {
    let mut shipping = Shipping::new().await;
    let rows = [shipping.at(1, 0), shipping.at(2, 0), shipping.at(3, 0)];
    assert_eq!(last_seq(&mut shipping.app, 1).await, None);
    assert_eq!(shipping.ship(1, &rows).await, Ok(3));
    assert_eq!(shipping.ship(1, &rows).await, Ok(0));
    assert_eq!(shipping.ship(1, &rows[1..]).await, Ok(0));
    assert_eq!(shipping.ship(1, &[shipping.at(2, 0), shipping.at(3, 0), shipping.at(4, 0)]).await, Ok(1));
    assert_eq!(shipping.ship(1, &[]).await, Ok(0));
    assert_eq!((last_seq(&mut shipping.app, 1).await, shipping.count().as_str()), (Some(4), "4"));
}

#[tokio::test]
async fn any_column_that_differs_is_refused() {
    let mut shipping = Shipping::new().await;
    let stored = Shipped { request_id: Some("r"), ..shipping.at(2, 0) };
    shipping.ship(1, &[shipping.at(1, 0), stored.clone(), shipping.at(3, 0)]).await.unwrap();
    let mut others = vec![
        Shipped { leaf: vec![9; 32], ..stored.clone() },
        Shipped { recorded_at: stored.recorded_at + 1, ..stored.clone() },
        Shipped { recorded_at: stored.recorded_at - DAY, ..stored.clone() },
        Shipped { request_id: None, ..stored.clone() },
        Shipped { request_id: Some("q"), ..stored.clone() },
        Shipped { body: vec![1, 0], ..stored.clone() },
    ];
    let instead = ["disk", "User::\"a\"", "Action::\"b\"", "Doc::\"D\"", "deny", "no_permit"];
    others.extend((0..6).map(|column| {
        let mut other = stored.clone();
        other.texts[column] = instead[column];
        other
    }));
    for other in others {
        assert_eq!(shipping.ship(1, &[shipping.at(1, 0), other.clone()]).await, refused("MG002"), "{other:?}");
        // Neither is what comes after it in the batch stored.
        assert_eq!(shipping.ship(1, &[other, shipping.at(4, 0)]).await, refused("MG002"));
    }
    assert_eq!(shipping.ship(1, &[stored]).await, Ok(0));
    assert_eq!(shipping.count(), "3");
}

#[tokio::test]
async fn gaps_are_accepted_and_never_filled() {
    let mut shipping = Shipping::new().await;
    assert_eq!(shipping.ship(1, &[shipping.at(5, 0), shipping.at(9, 0)]).await, Ok(2));
    for seq in [1, 4, 6, 8] {
        assert_eq!(shipping.ship(1, &[shipping.at(seq, 0)]).await, refused("MG002"), "{seq}");
    }
    assert_eq!(shipping.ship(1, &[shipping.at(100, 0)]).await, Ok(1));
    assert_eq!(last_seq(&mut shipping.app, 1).await, Some(100));
}

#[tokio::test]
async fn streams_do_not_know_each_other() {
    let mut shipping = Shipping::new().await;
    assert_eq!(shipping.ship(1, &[shipping.at(1, 0), shipping.at(2, 0)]).await, Ok(2));
    let other = Shipped { body: vec![7], ..shipping.at(1, 0) };
    assert_eq!(shipping.ship(2, &[other]).await, Ok(1));
    assert_eq!((last_seq(&mut shipping.app, 1).await, last_seq(&mut shipping.app, 2).await), (Some(2), Some(1)));
}

#[tokio::test]
async fn batch_spans_days_and_comes_late_or_early() {
    let mut shipping = Shipping::new().await;
    let two_days = [shipping.at(1, -1), shipping.at(2, 0), shipping.at(3, -1)];
    assert_eq!(shipping.ship(1, &two_days).await, Ok(3));
    assert_eq!(shipping.ship(1, &two_days).await, Ok(0));
    for (seq, days) in [(4, -30), (5, -400), (6, 8)] {
        assert_eq!(shipping.ship(1, &[shipping.at(seq, days)]).await, Ok(1), "{days}");
        assert_eq!(shipping.ship(1, &[shipping.at(seq, days)]).await, Ok(0), "{days}");
    }
    for days in [-401, 9, -20_000, 30_000] {
        assert_eq!(shipping.ship(1, &[shipping.at(7, days)]).await, refused("MG003"), "{days}");
    }
    assert_eq!(shipping.ship(1, &[Shipped::new(7, -1)]).await, refused("MG003"));
    // Whoever knows better makes the partition.
    let old = "SELECT audit.prepare_day((now() AT TIME ZONE 'UTC')::date - 401)";
    assert_eq!(shipping.installed.created.sql(old), "t");
    assert_eq!(shipping.ship(1, &[shipping.at(7, -401)]).await, Ok(1));
}

#[tokio::test]
async fn batches_that_are_none_are_refused() {
    let mut shipping = Shipping::new().await;
    let at = |seq| Shipped::new(seq, 0);
    assert_eq!(shipping.ship(1, &[at(2), at(1)]).await, refused("MG002"));
    assert_eq!(shipping.ship(1, &[at(1), at(1)]).await, refused("MG002"));
    let now = shipping.now;
    assert_eq!(shipping.ship(1, &[Shipped::new(0, now)]).await, refused("MG002"));
    let mut other = Shipped::new(1, now);
    other.texts[0] = "memory";
    // The name has no letter, and the column must have one.
    assert_eq!(shipping.ship(1, &[other]).await, refused("23502"));
    let short = Shipped { leaf: vec![1; 31], ..Shipped::new(1, now) };
    assert_eq!(shipping.ship(1, &[short]).await, refused("23514"));
    let uneven =
        "SELECT audit.ship(decode(repeat('01', 16), 'hex'), ARRAY[1::bigint, 2], ARRAY[sha256('')], ARRAY[0::bigint],
        ARRAY['disk'], ARRAY['p'], ARRAY['a'], ARRAY['r'], ARRAY['deny'], ARRAY['c'], ARRAY[NULL::text], NULL)";
    let error = sqlx::raw_sql(uneven).execute(&mut shipping.app).await.unwrap_err();
    assert_eq!(code(&error), "22023");
    assert_eq!(shipping.count(), "0");
}

#[tokio::test]
async fn acknowledgement_waits_for_the_disk_whatever_the_session_says() {
    let mut shipping = Shipping::new().await;
    for (asked, meant) in [("off", "on"), ("local", "on"), ("remote_write", "remote_write"), ("on", "on")] {
        let row = shipping.at(i64::from(meant.len() == 2) + i64::try_from(asked.len()).unwrap() * 10, 0);
        let set = format!("BEGIN; SET LOCAL synchronous_commit = {asked}");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut shipping.app).await.unwrap();
        let shipped = shipping.ship(u8::try_from(asked.len()).unwrap(), &[row]).await;
        let found: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut shipping.app).await.unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut shipping.app).await.unwrap();
        assert_eq!((shipped, found.as_str()), (Ok(1), meant));
    }
}

/// Waits until so many sessions of the database wait for a lock.
async fn until_waiting(installed: &Installed, sessions: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..500 {
        if installed.created.sql(waiting) == sessions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {sessions} sessions wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_place_waits_for_the_first_commit_in_flight() {
    let mut shipping = Shipping::new().await;
    sqlx::raw_sql("BEGIN").execute(&mut shipping.app).await.unwrap();
    assert_eq!(shipping.ship(1, &[shipping.at(1, 0)]).await, Ok(1));
    let url = shipping.installed.login(Role::App);
    let asking = async {
        let mut other = PgConnection::connect(&url).await.unwrap();
        last_seq(&mut other, 1).await
    };
    let committing = async {
        until_waiting(&shipping.installed, "1").await;
        sqlx::raw_sql("COMMIT").execute(&mut shipping.app).await.unwrap();
    };
    let (found, ()) = tokio::join!(asking, committing);
    assert_eq!(found, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_ship_the_same_store_it_once() {
    let mut shipping = Shipping::new().await;
    sqlx::raw_sql("BEGIN").execute(&mut shipping.app).await.unwrap();
    // A day without a partition: both would make it.
    let rows = [shipping.at(1, -20), shipping.at(2, -20)];
    assert_eq!(shipping.ship(1, &rows).await, Ok(2));
    let url = shipping.installed.login(Role::App);
    let again = async |stream: u8| {
        let mut other = PgConnection::connect(&url).await.unwrap();
        ship(&mut other, stream, &rows).await
    };
    let committing = async {
        until_waiting(&shipping.installed, "2").await;
        sqlx::raw_sql("COMMIT").execute(&mut shipping.app).await.unwrap();
    };
    let (same, beside, ()) = tokio::join!(again(1), again(2), committing);
    assert_eq!((same, beside, shipping.count().as_str()), (Ok(0), Ok(2), "4"));
}

#[tokio::test]
async fn partitions_are_made_beside_a_long_reader_and_writer() {
    let mut shipping = Shipping::new().await;
    let url = shipping.installed.created.superuser_url();
    let mut reader = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM audit.decision").execute(&mut reader).await.unwrap();
    let mut writer = PgConnection::connect(&shipping.installed.login(Role::App)).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut writer).await.unwrap();
    assert_eq!(ship(&mut writer, 2, &[shipping.at(1, 0)]).await, Ok(1));
    sqlx::raw_sql("BEGIN").execute(&mut shipping.app).await.unwrap();
    let made: i32 = sqlx::query_scalar("SELECT audit.prepare_days(9)").fetch_one(&mut shipping.app).await.unwrap();
    assert_eq!(made, 2);
    // And not committed yet, nobody is held up.
    sqlx::raw_sql("SELECT count(*) FROM audit.decision").execute(&mut reader).await.unwrap();
    assert_eq!(ship(&mut writer, 2, &[shipping.at(2, 0)]).await, Ok(1));
    for connection in [&mut reader, &mut writer, &mut shipping.app] {
        sqlx::raw_sql("COMMIT").execute(connection).await.unwrap();
    }
    assert_eq!(shipping.count(), "2");
}

#[tokio::test]
async fn making_partitions_gives_up_when_it_must_wait() {
    let mut shipping = Shipping::new().await;
    let mut holder = PgConnection::connect(&shipping.installed.created.superuser_url()).await.unwrap();
    let lock = "BEGIN; LOCK TABLE audit.decision IN SHARE UPDATE EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    // Partitions that are there need no lock.
    sqlx::raw_sql("SELECT audit.prepare_days()").execute(&mut shipping.app).await.unwrap();
    let error = sqlx::raw_sql("SELECT audit.prepare_days(9)").execute(&mut shipping.app).await.unwrap_err();
    assert_eq!(code(&error), "55P03");
    let error = sqlx::raw_sql("SELECT audit.prepare_days(-1)").execute(&mut shipping.app).await.unwrap_err();
    assert_eq!(code(&error), "22023");
}

#[tokio::test]
async fn detached_partition_is_told_not_made_again() {
    let mut shipping = Shipping::new().await;
    let installed = &shipping.installed;
    let today = installed.created.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')");
    installed.created.sql(&format!("ALTER TABLE audit.decision DETACH PARTITION audit.decision_{today}"));
    assert_eq!(shipping.ship(1, &[shipping.at(1, 0)]).await, refused("MG003"));
}

#[tokio::test]
async fn ids_compare_byte_by_byte() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let other = "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_collation l ON l.oid = a.attcollation
        WHERE n.nspname IN ('magistrate', 'audit') AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
            AND l.collname <> 'C' AND c.relname NOT IN ('_sqlx_migrations', 'decision_readable')";
    assert_eq!(installed.created.sql(other), "");
}
