//! What the processes of one test run share: a directory, an initialised data directory, and the locks that tell
//! who still uses them.

use std::fs::{DirBuilder, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use super::{process, programs};

/// This process's part in the run. The lock is held for as long as the process lives.
#[derive(Debug)]
pub(super) struct Run {
    base: PathBuf,
    password: String,
    _users: File,
}

impl Run {
    /// Joins the run, or begins it.
    pub(super) fn join() -> Arc<Self> {
        static RUN: OnceLock<Arc<Run>> = OnceLock::new();
        RUN.get_or_init(|| Arc::new(Self::begin())).clone()
    }

    fn begin() -> Self {
        let base = place();
        let _start = lock(&base.with_extension("start"));
        let users = open(&base.with_extension("users"));
        users.lock_shared().unwrap();
        make_directory(&base);
        watch(&base);
        let password = base.join("password");
        if !base.join("pristine").exists() {
            let _of_a_killed_run = std::fs::remove_file(&password);
            let file = File::options().create_new(true).write(true).mode(0o600).open(&password);
            file.unwrap().write_all(unique("").as_bytes()).unwrap();
            initialise(&base, &password);
        }
        let password = std::fs::read_to_string(password).unwrap();
        Self { base, password, _users: users }
    }

    /// The superuser's password in every cluster of the run.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// A file or directory of the run.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// The lock under which clusters are started and ended.
    pub(super) fn starting(&self) -> File {
        lock(&self.base.with_extension("start"))
    }

    /// A data directory copied from the pristine one.
    pub(super) fn data(&self, to: &Path) {
        copy(&self.path("pristine"), to);
    }

    /// A port that no other cluster of the run has, outside those that the system gives out by itself.
    pub(super) fn port(&self) -> Port {
        make_directory(&self.path("ports"));
        let from = u16::try_from(chance() % 10_000).unwrap();
        let all = (0..10_000).map(|n| 20_000 + (from + n) % 10_000);
        let mut free = all.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let reserve = |number: u16| {
            let file = self.path("ports").join(number.to_string());
            File::create_new(&file).ok().map(|_| Port { number, file })
        };
        free.find_map(reserve).unwrap_or_else(|| panic!("no port from 20000 to 29999 is free"))
    }
}

/// A port reserved within the run.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    file: PathBuf,
}

impl Drop for Port {
    fn drop(&mut self) {
        let _gone_with_the_run = std::fs::remove_file(&self.file);
    }
}

/// A directory that others may pass through, made if absent.
pub(super) fn make_directory(path: &Path) {
    DirBuilder::new().recursive(true).mode(0o711).create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// A directory that only the user that servers run as may enter, made if absent.
pub(super) fn make_server_directory(path: &Path) {
    make_directory(path);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    programs::hand_over(path);
}

/// Copies a directory with its owners and times.
pub(super) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).args([from, to]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

/// Waits for a lock on a file; closing it lets go.
pub(super) fn lock(path: &Path) -> File {
    let file = open(path);
    file.lock().unwrap_or_else(|e| panic!("cannot lock {}: {e}", path.display()));
    file
}

/// A short name that no other has.
pub(super) fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", chance())
}

fn chance() -> u64 {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

/// A short name for a text.
pub(super) fn digest(text: &(impl std::hash::Hash + ?Sized)) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn open(path: &Path) -> File {
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
    opened.unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()))
}

/// Where this workspace's run is.
fn place() -> PathBuf {
    let home = fast().join(format!("magistrate-postgres-{}", programs::own_user()));
    make_directory(&home);
    home.join(digest(&(env!("CARGO_MANIFEST_DIR"), programs::directory())))
}

/// `TMPDIR` if it is set; else memory if there is much, since most of what tests do is to make and drop databases;
/// else the temporary directory. Sockets need short paths.
fn fast() -> PathBuf {
    let chosen = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|it| it.as_os_str().len() < 40);
    chosen.unwrap_or_else(|| if roomy("/dev/shm") { "/dev/shm".into() } else { "/tmp".into() })
}

/// Whether a place is in memory and has at least 4 GiB, whatever is free of them now: all processes of a run must
/// come to the same answer.
fn roomy(place: &str) -> bool {
    let Ok(told) = Command::new("df").args(["--output=fstype,size", "--block-size=1G", place]).output() else {
        return false;
    };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let mut fields = told.lines().nth(1).unwrap_or_default().split_whitespace();
    fields.next() == Some("tmpfs") && fields.next().and_then(|size| size.parse::<u64>().ok()) >= Some(4)
}

/// Starts the watcher if none watches.
fn watch(base: &Path) {
    if open(&base.with_extension("watch")).try_lock().is_err() {
        return;
    }
    let mut watcher = Command::new("setsid");
    watcher.args(["sh", "-c", include_str!("watcher.sh"), "magistrate-postgres-watcher"]).arg(base);
    watcher.current_dir("/");
    process::let_run(&mut watcher);
}

/// Runs `initdb`, the slow part of making a cluster, once.
fn initialise(base: &Path, password: &Path) {
    let growing = base.join("growing");
    let _of_a_killed_run = std::fs::remove_dir_all(&growing);
    make_server_directory(&growing);
    programs::hand_over(password);
    let mut initdb = programs::unprivileged(&programs::directory().join("initdb"));
    initdb.args(["--no-sync", "--data-checksums", "--no-instructions", "--locale=C.UTF-8", "--encoding=UTF8"]);
    initdb.args(["--username=postgres", "--auth=scram-sha-256"]);
    initdb.arg("--pwfile").arg(password).arg("--pgdata").arg(&growing);
    let ran = initdb.current_dir(base).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "initdb failed: {}", String::from_utf8_lossy(&ran.stderr));
    std::fs::rename(growing, base.join("pristine")).unwrap();
}
