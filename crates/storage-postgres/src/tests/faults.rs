//! What the server and the network do wrong becomes our words, and costs no more than it must.

use std::time::{Duration, Instant};

use magistrate_model::{Change, EntityData, Revision};
use magistrate_pap::{Changes, CommitError, StoreError};
use magistrate_pdp::{DecisionFilter, DecisionHistory, HistoryError, LoadError, Page, PolicySource};
use magistrate_testkit::postgres::{Cluster, Options, Proxy};
use magistrate_testkit::store_suite::commit;
use magistrate_testkit::store_suite::sample::{authorship, uid};

use super::fresh::{self, Fresh};
use crate::connect::Connector;
use crate::fault::Fault;
use crate::policy::Commit;
use crate::{Database, OpenError, PostgresStore};

fn put(name: &str) -> Change {
    Change::PutEntity(EntityData::bare(uid(name)))
}

async fn connect(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::connect(&Database::new(url).unwrap()).await
}

/// A store that is reached by way of a proxy.
async fn behind(proxy: &Proxy) -> Fresh {
    let created = fresh::created(&Cluster::shared()).await;
    let store = connect(&proxy.url(&fresh::login(&created))).await.unwrap();
    Fresh { created, store }
}

fn proxy() -> Proxy {
    Proxy::start(Cluster::shared().address())
}

