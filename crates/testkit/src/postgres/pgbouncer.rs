//! `PgBouncer` in front of a cluster.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::access::by_way_of;
use super::cluster::Cluster;
use super::process::wait_for;
use super::run::{Port, make_server_directory, unique};
use super::{programs, psql};

/// How long a client keeps its server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    Session,
    /// For a transaction.
    Transaction,
    /// For a statement; transactions are refused.
    Statement,
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        })
    }
}

/// A pooler with three server connections for each pair of user and database, so that clients really share them.
/// Ends when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    cluster: Cluster,
    home: PathBuf,
    port: Port,
    child: Child,
}

impl PgBouncer {
    /// Starts a pooler that lets these users in, by name and password, and connects as them. The superuser is
    /// always let in.
    pub fn start(cluster: &Cluster, mode: PoolMode, users: &[(&str, &str)]) -> Self {
        Self::with(cluster, mode, users, &[])
    }

    /// The same with further settings, which win over ours.
    pub fn with(cluster: &Cluster, mode: PoolMode, users: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let run = cluster.run();
        let home = run.path(&unique("pgbouncer-"));
        make_server_directory(&home);
        let port = run.port();
        write(&home.join("users"), &user_list(cluster, users));
        write(&home.join("settings.ini"), &configuration(cluster, port.number, mode, settings));
        Self::spawn(cluster, home, port)
    }

    /// The host and port as in a URL.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// A URL of the cluster by way of the pooler.
    pub fn url(&self, url: &str) -> String {
        by_way_of(url, &self.host())
    }

    /// Runs a command of the pooler's console, for example `SHOW POOLS` or `RECONNECT`.
    #[track_caller]
    pub fn console(&self, command: &str) -> String {
        psql::run(&self.url(&self.cluster.superuser_url("pgbouncer")), command).unwrap_or_else(|e| panic!("{e}"))
    }

    fn spawn(cluster: &Cluster, home: PathBuf, port: Port) -> Self {
        let program = programs::on_path("pgbouncer").map(|it| it.join("pgbouncer"));
        let program = program.unwrap_or_else(|| panic!("install Debian's package `pgbouncer`"));
        let log = std::fs::File::create(home.join("log")).unwrap();
        let mut command = programs::unprivileged(&program);
        command.arg("settings.ini").current_dir(&home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        let logged = || std::fs::read_to_string(home.join("log")).unwrap_or_default();
        wait_for("PgBouncer to listen", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "PgBouncer did not start ({ended:?}): {}", logged());
            std::net::TcpStream::connect(("127.0.0.1", port.number)).ok()
        });
        Self { cluster: cluster.clone(), home, port, child }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        let _left_to_the_watcher = std::fs::remove_dir_all(&self.home);
    }
}

/// Who may come in and with which passwords the pooler logs in for them.
fn user_list(cluster: &Cluster, users: &[(&str, &str)]) -> String {
    let (name, password) = cluster.superuser();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let line = |(user, password): &(&str, &str)| format!("{} {}\n", quoted(user), quoted(password));
    users.iter().chain(&[(&*name, &*password)]).map(line).collect::<Vec<_>>().concat()
}

fn configuration(cluster: &Cluster, port: u16, mode: PoolMode, settings: &[(&str, &str)]) -> String {
    let (address, superuser) = (cluster.address(), cluster.superuser().0);
    let ours = [
        ("listen_addr", "127.0.0.1"),
        ("listen_port", &port.to_string()),
        ("unix_socket_dir", ""),
        ("pool_mode", &mode.to_string()),
        ("auth_type", "scram-sha-256"),
        ("auth_file", "users"),
        ("admin_users", &superuser),
        ("max_client_conn", "200"),
        ("default_pool_size", "3"),
        ("ignore_startup_parameters", "extra_float_digits"),
    ];
    let line = |(name, value): &(&str, &str)| format!("{name} = {value}\n");
    let settings: Vec<String> = ours.iter().chain(settings).map(line).collect();
    let (host, port) = (address.ip(), address.port());
    format!("[databases]\n* = host={host} port={port}\n[pgbouncer]\n{}", settings.concat())
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    programs::hand_over(path);
}
