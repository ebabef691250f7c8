//! Every statement is one that the schema knows, and pages of history are read in the order of an index.

use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};

use super::fresh::Fresh;
use crate::{decisions, policy};

#[tokio::test]
async fn every_statement_prepares() {
    let fresh = Fresh::new().await;
    let mut connection = PgConnection::connect(&fresh.created.superuser_url()).await.unwrap();
    for (name, sql) in decisions::statements::ALL.iter().chain(policy::statements::ALL) {
        let prepared = (&mut connection).prepare((*sql).into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}
