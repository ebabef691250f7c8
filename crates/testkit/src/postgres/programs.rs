//! Where PostgreSQL's programs are, and as whom they run.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory of the newest PostgreSQL that has a server.
pub(super) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let found = [debian(), configured(), on_path("initdb")].into_iter().flatten();
        found.into_iter().find(|it| it.join("initdb").exists() && it.join("postgres").exists()).unwrap_or_else(|| {
            panic!(
                "PostgreSQL is not installed: install Debian's packages `postgresql` and `pgbouncer`, \
                 or set DATABASE_URL to a server where the role may create databases and roles"
            )
        })
    })
}

/// A program of PostgreSQL. `psql` may come without a server, when the tests use one elsewhere.
pub(super) fn program(name: &str) -> Command {
    let beside = debian().or_else(configured).map(|it| it.join(name)).filter(|it| it.exists());
    let mut command = Command::new(beside.unwrap_or_else(|| name.into()));
    clean(&mut command);
    command
}

/// A program run in a session of its own, as the user that servers run as.
pub(super) fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    if let Some(user) = server_user() {
        command.arg("setpriv").args([format!("--reuid={}", user.id), format!("--regid={}", user.group)]);
        command.arg("--clear-groups");
    }
    command.arg(program);
    clean(&mut command);
    command
}

/// Gives a path to the user that servers run as.
pub(super) fn hand_over(path: &Path) {
    if let Some(user) = server_user() {
        std::os::unix::fs::chown(path, Some(user.id), Some(user.group)).unwrap();
    }
}

/// The user id of this process.
pub(super) fn own_user() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, or else as `nobody`.
fn server_user() -> Option<User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    *USER.get_or_init(|| {
        let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let named = |name: &str| {
            let line = known.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2).map_while(|field| field.parse().ok());
            Some(User { id: fields.next()?, group: fields.next()? })
        };
        let user = || named("postgres").or_else(|| named("nobody"));
        (own_user() == 0).then(|| user().unwrap_or_else(|| panic!("neither `postgres` nor `nobody` is a user here")))
    })
}

/// Takes away what would change how the program runs or where it connects, files in the home directory too.
fn clean(command: &mut Command) {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("PG"))
        .for_each(|name| _ = command.env_remove(name));
    command.env("LC_ALL", "C").env("HOME", "/");
}

fn debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered = versions.filter_map(|it| Some((it.file_name().to_str()?.parse::<u32>().ok()?, it.path())));
    let newest = numbered.filter(|(_, path)| path.join("bin/postgres").exists()).max()?;
    Some(newest.1.join("bin"))
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}

/// The directory on PATH that holds a program, followed to where it really is.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|it| it.join(name)).find(|it| it.exists());
    found?.canonicalize().ok()?.parent().map(Path::to_owned)
}
