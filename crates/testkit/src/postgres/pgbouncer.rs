//! PgBouncer in front of a cluster.

use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::access::by_way_of;
use super::cluster::Cluster;
use super::process::wait_for;
use super::run::{Port, make_server_directory, token};
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
        let home = run.path(&format!("pgbouncer-{}", &token()[..8]));
        make_server_directory(&home);
        let port = run.port();
        let superuser = cluster.superuser();
        let all = users.iter().copied().chain([(superuser.0.as_str(), superuser.1.as_str())]);
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let list: String = all.map(|(user, password)| format!("{} {}\n", quoted(user), quoted(password))).collect();
        write(home.join("users"), &list);
        let address = cluster.address();
        let mut text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n",
            address.ip(),
            address.port(),
            port.number
        );
        let users = home.join("users").display().to_string();
        let mode = mode.to_string();
        let ours = [
            ("pool_mode", mode.as_str()),
            ("auth_type", "scram-sha-256"),
            ("auth_file", &users),
            ("admin_users", &superuser.0),
            ("unix_socket_dir", ""),
            ("max_client_conn", "200"),
            ("default_pool_size", "3"),
            ("ignore_startup_parameters", "extra_float_digits"),
        ];
        for (name, value) in ours.iter().chain(settings) {
            text += &format!("{name} = {value}\n");
        }
        write(home.join("settings.ini"), &text);
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

fn write(path: PathBuf, text: &str) {
    std::fs::write(&path, text).unwrap();
    programs::hand_over(&path);
}
