//! A deployment on PostgreSQL: a migrated database with the example in it, its logins, and nodes on it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use magistrate_testkit::postgres::{Cluster, Database, Options};
use tempfile::TempDir;

use crate::program::{Ran, program, ran, workspace};
use crate::running::Running;

mod health;
mod load;

pub use health::Health;
pub use load::{Acknowledged, Load, Refused, Told};

/// As whom a process uses the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A node.
    App,
    /// Who changes policies, entities and grants.
    Admin,
    /// Who reads history.
    Auditor,
    /// Who takes out what is old, and erases.
    Retention,
}

impl Login {
    const ALL: [Self; 4] = [Self::App, Self::Admin, Self::Auditor, Self::Retention];

    /// What its role's name ends with.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Retention => "retention",
        }
    }

    /// Its password, with everything in it that a URL or a file may stumble on.
    pub fn password(self) -> &'static str {
        match self {
            Self::App => "app's s3cret/@:%41",
            Self::Admin => "admin s3cret?&#\"",
            Self::Auditor => "auditor s3cret ~=\\'`",
            Self::Retention => "retention s3cret <>|",
        }
    }
}

/// A database that nodes are run on. It goes away with this.
#[derive(Debug)]
pub struct Deployment {
    home: TempDir,
    cluster: Cluster,
    database: Place,
    prefix: &'static str,
}

/// Which database of its cluster.
#[derive(Debug)]
enum Place {
    /// The only one of a cluster of our own.
    Own(&'static str),
    /// A throw-away one of the shared cluster.
    Shared(Database),
}

impl Deployment {
    /// The shipped example with its data, in a database of the cluster that all tests share.
    pub fn shared() -> Self {
        let cluster = Cluster::shared();
        let template = cluster.template_blocking(&fingerprint(), |url| prepare(&url, SHARED_PREFIX));
        let database = cluster.database(Some(&template));
        Self::over(cluster, Place::Shared(database), SHARED_PREFIX)
    }

    /// The same in a cluster of one's own, to break.
    pub fn private(options: &Options) -> Self {
        let deployment = Self::bare(options);
        prepare(&deployment.superuser_url(), deployment.prefix);
        deployment
    }

    /// A cluster of one's own that nobody has migrated.
    pub fn bare(options: &Options) -> Self {
        Self::over(Cluster::private(options), Place::Own("postgres"), "magistrate")
    }

    fn over(cluster: Cluster, database: Place, prefix: &'static str) -> Self {
        let home = home();
        write_passwords(home.path());
        Self { home, cluster, database, prefix }
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The directory processes run in; nothing of the product is kept there.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        match &self.database {
            Place::Own(name) => name,
            Place::Shared(database) => database.name(),
        }
    }

    /// The name of a login's role.
    pub fn role(&self, login: Login) -> String {
        format!("{}_{}", self.prefix, login.name())
    }

    /// A login's URL, without its password.
    pub fn url(&self, login: Login) -> String {
        self.cluster.login(self.name(), &self.role(login), "x").replacen(":x@", "@", 1)
    }

    /// A login's URL with its password.
    pub fn url_with_password(&self, login: Login) -> String {
        self.cluster.login(self.name(), &self.role(login), login.password())
    }

    /// The superuser's URL.
    pub fn superuser_url(&self) -> String {
        self.cluster.superuser_url(self.name())
    }

    /// The file with a login's password.
    pub fn password_file(&self, login: Login) -> PathBuf {
        self.home().join(login.name())
    }

    /// Writes a file beside the passwords and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.home().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The binary, told of the database as a login, and of a journal of its own.
    pub fn command(&self, login: Login) -> Command {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let journal = format!("journal-{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let mut command = command(self.home());
        command.env("MAGISTRATE_JOURNAL", self.home().join(journal));
        command.env("MAGISTRATE_DATABASE_URL", self.url(login));
        command.env("MAGISTRATE_DATABASE_PASSWORD_FILE", self.password_file(login));
        command
    }

    /// The binary, told of the database as its superuser.
    pub fn superuser_command(&self) -> Command {
        let mut command = command(self.home());
        command.env("MAGISTRATE_DATABASE_URL", self.superuser_url());
        command
    }

    /// Runs the binary as a login.
    pub fn run(&self, login: Login, arguments: &[&str]) -> Ran {
        ran(self.command(login).args(arguments))
    }

    /// Migrates as the superuser.
    pub fn migrate(&self) -> Ran {
        ran(&mut self.migration())
    }

    /// The command that migrates as the superuser.
    pub fn migration(&self) -> Command {
        let mut command = self.superuser_command();
        command.args(migrate_arguments(self.home(), self.prefix));
        command
    }

    /// Starts a node and waits until it listens.
    pub fn node(&self) -> Running {
        Running::launch(self.command(Login::App))
    }

    /// Starts a node that reaches the database at another URL, for example through a proxy.
    pub fn node_at(&self, url: &str) -> Running {
        let mut command = self.command(Login::App);
        command.env("MAGISTRATE_DATABASE_URL", url);
        Running::launch(command)
    }

    /// Runs SQL as the superuser; rows one a line, columns parted by `|`.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(self.name(), sql)
    }

