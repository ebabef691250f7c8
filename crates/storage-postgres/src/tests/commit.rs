//! The function that administrative changes are committed with, asked in SQL.

use std::time::Duration;

use magistrate_ledger::lineage;
use magistrate_model::{Authorship, Digest, Instant, LoggedChange, Revision};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::setup::Installed;
use crate::{HardeningLevel, Role};

/// Commits as the admin role.
async fn commit(admin: &mut PgConnection, base: i64, log: &Value) -> Result<(i64, Vec<u8>), String> {
    let committed = sqlx::query_as("SELECT revision, lineage FROM magistrate.commit($1, $2::json, NULL, $3, $4, $5)");
    let bound = committed.bind(base).bind(log.to_string()).bind("änn").bind("because of it").bind(-7_i64);
    bound.fetch_one(admin).await.map_err(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

fn entity(id: &str, attributes: &Value, parents: &[&str]) -> Value {
    let parents: Vec<Value> = parents.iter().map(|id| json!({ "id": id, "type": "G" })).collect();
    json!({ "attributes": attributes, "parents": parents, "uid": { "id": id, "type": "T" } })
}

fn grant(id: &str, what: (&str, &Value), end: &str) -> Value {
    json!({ "id": id, "holder": { "type": "U", "id": "a" }, what.0: what.1, "expires_at": end, "reason": "r" })
}

/// A row of the log; JSON null is an absent side.
fn row(ordinal: u32, kind: &str, key: &str, before: &Value, after: &Value) -> Value {
    let side = |json: &Value| if json.is_null() { Value::Null } else { Value::from(json.to_string()) };
    json!([ordinal, kind, key, side(before), side(after)])
}

fn put(ordinal: u32, id: &str, before: &Value, after: &Value) -> Value {
    row(ordinal, "entity.put", &format!("T::\"{id}\""), before, after)
}

#[tokio::test]
async fn lineage_is_that_of_the_ledger() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let authorship = Authorship {
        actor: "änn".parse().unwrap(),
        reason: "because of it".parse().unwrap(),
        at: Instant::from_micros(-7).unwrap(),
    };
    let (mut before, mut known) = (Digest::ZERO, Value::Null);
    for (revision, count) in (1_i64..).zip([1_u32, 9, 300]) {
        let (mut rows, mut logged) = (Vec::new(), Vec::new());
        for ordinal in 0..count {
            let after = entity("ä\u{1F600}", &json!({ "é\n": revision * 1_000 + i64::from(ordinal) }), &["g"]);
            rows.push(put(ordinal, "ä\u{1F600}", &known, &after));
            logged.push(LoggedChange {
                revision: Revision::new(revision.unsigned_abs()),
                ordinal,
                kind: "entity.put".into(),
                key: "T::\"ä\u{1F600}\"".into(),
                before: (!known.is_null()).then(|| known.to_string()),
                after: Some(after.to_string()),
                authorship: authorship.clone(),
            });
            known = after;
        }
        before = lineage::extend(before, &logged);
        let committed = commit(&mut admin, revision - 1, &Value::Array(rows)).await;
        assert_eq!(committed, Ok((revision, before.as_bytes().to_vec())));
    }
    let kept =
        "SELECT revision, encode(lineage, 'hex') FROM magistrate.revision_lineage ORDER BY revision DESC LIMIT 1";
    assert_eq!(installed.created.sql(kept), format!("3|{before}"));
}

/// What an administrator's login could claim to hide what it does.
#[tokio::test]
async fn log_that_is_not_true_is_refused() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let (none, end) = (Value::Null, "2027-01-01T00:00:00Z");
    let ana = entity("ana", &json!({ "a": 1 }), &["g", "h"]);
    let role = grant("g1", ("role", &json!({ "type": "R", "id": "r" })), end);
    let scope = grant("g2", ("scope", &json!("orders:read")), end);
    let read = json!({ "scope": "orders:read", "action_group": "Action::\"x\"", "description": "" });
    let first = [
        put(0, "ana", &none, &ana),
        row(1, "grant.add", "g1", &none, &role),
        row(2, "grant.add", "g2", &none, &scope),
        row(3, "scope.put", "orders:read", &none, &read),
    ];
    commit(&mut admin, 0, &json!(first)).await.unwrap();
    let other = entity("ana", &json!({ "a": 2 }), &["g", "h"]);
    let fewer = entity("ana", &json!({ "a": 1 }), &["g"]);
    let later = grant("g1", ("role", &json!({ "type": "R", "id": "r" })), "2027-01-01T00:00:00.000001Z");
    let wider = grant("g2", ("scope", &json!("orders:*")), end);
    let forever = grant("g9", ("scope", &json!("orders:*")), "infinity");
    let both = json!({ "id": "g9", "holder": { "type": "U", "id": "a" }, "role": { "type": "R", "id": "r" },
        "scope": "x:y", "expires_at": end, "reason": "r" });
    let lies = [
        // What was there before.
        vec![put(0, "ana", &none, &other)],
        vec![put(0, "ana", &other, &ana)],
        vec![put(0, "ana", &fewer, &ana)],
        vec![put(0, "bob", &entity("bob", &json!({}), &[]), &none)],
        vec![row(0, "entity.delete", "T::\"ana\"", &other, &none)],
        vec![row(0, "grant.revoke", "g1", &later, &none)],
        vec![row(0, "grant.revoke", "g1", &scope, &none)],
        vec![row(0, "grant.revoke", "g2", &wider, &none)],
        vec![row(0, "grant.add", "g1", &none, &role)],
        vec![row(0, "grant.add", "g1", &none, &wider)],
        vec![row(0, "scope.delete", "orders:write", &read, &none)],
        vec![row(0, "scope.put", "orders:read", &none, &read)],
        // Which thing it is about.
        vec![put(0, "eve", &none, &entity("bob", &json!({}), &[]))],
        vec![row(0, "grant.revoke", "g2", &role, &none)],
        vec![row(0, "scope.put", "orders:write", &none, &read)],
        vec![put(0, "ana", &ana, &entity("bob", &json!({}), &[]))],
        // Which kind of change it is.
        vec![row(0, "grant.revoke", "g9", &none, &forever)],
        vec![row(0, "entity.delete", "T::\"ana\"", &ana, &other)],
        vec![row(0, "entity.renamed", "T::\"ana\"", &ana, &other)],
        vec![row(0, "policy.apply", &"ab".repeat(32), &none, &json!({ "digest": "ab".repeat(32), "migration": "m" }))],
        // Several changes of one thing.
        vec![put(0, "ana", &ana, &other), put(1, "ana", &ana, &fewer)],
        // What no program could read.
        vec![row(0, "grant.add", "g9", &none, &forever)],
        vec![row(0, "grant.add", "g9", &none, &both)],
    ];
    for lie in lies {
        let refused = commit(&mut admin, 1, &json!(lie)).await;
        assert_eq!(refused, Err("MG004".to_owned()), "{lie:?}");
    }
    let truth = [
        put(0, "ana", &ana, &other),
        put(1, "ana", &other, &fewer),
        row(2, "grant.revoke", "g1", &role, &none),
        row(3, "grant.add", "g1", &none, &later),
        row(4, "entity.put", "T::\"x\"", &none, &entity("x", &json!({}), &[])),
        row(5, "entity.delete", "T::\"x\"", &entity("x", &json!({}), &[]), &none),
    ];
    assert_eq!(commit(&mut admin, 1, &json!(truth)).await.map(|(revision, _)| revision), Ok(2));
    let rows = "SELECT id, attributes, valid_from, valid_to FROM magistrate.entity ORDER BY valid_from";
    assert_eq!(installed.created.sql(rows), "ana|{\"a\":1}|1|2\nana|{\"a\":1}|2|");
    let parents = "SELECT parent_id, valid_from, valid_to FROM magistrate.entity_parent ORDER BY parent_id";
    assert_eq!(installed.created.sql(parents), "g|1|\nh|1|2");
    let terms = "SELECT expires_at - 1798761600000000, valid_from, valid_to FROM magistrate.role_assignment ORDER BY 1";
    assert_eq!(installed.created.sql(terms), "0|1|2\n1|2|");
}

