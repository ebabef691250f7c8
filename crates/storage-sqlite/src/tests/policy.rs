//! The history of the administrative state cannot be changed from outside the rules either.

use magistrate_model::{Change, EntityData, Revision};
use magistrate_pap::{Records, StoreError};
use magistrate_pdp::{LoadError, PastStates, PolicySource};
use magistrate_testkit::store_suite::commit;
use magistrate_testkit::store_suite::sample::{apply, policy_set, role_grant, scope, scope_grant, uid};

use super::{Fresh, run};

async fn filled() -> Fresh {
    let fresh = Fresh::new().await;
    let mut ana = EntityData::bare(uid("User::ana"));
    ana.parents.insert(uid("Team::sales"));
    let changes = [
        Change::PutEntity(ana),
        Change::PutScope(scope("orders:read")),
        Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", None)),
        Change::AddGrant(scope_grant("g2", "User::ana", "orders:read")),
        apply(policy_set(1, &["a"]), "first"),
    ];
    commit(&fresh, &changes).await.unwrap();
    commit(&fresh, &[Change::PutEntity(EntityData::bare(uid("User::bob")))]).await.unwrap();
    fresh
}

#[tokio::test]
async fn history_is_neither_changed_nor_deleted_nor_replaced() {
    let fresh = filled().await;
    let before = fresh.store.load().await.unwrap();
    let mut connection = fresh.connect("policy.db").await;
    let immutable = [
        ("change_log", "key = 'x'"),
        ("policy_set", "schema = 'x'"),
        ("policy", "text = 'x'"),
        ("policy_migration", "name = 'x'"),
        ("entity", "attributes = '{}'"),
        ("entity", "valid_from = 2"),
        ("entity", "valid_to = 7"),
        ("entity_parent", "parent_id = 'x'"),
        ("scope", "description = 'x'"),
        ("role_assignment", "expires_at = NULL"),
        ("scope_assignment", "scope = '*:*'"),
        ("revision", "value = value - 1"),
        ("revision", "value = value + 2"),
    ];
    for (table, change) in immutable {
        let attempts = [
            format!("UPDATE {table} SET {change}"),
            format!("UPDATE OR REPLACE {table} SET {change}"),
            format!("DELETE FROM {table}"),
            format!("REPLACE INTO {table} SELECT * FROM {table}"),
            format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT DO UPDATE SET {change}"),
        ];
        for attempt in attempts {
            let result = sqlx::query(sqlx::AssertSqlSafe(attempt.clone())).execute(&mut connection).await;
            assert!(result.is_err(), "{attempt}");
        }
    }
    assert_eq!(fresh.store.load().await.unwrap(), before);
}

#[tokio::test]
async fn a_row_ends_only_once_and_only_now() {
    let fresh = filled().await;
    let mut connection = fresh.connect("policy.db").await;
    let end = "UPDATE entity SET valid_to = (SELECT value FROM revision) WHERE id = 'ana'";
    run(&mut connection, end).await.unwrap();
    run(&mut connection, end).await.unwrap_err();
    run(&mut connection, "UPDATE entity SET valid_to = NULL WHERE id = 'ana'").await.unwrap_err();
    let backdated = "INSERT INTO entity (type, id, attributes, valid_from) VALUES ('User', 'eve', '{}', 1)";
    run(&mut connection, backdated).await.unwrap_err();
}

#[tokio::test]
async fn a_policy_joins_no_set_that_was_applied() {
    let fresh = filled().await;
    let mut connection = fresh.connect("policy.db").await;
    let join = "INSERT INTO policy SELECT set_digest, 'z', text FROM policy";
    assert!(run(&mut connection, join).await.unwrap_err().contains("never replaced or added"));
}

#[tokio::test]
async fn a_row_that_is_not_valid_is_named() {
    let fresh = filled().await;
    let mut connection = fresh.connect("policy.db").await;
    let insert = "INSERT INTO entity (type, id, attributes, valid_from) VALUES ('User', 'eve', '{\"a\":null}', 2)";
    run(&mut connection, insert).await.unwrap();
    let loaded = fresh.store.load().await.unwrap_err();
    let LoadError::Inconsistent { table, row, why } = loaded else {
        panic!("{loaded:?}");
    };
    assert_eq!((table, row.as_str()), ("entity", "User::\\\"eve\\\""));
    assert!(why.contains("attributes.a"), "{why}");
    let found = fresh.store.entities(&magistrate_pap::EntityFilter::default()).await;
    assert!(matches!(found, Err(StoreError::Inconsistent { .. })));
}

#[tokio::test]
async fn a_log_that_was_changed_no_longer_leads_to_the_head() {
    let fresh = filled().await;
    let mut connection = fresh.connect("policy.db").await;
    run(&mut connection, "DROP TRIGGER change_log_refuses_update").await.unwrap();
    run(&mut connection, "UPDATE change_log SET actor = 'eve' WHERE revision = 1 AND ordinal = 0").await.unwrap();
    let head = fresh.store.standing().await.unwrap().head;
    let computed = fresh.store.load_at(Revision::new(2)).await.unwrap().unwrap().head;
    assert_eq!(computed.revision, head.revision);
    assert_ne!(computed.lineage, head.lineage);
}
