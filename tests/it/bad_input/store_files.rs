//! Store files that are missing, damaged, locked, read-only, or of another version.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use magistrate_tests::{Store, skip};

use crate::administration::revision;

const ADD: [&str; 9] =
    ["grant", "add", "Company::User::ana", "--role", "editor", "--expires", "+1h", "--reason", "test"];

/// Verbs that read the store, change it and serve from it.
const VERBS: [&[&str]; 4] = [&["policy", "status"], &["audit", "search"], &ADD, &["serve", "--listen", "127.0.0.1:0"]];

/// Expects these verbs to refuse to open the store, with these words.
#[track_caller]
fn unusable(store: &Store, verbs: &[&[&str]], says: &[&str]) {
    for verb in verbs {
        let ran = store.run(verb).code(1).says(&["cannot "]).says(says);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        assert_eq!(ran.out, "", "{verb:?}");
    }
}

/// Python's own SQLite, to do to a file what no program of ours does; `None` if there is none.
fn python(test: &str, script: &str, file: &Path) -> Option<Command> {
    let works = Command::new("python3").args(["-c", "import sqlite3"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip(test, "no python3 with sqlite3");
        return None;
    }
    let mut command = Command::new("python3");
    command
        .arg("-c")
        .arg(format!("import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n{script}"));
    command.arg(file);
    Some(command)
}

/// Runs a statement on a file; `None` without Python.
fn sql(test: &str, file: &Path, statement: &str) -> Option<()> {
    let mut command = python(test, &format!("db.execute({statement:?})"), file)?;
    assert!(command.status().unwrap().success(), "{statement}");
    Some(())
}

fn files(store: &Store) -> [PathBuf; 2] {
    ["policy.db", "decisions.db"].map(|name| store.data().join(name))
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

/// Overwrites part of a file with noise; what its write-ahead log still holds would repair it.
fn damage(file: &Path, offset: u64, length: u64) {
    for log in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(format!("{}{log}", file.display()));
    }
    let noise: Vec<u8> = (0..length).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[4]).collect();
    std::fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(&noise, offset).unwrap();
}

#[test]
fn missing_store_says_how_to_create_it() {
    let nowhere = Store::nowhere();
    unusable(&nowhere, &VERBS, &["there is no `.magistrate/policy.db`; run `magistrate migrate` to create it"]);
    assert!(!nowhere.data().exists(), "asking creates nothing");
    let store = Store::example();
    std::fs::remove_file(store.data().join("decisions.db")).unwrap();
    unusable(&store, &VERBS, &["there is no `.magistrate/decisions.db`; run `magistrate migrate`"]);
}

#[test]
fn store_of_a_newer_program_is_left_alone() {
    let test = "store_of_a_newer_program_is_left_alone";
    for n in 0..2 {
        let store = Store::example();
        let file = &files(&store)[n];
        let row = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, x'00', 0)";
        let Some(()) = sql(test, file, row) else { return };
        let before = std::fs::read(file).unwrap();
        let verbs = [&VERBS[..], &[&["migrate"]]].concat();
        unusable(
            &store,
            &verbs,
            &[name(file), "is at schema version 99, this program knows up to", "upgrade the program"],
        );
        assert_eq!(std::fs::read(file).unwrap(), before);
    }
}

#[test]
fn store_of_an_older_program_says_how_to_bring_it_up_to_date() {
    let test = "store_of_an_older_program_says_how_to_bring_it_up_to_date";
    for n in 0..2 {
        let store = Store::example();
        let file = &files(&store)[n];
        let newest = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        let Some(()) = sql(test, file, newest) else { return };
        unusable(&store, &VERBS, &[name(file), "is at schema version", "run `magistrate migrate`"]);
    }
}

#[test]
fn damaged_file_is_named_and_left_as_it_is() {
    for n in 0..2 {
        let store = Store::example();
        let file = &files(&store)[n];
        damage(file, 0, 4096);
        let before = std::fs::read(file).unwrap();
        let verbs = [&VERBS[..], &[&["migrate"]]].concat();
        unusable(&store, &verbs, &[name(file), "is damaged or not a database; restore it from a copy"]);
        assert_eq!(std::fs::read(file).unwrap(), before);
    }
}

#[test]
fn damage_behind_a_good_header_is_told_when_it_is_met() {
    let store = Store::example();
    let file = &files(&store)[0];
    let length = std::fs::metadata(file).unwrap().len();
    damage(file, 4096, length - 4096);
    unusable(&store, &[&["policy", "status"], &["grant", "list"], &ADD], &["damaged", "restore it from a copy"]);
}

#[test]
fn text_file_is_no_database() {
    let store = Store::example();
    std::fs::write(&files(&store)[0], "these are my notes\n".repeat(300)).unwrap();
    unusable(&store, &VERBS, &["`.magistrate/policy.db` is damaged or not a database"]);
}

/// Another process that holds the write lock of a file until dropped.
struct Lock(Child);

impl Lock {
    fn take(test: &str, file: &Path) -> Option<Self> {
        let script = "db.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.read()";
        let mut child = python(test, script, file)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Some(Self(child))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn locked_store_is_read_but_not_changed() {
    let store = Store::example();
    let before = revision(&store);
    let Some(lock) = Lock::take("locked_store_is_read_but_not_changed", &files(&store)[0]) else { return };
    unusable(&store, &[&ADD], &["locked by another process; find out which one holds it, or try again"]);
    assert_eq!(revision(&store), before, "reading goes on");
    drop(lock);
    let _ran = store.run(&ADD).code(0);
    assert_eq!(revision(&store), before + 1);
}

struct Mounted(PathBuf);

impl Mounted {
    /// Makes a directory read-only; `None` where that is not permitted. Permission bits would not bind root.
    fn read_only(directory: &Path) -> Option<Self> {
        let mount = |arguments: &[&str]| {
            let output = Command::new("mount").args(arguments).arg(directory).output();
            output.is_ok_and(|output| output.status.success())
        };
        let path = directory.to_str().unwrap();
        if !mount(&["--bind", path]) {
            return None;
        }
        let mounted = Self(directory.to_owned());
        mount(&["-o", "remount,ro,bind"]).then_some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn read_only_directory_is_named() {
    let store = Store::example();
    let before = revision(&store);
    let Some(mounted) = Mounted::read_only(&store.data()) else {
        skip("read_only_directory_is_named", "a directory cannot be mounted read-only here");
        return;
    };
    unusable(&store, &[&ADD, &["serve", "--listen", "127.0.0.1:0"]], &["cannot open the store", "policy.db`"]);
    unusable(&store, &[&["migrate"]], &["is read-only; give this user write access to it and to its directory"]);
    drop(mounted);
    assert_eq!(revision(&store), before);
    let _ran = store.run(&ADD).code(0);
}
