//! What can be wrong with a data directory, and migrating it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use magistrate_model::{Change, EntityData};
use magistrate_pdp::PolicySource;
use magistrate_testkit::store_suite::commit;
use magistrate_testkit::store_suite::sample::uid;
use tempfile::TempDir;

use super::{Fresh, connect, run};
use crate::files::Files;
use crate::migrate::POLICY;
use crate::{OpenError, SqliteStore};

/// Opening fails as `expected` says; the message holds the advice.
fn check(opened: Result<SqliteStore, OpenError>, expected: &OpenError, advice: &str) {
    let error = opened.unwrap_err();
    assert_eq!(&error, expected);
    assert!(error.to_string().contains(advice), "{error}");
}

#[tokio::test]
async fn migrating_reports_its_steps_and_can_be_repeated() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("a/b");
    let first = SqliteStore::create_or_migrate(&dir).await.unwrap();
    let told: Vec<_> = first.steps.iter().map(|step| (step.file, step.version)).collect();
    let wanted = (1..=5).map(|version| ("policy.db", version)).chain((1..=5).map(|version| ("decisions.db", version)));
    assert_eq!(told, wanted.collect::<Vec<_>>());
    assert_eq!(SqliteStore::create_or_migrate(&dir).await.unwrap().steps, []);
    SqliteStore::open(&dir).await.unwrap();
}

#[tokio::test]
async fn the_directory_and_its_files_are_for_this_user_alone() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("data");
    SqliteStore::create_or_migrate(&dir).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn concurrent_migrations_run_each_step_once() {
    let dir = TempDir::new().unwrap();
    let migrate = || SqliteStore::create_or_migrate(dir.path());
    let (a, b, c) = tokio::join!(migrate(), migrate(), migrate());
    let steps: usize = [a, b, c].into_iter().map(|ran| ran.unwrap().steps.len()).sum();
    assert_eq!(steps, 10);
}

#[tokio::test]
async fn a_missing_file_asks_for_migrate() {
    let dir = TempDir::new().unwrap();
    let missing = |path| OpenError::Missing { path };
    let nowhere = dir.path().join("nowhere");
    let expected = missing(nowhere.join("policy.db"));
    check(SqliteStore::open(&nowhere).await, &expected, "magistrate migrate");
    SqliteStore::create_or_migrate(dir.path()).await.unwrap();
    let decisions = dir.path().join("decisions.db");
    fs::remove_file(&decisions).unwrap();
    check(SqliteStore::open(dir.path()).await, &missing(decisions), "magistrate migrate");
}

#[tokio::test]
async fn an_older_schema_asks_for_migrate() {
    let dir = TempDir::new().unwrap();
    let files = Files::new(dir.path());
    files.create().unwrap();
    let older = |found| OpenError::Older { path: files.policy(), found, wanted: 5 };
    check(SqliteStore::open(dir.path()).await, &older(0), "magistrate migrate");
    let mut connection = connect(dir.path(), "policy.db").await;
    POLICY.migrator().run_to(1, &mut connection).await.unwrap();
    check(SqliteStore::open(dir.path()).await, &older(1), "magistrate migrate");
    let steps = SqliteStore::create_or_migrate(dir.path()).await.unwrap().steps;
    assert_eq!(steps.first().unwrap().version, 2);
    SqliteStore::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_asks_for_a_newer_program() {
    let fresh = Fresh::new().await;
    let mut connection = fresh.connect("decisions.db").await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9, 'to come', true, x'00', 0)";
    run(&mut connection, newer).await.unwrap();
    let path = fresh.files().decisions();
    let expected = OpenError::Newer { path, found: 9, known: 5 };
    check(SqliteStore::open(fresh.dir.path()).await, &expected, "upgrade the program");
    assert_eq!(SqliteStore::create_or_migrate(fresh.dir.path()).await, Err(expected));
}

#[tokio::test]
async fn a_migration_that_was_changed_is_named() {
    let fresh = Fresh::new().await;
    let mut connection = fresh.connect("policy.db").await;
    run(&mut connection, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2").await.unwrap();
    let expected = OpenError::Altered { path: fresh.files().policy(), version: 2 };
    check(SqliteStore::open(fresh.dir.path()).await, &expected, "restore the file");
    assert_eq!(SqliteStore::create_or_migrate(fresh.dir.path()).await, Err(expected));
}

#[tokio::test]
async fn garbage_is_not_a_database() {
    let fresh = Fresh::new().await;
    fresh.store.close().await;
    let path = fresh.files().policy();
    fs::write(&path, b"This is a text of some length and not a database at all. ".repeat(200)).unwrap();
    let expected = OpenError::Corrupt { path };
    check(SqliteStore::open(fresh.dir.path()).await, &expected, "restore it from a copy");
    assert_eq!(SqliteStore::create_or_migrate(fresh.dir.path()).await, Err(expected));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_read_only() {
    let fresh = Fresh::new().await;
    let expected = OpenError::ReadOnly { path: fresh.files().policy() };
    let opened = SqliteStore::open_files(fresh.files().read_only()).await;
    check(opened, &expected, "write access");
}

#[tokio::test]
async fn a_path_below_a_file_is_unusable() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SqliteStore::create_or_migrate(&file.join("data")).await.unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_exclusive_lock_is_reported_as_locked() {
    let fresh = Fresh::new().await;
    fresh.store.close().await;
    let mut holder = fresh.connect("policy.db").await;
    run(&mut holder, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE revision SET value = value")
        .await
        .unwrap();
    let path = fresh.files().policy();
    let impatient = fresh.files().waiting(Duration::from_millis(20));
    check(SqliteStore::open_files(impatient).await, &OpenError::Locked { path }, "locked by another process");
}

/// As another process would, while a server runs and is writing.
#[tokio::test]
async fn a_second_reader_is_not_stopped_by_a_writer() {
    let fresh = Fresh::new().await;
    commit(&fresh, &[Change::PutEntity(EntityData::bare(uid("User::ana")))]).await.unwrap();
    let mut writer = fresh.connect("policy.db").await;
    run(&mut writer, "BEGIN IMMEDIATE; UPDATE revision SET value = value + 1").await.unwrap();
    let reader = SqliteStore::open(fresh.dir.path()).await.unwrap();
    assert_eq!(reader.load().await.unwrap().head.revision.number(), 1);
    run(&mut writer, "COMMIT").await.unwrap();
    assert_eq!(reader.standing().await.unwrap().head.revision.number(), 2);
}
