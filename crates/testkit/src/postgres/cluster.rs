//! A cluster: shared by the run, elsewhere, or one's own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::access::Access;
use super::options::Options;
use super::psql;
use super::run::{Port, Run, lock, make_directory, unique};
use super::server::Server;
use super::{process, programs, tls};

/// A PostgreSQL server with its superuser. Clones are the same cluster.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    run: Arc<Run>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Made by the run's first process; ends with the run.
    Shared(Server),
    /// Named by `DATABASE_URL`.
    Elsewhere,
    /// Of one test; ends with it.
    Private { server: Server, _port: Port, _owner: File },
}

/// A data directory as it was at a moment, made by [`Cluster::copy`].
#[derive(Debug)]
pub struct Copied {
    path: PathBuf,
}

impl Cluster {
    /// The cluster that every test of the run may use, each in databases of its own, started by the first that
    /// asks. With `DATABASE_URL` set it is that server, where the role must be a superuser, or have CREATEDB and
    /// CREATEROLE where that is enough for the test.
    ///
    /// Roles belong to the whole cluster: a test that makes some gives them names that no other has.
    pub fn shared() -> Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self(Arc::new(Inner::shared()))).clone()
    }

    /// A cluster of one's own, to break. It is stopped and removed when the last clone is dropped.
    pub fn private(options: &Options) -> Self {
        let run = Run::join();
        let port = run.port();
        let home = run.path(&unique("private-"));
        make_directory(&home);
        // Locked before it has the name that the watcher looks for.
        let owner = lock(&home.join("owner.new"));
        std::fs::rename(home.join("owner.new"), home.join("owner")).unwrap();
        let server = Server::create(&run, home, port.number, options);
        let access = Access::local(port.number, run.password());
        let cluster = Self(Arc::new(Inner { access, run, kind: Kind::Private { server, _port: port, _owner: owner } }));
        cluster.start();
        cluster
    }

    /// The host and port as in a URL.
    pub fn host(&self) -> &str {
        &self.0.access.host
    }

    /// The address to connect to. Panics for a server elsewhere whose host is not a number.
    pub fn address(&self) -> SocketAddr {
        self.host().parse().unwrap_or_else(|_| panic!("`{}` is not a numeric address with a port", self.host()))
    }

    /// The directory of the server's socket, named `.s.PGSQL.<port>` there.
    pub fn socket(&self) -> PathBuf {
        self.server().socket()
    }

    /// The superuser's URL of a database; `postgres` is one that always exists.
    pub fn superuser_url(&self, database: &str) -> String {
        self.0.access.url(database)
    }

    /// The URL with which a role logs in to a database.
    pub fn login(&self, database: &str, role: &str, password: &str) -> String {
        self.0.access.login(database, role, password)
    }

    /// Runs SQL as the superuser and returns its rows, one a line, columns parted by `|`. Panics with the error.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// Runs SQL as the superuser, or returns psql's error text, which holds the SQLSTATE: `ERROR:  42501: …`.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        psql::run(&self.superuser_url(database), sql)
    }

    /// Ends the sessions that match a condition on `pg_stat_activity` and waits until they are gone. Returns how
    /// many there were.
    pub fn terminate_backends(&self, condition: &str) -> usize {
        let sql = format!(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND ({condition})"
        );
        self.sql(self.maintenance(), &sql).lines().count()
    }

    /// What the server has logged since it was made.
    pub fn log(&self) -> String {
        self.server().log()
    }

    /// The database to connect to when none is meant.
    pub(super) fn maintenance(&self) -> &str {
        &self.0.access.database
    }

    /// The superuser's name and password.
    pub(super) fn superuser(&self) -> (String, String) {
        self.0.access.superuser()
    }

    /// The run this process has joined.
    pub(super) fn run(&self) -> &Run {
        &self.0.run
    }

    /// Whether the server goes away with the run.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.0.kind, Kind::Elsewhere)
    }

    fn server(&self) -> &Server {
        match &self.0.kind {
            Kind::Shared(server) | Kind::Private { server, .. } => server,
            Kind::Elsewhere => panic!("the server of DATABASE_URL is not ours to look into"),
        }
    }
}

/// What only a private cluster can do.
impl Cluster {
    /// Starts the server again, on the same port, and waits until it takes connections.
    pub fn start(&self) {
        self.own().start();
    }

    /// Shuts down as for planned maintenance (`pg_ctl stop -m fast`): sessions end with 57P01.
    pub fn stop(&self) {
        self.own().stop();
    }

    /// Kills all of its processes with SIGKILL: a power cut, as far as clients can tell.
    pub fn kill_9(&self) {
        self.own().kill_9();
    }

