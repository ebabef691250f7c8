//! Databases: templates made once a run, and clones of them for each test.

use std::fs::File;

use super::cluster::Cluster;
use super::psql::{self, identifier, literal};
use super::run::{digest, lock, make_directory, unique};

/// A database of a test. It is dropped when this is, without waiting where the cluster goes away anyway.
#[derive(Debug)]
pub struct Database {
    cluster: Cluster,
    name: String,
}

impl Cluster {
    /// The template database for a fingerprint, made once a run: `make` gets the superuser's URL of an empty
    /// database and fills it, and must have closed its connections when it returns. Other processes wait for it.
    ///
    /// The fingerprint tells all that the content depends on, for example a digest of the migrations.
    pub async fn template(&self, fingerprint: &str, make: impl AsyncFnOnce(String)) -> String {
        let path = self.template_lock(fingerprint);
        let template = self.clone();
        let print = fingerprint.to_owned();
        let wait = move || Growing::begin(&template, &print, lock(&path));
        match tokio::task::spawn_blocking(wait).await.unwrap() {
            Ok(growing) => {
                make(growing.url()).await;
                growing.finish()
            }
            Err(name) => name,
        }
    }

    /// The same for where nothing is awaited.
    pub fn template_blocking(&self, fingerprint: &str, make: impl FnOnce(String)) -> String {
        match Growing::begin(self, fingerprint, lock(&self.template_lock(fingerprint))) {
            Ok(growing) => {
                make(growing.url());
                growing.finish()
            }
            Err(name) => name,
        }
    }

    /// A new database, a copy of a template, or empty.
    pub fn database(&self, template: Option<&str>) -> Database {
        let name = unique("test_");
        // Copying files makes checkpoints, which cost nothing without fsync and much with it.
        let strategy = if self.is_ours() { "file_copy" } else { "wal_log" };
        let from = identifier(template.unwrap_or("template0"));
        let create = format!("CREATE DATABASE {name} TEMPLATE {from} STRATEGY {strategy}");
        self.sql(self.maintenance(), &create);
        Database { cluster: self.clone(), name }
    }

    fn template_lock(&self, fingerprint: &str) -> std::path::PathBuf {
        let locks = self.run().path("templates");
        make_directory(&locks);
        locks.join(digest(&(self.host(), fingerprint)))
    }
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The superuser's URL.
    pub fn superuser_url(&self) -> String {
        self.cluster.superuser_url(&self.name)
    }

    /// The URL with which a role logs in.
    pub fn login(&self, role: &str, password: &str) -> String {
        self.cluster.login(&self.name, role, password)
    }

    /// Runs SQL as the superuser, as [`Cluster::sql`] does.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// Runs SQL as the superuser, as [`Cluster::try_sql`] does.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        self.cluster.try_sql(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let url = self.cluster.superuser_url(self.cluster.maintenance());
        match self.cluster.is_ours() {
            true => psql::leave_to_run(&url, &drop),
            false => _ = psql::run(&url, &drop),
        }
    }
}

/// A template that is being made, under its lock.
struct Growing {
    cluster: Cluster,
    name: String,
    finished: String,
    _lock: File,
}

impl Growing {
    /// An empty database to fill, or the name of the finished template.
    fn begin(cluster: &Cluster, fingerprint: &str, lock: File) -> Result<Self, String> {
        let finished = format!("template_{}", digest(fingerprint));
        let name = format!("growing_{}", digest(fingerprint));
        let known = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(&finished));
        if cluster.sql(cluster.maintenance(), &known) == "1" {
            return Err(finished);
        }
        let again = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE);\nCREATE DATABASE {name} TEMPLATE template0;");
        cluster.sql(cluster.maintenance(), &again);
        Ok(Self { cluster: cluster.clone(), name, finished, _lock: lock })
    }

    fn url(&self) -> String {
        self.cluster.superuser_url(&self.name)
    }

    /// Gives the database its final name; from then on nobody connects to it.
    fn finish(self) -> String {
        let Self { cluster, name, finished, .. } = &self;
        // A session that is just ending would be in the way.
        cluster.terminate_backends(&format!("datname = {}", literal(name)));
        let rename =
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false;\nALTER DATABASE {name} RENAME TO {finished};");
        cluster.sql(cluster.maintenance(), &rename);
        finished.clone()
    }
}