#[tokio::test]
async fn codes_become_our_words() {
    let fresh = Fresh::new().await;
    let mut connection = Connector::new(&Database::new(&fresh.url()).unwrap()).connect().await.unwrap();
    for (code, expected) in [
        ("08006", Fault::Unreachable),
        ("23505", Fault::Constraint),
        ("23514", Fault::Constraint),
        ("25006", Fault::ReadOnly),
        ("26000", Fault::PoolerWithoutSetting),
        ("42P05", Fault::PoolerWithoutSetting),
        ("28P01", Fault::Denied),
        ("28000", Fault::Denied),
        ("3D000", Fault::MissingDatabase),
        ("40001", Fault::LockTimeout),
        ("40P01", Fault::LockTimeout),
        ("42501", Fault::Forbidden),
        ("42P01", Fault::NotMigrated),
        ("42883", Fault::NotMigrated),
        ("53100", Fault::DiskFull),
        ("53200", Fault::OutOfMemory),
        ("53300", Fault::Exhausted),
        ("55P03", Fault::LockTimeout),
        ("57014", Fault::Timeout),
        ("57P01", Fault::ServerShutdown),
        ("57P03", Fault::Starting),
        ("58030", Fault::InputOutput),
        ("MG002", Fault::Conflict),
        ("MG003", Fault::NoPartition),
        ("MG004", Fault::Constraint),
        ("XX000", Fault::Unexpected),
        ("XX001", Fault::Damaged),
        ("XX002", Fault::Damaged),
    ] {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'the driver''s words' USING ERRCODE = '{code}'; END $$");
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err();
        let fault = Fault::of(&error);
        assert_eq!(fault, expected, "{code}");
        assert!(!fault.to_string().contains("words"));
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_what_to_do() {
    let cluster = Cluster::shared();
    let created = fresh::created(&cluster).await;
    let url = fresh::login(&created);
    let empty = cluster.database(None);
    let (user, password) = fresh::USER;
    let cases = [
        (url.replace(created.name(), "nowhere"), "does not exist"),
        (url.replace(user, "nobody"), "does not let this user in"),
        (created.login(user, "wrong"), "does not let this user in"),
        (empty.login(user, password), "never migrated"),
        (
            url.replace("127.0.0.1", "127.0.0.1:1").replace(&format!(":1:{}", cluster.address().port()), ":1"),
            "cannot be reached",
        ),
        ("postgres:///m?host=/nowhere".to_owned(), "missing"),
        ("postgres://u@nowhere.invalid/m".to_owned(), "cannot be reached"),
    ];
    for (url, word) in cases {
        let refused = connect(&url).await.unwrap_err().to_string();
        assert!(refused.contains(word) && refused.contains('`'), "{url}: {refused}");
    }
}

#[tokio::test]
async fn a_role_without_the_right_is_told_so() {
    let created = fresh::created(&Cluster::shared()).await;
    let service = connect(&created.login("store_kit_app", fresh::USER.1)).await.unwrap();
    let refused = service.commit(Revision::ZERO, &[put("User::ana")], &authorship()).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Store(StoreError::Unreachable(why)) if why.contains("may not")),
        "{refused}"
    );
    let history = service.page(&DecisionFilter::default(), Page::NewestFirst(None), 1).await;
    assert!(matches!(&history, Err(HistoryError::Unreachable(why)) if why.contains("may not")), "{history:?}");
    service.standing().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_end_is_lost_is_found_out_about() {
    let proxy = proxy();
    let fresh = behind(&proxy).await;
    for (before, expected) in [(false, 1), (true, 1), (false, 2)] {
        let base = fresh.store.standing().await.unwrap().head.revision;
        // Reads end in the same way: the trap is set when the last of them is over.
        let (changes, why) = ([put(&format!("User::u{expected}-{before}"))], authorship());
        let commit = Commit::prepare(fresh.store.administration(), base, &changes, &why).await.unwrap();
        match before {
            true => proxy.reset_before(b"COMMIT\0"),
            false => proxy.reset_after(b"COMMIT\0"),
        }
        let made = commit.make(fresh.store.administration()).await;
        match before {
            false => assert_eq!(made, Ok(Revision::new(expected))),
            true => assert!(made.unwrap_err().to_string().contains("whether revision 2 was committed is not known")),
        }
        assert_eq!(fresh.store.standing().await.unwrap().head.revision, Revision::new(expected));
    }
    assert_eq!(proxy.sprung(), 3);
}

/// Another revision at the same number is not taken for one's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_overtaken_does_not_pass_for_done() {
    let proxy = proxy();
    let fresh = behind(&proxy).await;
    let prepare = |name: &str| {
        let (changes, store) = ([put(name)], fresh.store.clone());
        async move { Commit::prepare(store.administration(), Revision::ZERO, &changes, &authorship()).await.unwrap() }
    };
    let (one, two) = (prepare("User::one").await, prepare("User::two").await);
    let direct = connect(&fresh.url()).await.unwrap();
    proxy.reset_before(b"COMMIT\0");
    let (made, overtaking) = tokio::join!(one.make(fresh.store.administration()), async {
        // Once the transaction is gone.
        let began = Instant::now();
        while proxy.sprung() == 0 {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        two.make(direct.administration()).await
    });
    assert_eq!(overtaking, Ok(Revision::new(1)));
    assert_eq!(made, Err(CommitError::Moved { expected: Revision::ZERO, found: Revision::new(1) }));
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_connections_that_died_are_replaced_unnoticed() {
    let fresh = Fresh::new().await;
    fresh.store.load().await.unwrap();
    commit(&fresh, &[put("User::ana")]).await.unwrap();
    let name = fresh.created.name().to_owned();
    assert!(fresh.created.cluster().terminate_backends(&format!("datname = '{name}'")) >= 2);
    fresh.store.standing().await.unwrap();
    commit(&fresh, &[put("User::bob")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_says_nothing_costs_a_bounded_time_and_no_connection() {
    let proxy = proxy();
    let fresh = behind(&proxy).await;
    fresh.store.standing().await.unwrap();
    proxy.black_hole();
    for _ in 0..3 {
        let began = Instant::now();
        let failed = fresh.store.standing().await;
        assert!(matches!(&failed, Err(LoadError::Unreachable(why)) if why.contains("in time")), "{failed:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    proxy.heal();
    fresh.store.standing().await.unwrap();
    commit(&fresh, &[put("User::ana")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_callers_than_connections_wait_their_turn() {
    let fresh = Fresh::new().await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = fresh.store.clone();
        asked.spawn(async move { (store.standing().await.unwrap(), store.load().await.unwrap()) });
    }
    assert_eq!(asked.join_all().await.len(), 50);
    let name = fresh.created.name();
    let open =
        format!("SELECT count(*) <= 4 FROM pg_stat_activity WHERE datname = '{name}' AND application_name <> 'psql'");
    assert_eq!(fresh.created.sql(&open), "t");
    fresh.store.close().await;
    fresh.store.standing().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_outlasts_its_server() {
    let cluster = Cluster::private(&Options { durable: true, ..Options::default() });
    let fresh = Fresh::on(&cluster).await;
    commit(&fresh, &[put("User::ana")]).await.unwrap();
    let before = fresh.store.load().await.unwrap();
    cluster.kill_9();
    let failed = fresh.store.load().await;
    assert!(matches!(&failed, Err(LoadError::Unreachable(_))), "{failed:?}");
    cluster.start();
    assert_eq!(fresh.store.load().await, Ok(before));
}