#[tokio::test]
async fn commits_are_dense_and_refused_whole() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let (none, x) = (Value::Null, entity("x", &json!({}), &[]));
    let log = json!([put(0, "x", &none, &x)]);
    assert_eq!(commit(&mut admin, 0, &log).await.map(|(revision, _)| revision), Ok(1));
    let more = json!({ "a": 1 });
    let again = put(0, "x", &x, &entity("x", &more, &[]));
    let refusals = [
        (0, json!([again]), "MG001"),
        (2, json!([again]), "MG001"),
        (1, json!([]), "MG004"),
        (1, log.clone(), "MG004"),
        (1, json!([again, put(0, "y", &none, &entity("y", &more, &[]))]), "23505"),
        (1, json!([[0, null, "x", null, null]]), "23502"),
    ];
    for (base, log, expected) in refusals {
        assert_eq!(commit(&mut admin, base, &log).await.map(drop), Err(expected.to_owned()), "{log}");
    }
    assert_eq!(commit(&mut admin, 1, &json!([again])).await.map(|(revision, _)| revision), Ok(2));
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
        let log = json!([put(0, "x", &Value::Null, &entity("x", &json!({}), &[]))]);
        commit(&mut admin, 0, &log).await.map(|(revision, _)| revision)
    };
    let (one, other) = tokio::join!(racing(), racing());
    let mut both = [one, other];
    both.sort();
    assert_eq!(both, [Ok(1), Err("MG001".to_owned())]);
}

#[tokio::test]
async fn ten_thousand_changes_are_one_commit() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    let mut admin = PgConnection::connect(&installed.login(Role::Admin)).await.unwrap();
    let state = |n: u32, round: i64| match round {
        0 => Value::Null,
        round => entity(&format!("entity {n}"), &json!({ "round": round }), &[]),
    };
    // On one connection: plans that suited the empty tables must not be kept for the full ones.
    for base in 0..3 {
        let change = |n| put(n, &format!("entity {n}"), &state(n, base), &state(n, base + 1));
        let log: Value = (0..10_000).map(change).collect();
        let committed = tokio::time::timeout(Duration::from_secs(30), commit(&mut admin, base, &log)).await;
        assert_eq!(committed.expect("in time").map(|(revision, _)| revision), Ok(base + 1));
    }
}