    /// Lets somebody edit what is in a folder for an hour, and returns the revision.
    pub fn grant(&self, id: &str, holder: &str, folder: &str) -> u64 {
        let holder = format!("Company::User::{holder}");
        let folder = format!("Company::Folder::{folder}");
        let what = ["grant", "add", &holder, "--role", "editor", "--on", &folder, "--expires", "+1h", "--id", id];
        self.change(&what)
    }

    /// Takes a grant away, and returns the revision.
    pub fn revoke(&self, id: &str) -> u64 {
        self.change(&["grant", "revoke", id])
    }

    /// Changes something as the administrator, and returns the revision.
    pub fn change(&self, arguments: &[&str]) -> u64 {
        let ran = self.run(Login::Admin, &[&["-o", "json"], arguments, &["--reason", "test"]].concat());
        ran.code(0).revision()
    }

    /// Where the store stands.
    pub fn revision(&self) -> u64 {
        self.sql("SELECT value FROM magistrate.revision").parse().unwrap()
    }

    /// Every decision that is recorded, by id.
    pub fn history(&self) -> BTreeMap<String, Recorded> {
        let sql = "SELECT encode(stream, 'hex') || '-' || seq, encode(leaf, 'hex'),
                CASE decision WHEN 'a' THEN 'allow' ELSE 'deny' END, recorded_at, request_id
            FROM audit.decision";
        let rows = self.sql(sql);
        let mut history = BTreeMap::new();
        for row in rows.lines() {
            let columns: Vec<&str> = row.splitn(5, '|').collect();
            let recorded = Recorded {
                leaf: columns[1].to_owned(),
                decision: columns[2].to_owned(),
                at: columns[3].parse().unwrap(),
                request: columns[4].to_owned(),
            };
            assert!(history.insert(columns[0].to_owned(), recorded).is_none(), "{} is recorded twice", columns[0]);
        }
        history
    }
}

/// A row of the decision history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its leaf, in hexadecimal.
    pub leaf: String,
    /// `allow` or `deny`.
    pub decision: String,
    /// When it was decided, in microseconds.
    pub at: i64,
    /// The caller's id of the request.
    pub request: String,
}

/// Roles belong to the whole cluster, and others use it too.
const SHARED_PREFIX: &str = "e2e";

/// The template depends on what the program makes of an empty database.
fn fingerprint() -> String {
    let built = std::fs::metadata(program()).unwrap();
    format!("end to end, {} bytes of {}.{}", built.len(), built.mtime(), built.mtime_nsec())
}

/// Migrates and applies the example.
fn prepare(superuser_url: &str, prefix: &'static str) {
    let home = home();
    write_passwords(home.path());
    let run = |arguments: &[&str]| {
        let mut command = command(home.path());
        let _ran = ran(command.env("MAGISTRATE_DATABASE_URL", superuser_url).args(arguments)).code(0);
    };
    let arguments = migrate_arguments(home.path(), prefix);
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let policies = workspace().join("policies");
    run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]);
}

fn migrate_arguments(home: &Path, prefix: &str) -> Vec<String> {
    let passwords = Login::ALL.map(|it| format!("--password={}={}", it.name(), home.join(it.name()).display()));
    ["migrate".to_owned(), format!("--role-prefix={prefix}")].into_iter().chain(passwords).collect()
}

fn write_passwords(home: &Path) {
    for login in Login::ALL {
        std::fs::write(home.join(login.name()), format!("{}\n", login.password())).unwrap();
    }
}

fn home() -> TempDir {
    tempfile::Builder::new().prefix("magistrate-test-").tempdir().unwrap()
}

/// The binary in a directory, with nothing of ours in its environment but the namespace.
fn command(home: &Path) -> Command {
    let mut command = Command::new(program());
    let ours = |name: &str| name.starts_with("MAGISTRATE_") || name.starts_with("PG");
    std::env::vars().filter(|(name, _)| ours(name)).for_each(|(name, _)| _ = command.env_remove(name));
    command.current_dir(home).env("USER", "tester").env("NO_COLOR", "1");
    command.env("MAGISTRATE_DEFAULT_NAMESPACE", "Company");
    command
}
