//! A fresh store in a database of its own.

use magistrate_ledger::StreamId;
use magistrate_testkit::postgres::{Cluster, Database as Created};

use crate::{Database, PostgresStore};

const SQL: [&str; 10] = [
    include_str!("../../../../migrations/postgres/0001_create_revision.sql"),
    include_str!("../../../../migrations/postgres/0002_create_policy_set.sql"),
    include_str!("../../../../migrations/postgres/0003_create_entity.sql"),
    include_str!("../../../../migrations/postgres/0004_create_assignment.sql"),
    include_str!("../../../../migrations/postgres/0005_create_caller.sql"),
    include_str!("../../../../migrations/postgres/0006_create_node.sql"),
    include_str!("../../../../migrations/postgres/0007_create_decision.sql"),
    include_str!("../../../../migrations/postgres/0008_create_partition_functions.sql"),
    include_str!("../../../../migrations/postgres/0009_create_ship.sql"),
    include_str!("../../../../migrations/postgres/0010_create_commit.sql"),
];

/// A fresh store in a database that goes with it.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) created: Created,
    pub(crate) store: PostgresStore,
}

impl Fresh {
    pub(crate) async fn new() -> Self {
        Self::on(&Cluster::shared()).await
    }

    /// In a cluster of one's own.
    pub(crate) async fn on(cluster: &Cluster) -> Self {
        let created = created(cluster).await;
        let store = PostgresStore::connect(&Database::new(&created.superuser_url()).unwrap()).await.unwrap();
        Self { created, store }
    }

    /// The places of a stream that are stored.
    pub(crate) fn stored(&self, stream: StreamId) -> Vec<u64> {
        let sql = format!("SELECT seq FROM audit.decision WHERE stream = '\\x{stream}' ORDER BY seq");
        self.created.sql(&sql).lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// A migrated database.
pub(crate) async fn created(cluster: &Cluster) -> Created {
    let fill = async |url: String| {
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        let text = format!("CREATE SCHEMA magistrate; CREATE SCHEMA audit; {}", SQL.join("\n"));
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        pool.close().await;
    };
    let template = cluster.template(&SQL.join("\n"), fill).await;
    cluster.database(Some(&template))
}
