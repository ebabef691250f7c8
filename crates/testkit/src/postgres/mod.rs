//! Real PostgreSQL for tests: one shared cluster per run, clusters of one's own to break, a disk to fill, a
//! pooler and a proxy that misbehaves. Linux only; PostgreSQL 15 or newer, from Debian's packages `postgresql` and
//! `pgbouncer`.
//!
//! ```no_run
//! # async fn example() {
//! use magistrate_testkit::postgres::Cluster;
//!
//! let cluster = Cluster::shared();
//! let template = cluster.template("schema-1", async |url| println!("migrate {url} here")).await;
//! let database = cluster.database(Some(&template));
//! assert_eq!(database.sql("SELECT 1 + 1"), "2");
//! # }
//! ```
//!
//! Everything here blocks its thread, `template` and `Proxy` aside, and panics when it cannot do its work: a
//! missing server never passes for a passed test. Nothing outlives the run, even a killed one: a small watcher
//! process ends every server whose users are gone. All of it lies in `TMPDIR` if that is set, else in memory where
//! there is much (`/dev/shm` of 4 GiB), else in `/tmp`.

mod access;
mod cluster;
mod database;
mod disk;
mod options;
mod pgbouncer;
mod process;
mod programs;
mod proxy;
mod psql;
mod run;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use cluster::{Cluster, Copied};
pub use database::Database;
pub use disk::Disk;
pub use options::Options;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use proxy::Proxy;
