//! Every statement against the schema it is written for.

use sqlx::{Executor, Row, SqlSafeStr};

use super::Fresh;
use crate::{decisions, migrate, policy};

#[tokio::test]
async fn every_statement_prepares() {
    let fresh = Fresh::new().await;
    let (mut policy, mut decisions) = (fresh.connect("policy.db").await, fresh.connect("decisions.db").await);
    for (name, sql) in policy::statements::ALL.iter().chain(migrate::ALL) {
        let prepared = policy.prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}");
    }
    let log = decisions::log_statements::ALL.iter().chain(decisions::retention_statements::ALL);
    let log = log.chain(decisions::erasing_statements::ALL);
    for (name, sql) in decisions::statements::ALL.iter().chain(log).chain(migrate::ALL) {
        let prepared = decisions.prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}");
    }
}

/// A page of history must not cost more as history grows.
#[tokio::test]
async fn history_is_read_in_index_order() {
    let fresh = Fresh::with_decisions().await;
    let mut connection = fresh.connect("decisions.db").await;
    let pages = |name: &str| name.starts_with("NEWEST") || name.starts_with("OLDEST");
    for (name, sql) in decisions::statements::ALL.iter().filter(|(name, _)| pages(name)) {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let scans = plan.iter().filter(|step| step.starts_with("SCAN decision")).count();
        assert_eq!(scans, 0, "{name}: {plan:?}");
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
        assert_eq!(sorts, name.contains("_BY_"), "{name}: {plan:?}");
    }
}
