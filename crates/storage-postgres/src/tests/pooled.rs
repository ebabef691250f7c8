//! Behind a pooler that gives each transaction another server connection.

use std::time::Duration;

use magistrate_ledger::Sink;
use magistrate_model::{Change, EntityData, Revision};
use magistrate_pap::Changes;
use magistrate_pdp::PolicySource;
use magistrate_testkit::instant;
use magistrate_testkit::postgres::{Cluster, PgBouncer, PoolMode};
use magistrate_testkit::store_suite::StoreUnderTest;
use magistrate_testkit::store_suite::sample::{Decided, authorship, sealed, stream, uid};

use sqlx::{Connection, PgConnection};

use super::fresh::{self, Fresh};
use crate::{Database, PostgresSink, PostgresStore};

/// A store by way of a pooler.
#[derive(Debug)]
struct Pooled {
    pooler: PgBouncer,
    fresh: Fresh,
}

impl Pooled {
    async fn with(set: impl FnOnce(Database, &str) -> Database) -> Self {
        let cluster = Cluster::shared();
        let created = fresh::created(&cluster).await;
        let pooler = PgBouncer::start(&cluster, PoolMode::Transaction, &[fresh::USER]);
        let url = fresh::login(&created);
        let database = set(Database::new(&pooler.url(&url)).unwrap(), &url);
        let store = PostgresStore::connect(&database).await.unwrap();
        Self { pooler, fresh: Fresh { created, store } }
    }
}

impl StoreUnderTest for Pooled {
    type Store = PostgresStore;
    type Sink = PostgresSink;

    async fn fresh() -> Self {
        Self::with(|database, _| database.pooled(true)).await
    }

    fn store(&self) -> &PostgresStore {
        &self.fresh.store
    }

    async fn sink(&self) -> PostgresSink {
        self.fresh.store.sink().await.unwrap()
    }
}

magistrate_testkit::store_suite!(Pooled);

fn change() -> [Change; 1] {
    [Change::PutEntity(EntityData::bare(uid("User::ana")))]
}

#[tokio::test]
async fn nothing_is_left_behind_in_a_session() {
    let pooled = Pooled::fresh().await;
    let mut sink = pooled.sink().await;
    let decided = [Decided::at(instant("2026-06-01T12:00:00Z"))];
    sink.commit(&sealed(stream(1), &decided)).await.unwrap();
    pooled.store().commit(Revision::ZERO, &change(), &authorship()).await.unwrap();
    // Another client gets one of the same server connections.
    let url = pooled.pooler.url(&pooled.fresh.url());
    let mut other = PgConnection::connect(&url).await.unwrap();
    let left = "SELECT (SELECT count(*)::text FROM pg_prepared_statements)
        || current_setting('statement_timeout') || current_setting('lock_timeout')
        || current_setting('idle_in_transaction_session_timeout')";
    let mut transaction = other.begin().await.unwrap();
    let left: String = sqlx::query_scalar(left).persistent(false).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(left, "0000");
}

#[tokio::test]
async fn without_a_way_past_the_pooler_nothing_is_heard() {
    let pooled = Pooled::fresh().await;
    assert!(pooled.store().listen().await.unwrap().is_none());
}

#[tokio::test]
async fn past_the_pooler_revisions_are_heard() {
    let pooled = Pooled::with(|database, url| database.pooled(true).direct(url).unwrap()).await;
    let mut listener = pooled.store().listen().await.unwrap().unwrap();
    pooled.store().commit(Revision::ZERO, &change(), &authorship()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), listener.changed()).await.unwrap();
}

/// Prepared statements behind a pooler get lost, sooner or later; the setting to make is named.
#[tokio::test]
async fn a_pooler_without_the_setting_is_told_of() {
    let pooled = Pooled::with(|database, _| database).await;
    let mut told = Vec::new();
    for _ in 0..20 {
        let stores = (0..4).map(|_| pooled.store().clone());
        for store in stores {
            if let Err(failed) = store.standing().await {
                told.push(failed.to_string());
            }
        }
        // Server connections are taken anew, without the statements prepared on the old ones.
        pooled.pooler.console("RECONNECT");
    }
    assert!(told.iter().any(|why| why.contains("pooler = \"transaction\"")), "{told:?}");
}
