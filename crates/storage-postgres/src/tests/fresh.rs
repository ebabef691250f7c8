//! A fresh store in a database of its own.

use magistrate_ledger::StreamId;
use magistrate_testkit::postgres::{Cluster, Database as Created};

use super::setup::{PASSWORD, migrated, options};
use crate::schema::{RIGHTS, STEPS};
use crate::{Database, HardeningLevel, PostgresStore, Role, RolePrefix};

/// A role that has the rights of the service, of administrators and of auditors, and no others.
const ALL: &str = "store_kit_all";

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
        let store = PostgresStore::connect(&Database::new(&login(&created)).unwrap()).await.unwrap();
        Self { created, store }
    }

    /// The URL of the role that does all that the store can do.
    pub(crate) fn url(&self) -> String {
        login(&self.created)
    }

    /// The places of a stream that are stored.
    pub(crate) fn stored(&self, stream: StreamId) -> Vec<u64> {
        let sql = format!("SELECT seq FROM audit.decision WHERE stream = '\\x{stream}' ORDER BY seq");
        self.created.sql(&sql).lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// The URL of the role that does all that the store can do.
pub(crate) fn login(created: &Created) -> String {
    created.login(ALL, PASSWORD)
}

/// The name and password of that role, for a pooler.
pub(crate) const USER: (&str, &str) = (ALL, PASSWORD);

/// A migrated database.
pub(crate) async fn created(cluster: &Cluster) -> Created {
    let prefix = RolePrefix::new("store_kit").unwrap();
    let fill = async |url: String| {
        migrated(&url, &options(&prefix, HardeningLevel::Standard)).await.unwrap();
        let names: Vec<String> = Role::ALL[1..].iter().map(|role| prefix.name_of(*role)).collect();
        // Roles belong to the cluster, which other versions of the schema may have used before.
        let role = format!(
            "DO $$ BEGIN CREATE ROLE {ALL} LOGIN PASSWORD '{PASSWORD}' IN ROLE {};
             EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            names.join(", ")
        );
        cluster.sql("postgres", &role);
    };
    let steps: String = STEPS.iter().map(|(_, sql)| *sql).collect();
    let template = cluster.template(&format!("store {steps} {RIGHTS}"), fill).await;
    cluster.database(Some(&template))
}
