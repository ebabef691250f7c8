//! What a cluster of one's own can be.

use std::path::{Path, PathBuf};

/// How a private cluster differs from the shared one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// With `fsync` and `full_page_writes`, as in production. To take as long as in production the data must also be
    /// on a disk: see `data_on`.
    pub durable: bool,
    /// Other than the 300 connections of the shared cluster.
    pub max_connections: Option<u32>,
    /// Where the data directory goes: a small [`Disk`](super::Disk), or `/tmp` for a real one. The user that
    /// servers run as must be able to reach it; a directory is made in it.
    pub data_on: Option<PathBuf>,
    /// With TLS, under a certificate for `localhost` and 127.0.0.1 of a new authority (`Cluster::authority`).
    pub tls: bool,
    /// Further settings, which win over ours.
    pub settings: Vec<(String, String)>,
    /// Lines for the top of `pg_hba.conf`, where the first that matches a connection counts.
    pub hba: Vec<String>,
}

impl Options {
    /// With one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// With its write-ahead log archived, so that it can be restored to a point in time.
    #[must_use]
    pub fn archived(self) -> Self {
        self.set("archive_mode", "on").set("archive_command", "cp %p ../archive/%f")
    }

    /// The text of `postgresql.conf` that is ours.
    pub(super) fn configuration(&self, port: u16, socket: &Path) -> String {
        let switch = |on: bool| if on { "on" } else { "off" };
        let ours = [
            ("listen_addresses", "127.0.0.1".into()),
            ("port", port.to_string()),
            ("unix_socket_directories", socket.display().to_string()),
            ("fsync", switch(self.durable).into()),
            ("full_page_writes", switch(self.durable).into()),
            ("synchronous_commit", "on".into()),
            // What vacuums by itself would hold up the copying of templates.
            ("autovacuum", switch(self.durable).into()),
            ("max_connections", self.max_connections.unwrap_or(300).to_string()),
            ("max_locks_per_transaction", "256".into()),
            ("shared_buffers", "128MB".into()),
            ("max_wal_size", "256MB".into()),
            // Leaves nothing in the machine's shared memory when it is killed.
            ("dynamic_shared_memory_type", "mmap".into()),
            ("log_line_prefix", "%m [%p] %q%u@%d ".into()),
            ("timezone", "UTC".into()),
            ("log_timezone", "UTC".into()),
            ("ssl", switch(self.tls).into()),
        ];
        let ours = ours.into_iter().map(|(name, value): (&str, String)| (name.to_owned(), value));
        let line = |(name, value): (String, String)| format!("{name} = '{}'\n", value.replace('\'', "''"));
        ours.chain(self.settings.clone()).map(line).collect()
    }
}