    /// Stops all of its processes with SIGSTOP: connections stay open and nothing answers. New connections are
    /// accepted by the system and not answered.
    pub fn pause(&self) {
        self.own().pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.own().resume();
    }

    /// A copy of the data directory as of now, while the server runs on. It is a consistent backup.
    pub fn copy(&self) -> Copied {
        let path = self.own().home().join(unique("copy-"));
        let mut backup = programs::unprivileged(&programs::directory().join("pg_basebackup"));
        super::run::make_server_directory(&path);
        backup.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "--no-manifest"]);
        backup.arg("--dbname").arg(self.superuser_url("postgres")).arg("--pgdata").arg(&path);
        let ran = backup.current_dir("/").output().unwrap();
        assert!(ran.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&ran.stderr));
        Copied { path }
    }

    /// Kills the server and starts the copy in its place, on the same port: to clients, a failover to a replica
    /// that had not received everything. The copy can be restored again.
    pub fn restore(&self, copied: &Copied) {
        self.kill_9();
        self.own().replace_data(&copied.path);
        self.start();
    }

    /// Like [`Cluster::restore`], and then replays what was archived behind the copy, up to a named restore point. For a
    /// cluster made with `archived`.
    pub fn restore_to(&self, copied: &Copied, point: &str) {
        self.kill_9();
        self.own().replace_data(&copied.path);
        self.own().recover(point);
        self.start();
        let ended = || (self.sql("postgres", "SELECT pg_is_in_recovery()").trim() == "f").then_some(());
        process::wait_for("the recovery to end", ended);
    }

    /// Dumps a database, and restores it into a new one of the same cluster.
    pub fn dump_into(&self, from: &str, to: &str) {
        let file = self.own().home().join(unique("dump-"));
        let ran = |program: &str, arguments: &[&str]| {
            let mut command = std::process::Command::new(programs::directory().join(program));
            let output = command.args(arguments).current_dir("/").output().unwrap();
            assert!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
        };
        let path = file.to_str().unwrap();
        ran("pg_dump", &["--format=custom", "--dbname", &self.superuser_url(from), "--file", path]);
        self.sql("postgres", &format!("CREATE DATABASE \"{to}\""));
        ran("pg_restore", &["--exit-on-error", "--dbname", &self.superuser_url(to), path]);
    }

    /// The certificate of the authority that signed the server's, for a cluster made with `tls`.
    pub fn authority(&self) -> PathBuf {
        let path = tls::authority(self.own().home());
        assert!(path.exists(), "the cluster was made without `tls`");
        path
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.own().data()
    }

    fn own(&self) -> &Server {
        match &self.0.kind {
            Kind::Private { server, .. } => server,
            Kind::Shared(_) | Kind::Elsewhere => panic!("only a private cluster may be broken"),
        }
    }
}

impl Inner {
    fn shared() -> Self {
        let run = Run::join();
        match std::env::var("DATABASE_URL") {
            Ok(url) => Self::elsewhere(Access::parse(&url), run),
            Err(_) => Self::of_the_run(run),
        }
    }

    fn elsewhere(access: Access, run: Arc<Run>) -> Self {
        let rights = "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user";
        let enough = psql::run(&access.url(&access.database), rights);
        let enough = enough.unwrap_or_else(|error| panic!("cannot use the server of DATABASE_URL: {error}"));
        assert!(enough == "t", "the role of DATABASE_URL needs CREATEDB and CREATEROLE, or SUPERUSER for all tests");
        Self { access, run, kind: Kind::Elsewhere }
    }

    fn of_the_run(run: Arc<Run>) -> Self {
        let _starting = run.starting();
        let home = run.path("shared");
        let port = home.join("port");
        let server = Server::at(home.clone());
        if server.postmaster().is_some() {
            process::wait_for("the shared cluster to be ready", || server.ready().then_some(()));
        } else {
            Self::begin(&run, &home, &port);
        }
        let port = std::fs::read_to_string(port).unwrap().parse().unwrap();
        Self { access: Access::local(port, run.password()), run, kind: Kind::Shared(server) }
    }

    fn begin(run: &Run, home: &Path, port_file: &Path) {
        let _of_a_killed_run = std::fs::remove_dir_all(home);
        let port = run.port();
        let server = Server::create(run, home.to_owned(), port.number, &Options::default());
        std::fs::write(port_file, port.number.to_string()).unwrap();
        server.start();
        // The port stays reserved for as long as the run's directory stands.
        std::mem::forget(port);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Kind::Private { server, .. } = &self.kind {
            server.remove();
        }
    }
}
