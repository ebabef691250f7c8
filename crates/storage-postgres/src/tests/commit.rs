//! The function that administrative changes are committed with, asked in SQL.

use std::time::Duration;

use magistrate_ledger::lineage;
use magistrate_model::{Authorship, Digest, Instant, LoggedChange, Revision};
use sqlx::{Connection, PgConnection};

use super::setup::Installed;
use crate::{HardeningLevel, Role};

/// Commits as the admin role; the rows of the log are given, the rest is NULL or given as JSON.
async fn commit(
    admin: &mut PgConnection,
    base: i64,
    log: &str,
    entities: Option<&str>,
) -> Result<(i64, Vec<u8>), String> {
    let committed = sqlx::query_as(
        "SELECT revision, lineage FROM magistrate.commit($1, $2::json, $3::json, NULL, NULL, NULL, NULL, NULL, $4, $5, $6)",
    );
    let bound = committed.bind(base).bind(log).bind(entities).bind("änn").bind("because of it").bind(-7_i64);
    bound.fetch_one(admin).await.map_err(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

fn logged(revision: u64, ordinal: u32, before: Option<&str>, after: Option<&str>) -> LoggedChange {
    LoggedChange {
        revision: Revision::new(revision),
        ordinal,
        kind: "entity.put".into(),
        key: "User::\"ä\u{1F600}\"".into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
        authorship: Authorship {
            actor: "änn".parse().unwrap(),
            reason: "because of it".parse().unwrap(),
            at: Instant::from_micros(-7).unwrap(),
        },
    }
}

fn json(rows: &[LoggedChange]) -> String {
    let row = |row: &LoggedChange| serde_json::json!([row.ordinal, row.kind, row.key, row.before, row.after]);
    rows.iter().map(row).collect::<serde_json::Value>().to_string()
}

#[tokio::test]
async fn lineage_is_that_of_the_ledger() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let mut before = Digest::ZERO;
    let texts = [None, Some(""), Some("{\"a\":\"é\\n\"}")];
    for (revision, count) in (1..).zip([1, 9, 300]) {
        let rows: Vec<_> = (0..count)
            .map(|ordinal| logged(revision, ordinal, texts[ordinal as usize % 3], texts[ordinal as usize / 3 % 3]))
            .collect();
        before = lineage::extend(before, &rows);
        let committed = commit(&mut admin, i64::try_from(revision).unwrap() - 1, &json(&rows), None).await;
        assert_eq!(committed, Ok((i64::try_from(revision).unwrap(), before.as_bytes().to_vec())));
    }
    let kept =
        "SELECT revision, encode(lineage, 'hex') FROM magistrate.revision_lineage ORDER BY revision DESC LIMIT 1";
    assert_eq!(installed.created.sql(kept), format!("3|{before}"));
}

#[tokio::test]
async fn commits_are_dense_and_refused_whole() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let log = r#"[[0,"k","x",null,null]]"#;
    let begun = r#"{"ended": [], "begun": [["T","x","{}"]]}"#;
    assert_eq!(commit(&mut admin, 0, log, Some(begun)).await.map(|(revision, _)| revision), Ok(1));
    let refusals = [
        (0, log, None, "MG001"),
        (2, log, None, "MG001"),
        (1, "[]", None, "MG004"),
        (1, log, Some(begun), "23505"),
        (1, log, Some(r#"{"ended": [["T","y"]], "begun": []}"#), "MG004"),
        (1, log, Some(r#"{"ended": [["T","x"],["T","x"]], "begun": []}"#), "MG004"),
        (1, r#"[[0,"k","x",null,null],[0,"k","y",null,null]]"#, None, "23505"),
        (1, r#"[[0,null,"x",null,null]]"#, None, "23502"),
    ];
    for (base, log, entities, expected) in refusals {
        assert_eq!(
            commit(&mut admin, base, log, entities).await.map(drop),
            Err(expected.to_owned()),
            "{log} {entities:?}"
        );
    }
    let replaced = r#"{"ended": [["T","x"]], "begun": [["T","x","{\"a\":1}"]]}"#;
    assert_eq!(commit(&mut admin, 1, log, Some(replaced)).await.map(|(revision, _)| revision), Ok(2));
    let rows = "SELECT attributes, valid_from, valid_to FROM magistrate.entity ORDER BY valid_from";
    assert_eq!(installed.created.sql(rows), "{}|1|2\n{\"a\":1}|2|");
    assert_eq!(installed.created.sql("SELECT value FROM magistrate.revision"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_commits_at_once_one_is_told_that_the_store_moved() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let url = installed.login(Role::Admin);
    let racing = async || {
        let mut admin = PgConnection::connect(&url).await.unwrap();
        commit(&mut admin, 0, r#"[[0,"k","x",null,null]]"#, None).await.map(|(revision, _)| revision)
    };
    let (one, other) = tokio::join!(racing(), racing());
    let mut both = [one, other];
    both.sort();
    assert_eq!(both, [Ok(1), Err("MG001".to_owned())]);
}

#[tokio::test]
async fn ten_thousand_changes_are_one_quick_commit() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let log = json(&(0..10_000).map(|n| logged(1, n, None, Some("{}"))).collect::<Vec<_>>());
    let key = |n| serde_json::json!(["T", format!("entity {n}")]);
    let row = |n| serde_json::json!(["T", format!("entity {n}"), "{\"some\":\"attributes\"}"]);
    let keys: serde_json::Value = (0..10_000).map(key).collect();
    let begun: serde_json::Value = (0..10_000).map(row).collect();
    // On one connection: plans that suited the empty tables must not be kept for the full ones.
    for base in 0..3 {
        let ended = if base == 0 { serde_json::json!([]) } else { keys.clone() };
        let entities = serde_json::json!({ "ended": ended, "begun": begun }).to_string();
        let committing = commit(&mut admin, base, &log, Some(&entities));
        let committed = tokio::time::timeout(Duration::from_secs(10), committing).await.expect("quick");
        assert_eq!(committed.map(|(revision, _)| revision), Ok(base + 1));
    }
}
