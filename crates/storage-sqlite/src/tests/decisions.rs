//! Recorded decisions cannot be changed, and changed ones are not believed.

use magistrate_ledger::DecisionId;
use magistrate_pdp::{DecisionFilter, DecisionHistory, HistoryError, Page};

use super::store_suite::sample::stream;
use super::{Fresh, run};

const COPY: &str =
    "day, stream, seq, leaf, recorded_at, class, principal, action, resource, decision, cause, request_id, body";

#[tokio::test]
async fn a_decision_cannot_be_changed_deleted_or_replaced() {
    let fresh = Fresh::with_decisions().await;
    let mut connection = fresh.connect("decisions.db").await;
    let attempts = [
        "UPDATE decision SET principal = 'User::\"eve\"'",
        "UPDATE OR REPLACE decision SET seq = seq + 1",
        "UPDATE OR IGNORE decision SET body = x'00'",
        "DELETE FROM decision",
        "DELETE FROM decision WHERE seq = 1",
        "REPLACE INTO decision SELECT * FROM decision WHERE seq = 1",
        "INSERT OR REPLACE INTO decision SELECT * FROM decision",
        "INSERT INTO decision SELECT * FROM decision WHERE true ON CONFLICT DO UPDATE SET cause = 'forbidden'",
        "INSERT INTO decision SELECT * FROM decision WHERE true
            ON CONFLICT (stream, seq) DO UPDATE SET cause = 'forbidden'",
        // The same place on another day is the same decision.
        "INSERT OR REPLACE INTO decision SELECT day + 1, stream, seq, leaf, recorded_at + 86400000000, class,
            principal, action, resource, decision, cause, request_id, body FROM decision",
    ];
    for attempt in attempts {
        let refused = run(&mut connection, attempt).await.unwrap_err();
        assert!(refused.contains("decisions are never"), "{attempt}: {refused}");
    }
    let found = fresh.store.page(&DecisionFilter::default(), Page::OldestFirst(None), 9).await.unwrap();
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn a_row_that_is_not_a_decision_is_refused() {
    let fresh = Fresh::with_decisions().await;
    let mut connection = fresh.connect("decisions.db").await;
    let columns: Vec<&str> = COPY.split(", ").collect();
    let changes = [
        ("day", "day + 1"),
        ("recorded_at", "recorded_at + 86400000000"),
        ("recorded_at", "-1"),
        ("stream", "x'00'"),
        ("leaf", "zeroblob(31)"),
        ("seq", "0"),
        ("decision", "'perhaps'"),
        ("class", "'none'"),
        ("seq", "'one'"),
        ("principal", "NULL"),
    ];
    for (column, value) in changes {
        let fields: Vec<&str> = columns
            .iter()
            .map(|name| match *name {
                name if name == column => value,
                "seq" => "seq + 100",
                name => name,
            })
            .collect();
        let sql = format!("INSERT INTO decision SELECT {} FROM decision", fields.join(", "));
        let inserted = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        let refused = inserted.unwrap_err().to_string();
        assert!(!refused.contains("never"), "{column} = {value}: {refused}");
    }
}

#[tokio::test]
async fn a_day_is_rounded_down_before_the_epoch() {
    let fresh = Fresh::with_decisions().await;
    let mut connection = fresh.connect("decisions.db").await;
    let insert = "INSERT INTO decision SELECT -1, stream, seq + 3, leaf, -1, class,
        principal, action, resource, decision, cause, request_id, body FROM decision";
    run(&mut connection, insert).await.unwrap();
}

#[tokio::test]
async fn a_tampered_decision_is_reported_as_damaged() {
    let changes = [
        "principal = 'User::\"eve\"'",
        "action = 'Action::\"write\"'",
        "resource = 'Doc::\"doc2\"'",
        "decision = 'deny'",
        "cause = 'no_permit'",
        "request_id = 'r'",
        "class = 'disk'",
        "leaf = zeroblob(32)",
        "recorded_at = recorded_at + 1",
        "day = day + 1, recorded_at = recorded_at + 86400000000",
        "body = x''",
        "body = CAST(body || x'00' AS BLOB)",
        "body = CAST(substr(body, 1, length(body) - 1) || x'01' AS BLOB)",
        "body = (SELECT body FROM decision WHERE seq = 1)",
    ];
    for change in changes {
        let fresh = Fresh::with_decisions().await;
        let mut connection = fresh.connect("decisions.db").await;
        run(&mut connection, "DROP TRIGGER decision_refuses_update").await.unwrap();
        let sql = format!("UPDATE decision SET {change} WHERE seq = 2");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        let id = |seq| DecisionId { stream: stream(1), seq };
        assert_damaged(change, fresh.store.find(id(2)).await.map(drop), id(2));
        let all = fresh.store.page(&DecisionFilter::default(), Page::OldestFirst(None), 9).await;
        assert_damaged(change, all.map(drop), id(2));
        assert!(fresh.store.find(id(1)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_decision_moved_to_another_place_is_reported_as_damaged() {
    let fresh = Fresh::with_decisions().await;
    let mut connection = fresh.connect("decisions.db").await;
    run(&mut connection, "DROP TRIGGER decision_refuses_update").await.unwrap();
    run(&mut connection, "UPDATE decision SET seq = 7 WHERE seq = 2").await.unwrap();
    let id = DecisionId { stream: stream(1), seq: 7 };
    assert_damaged("seq", fresh.store.find(id).await.map(drop), id);
}

fn assert_damaged(change: &str, read: Result<(), HistoryError>, expected: DecisionId) {
    match read {
        Err(HistoryError::Damaged { id, .. }) => assert_eq!(id, expected, "{change}"),
        other => panic!("{change}: {other:?}"),
    }
}
