//! What only PostgreSQL does with administrative state.

use magistrate_model::{Change, EntityData, Revision, ScopeDeclaration};
use magistrate_pap::{Changes, CommitError, EntityFilter, Records, StoreError};
use magistrate_pdp::{LoadError, PastStates, PolicySource, Since};
use magistrate_testkit::store_suite::commit;
use magistrate_testkit::store_suite::sample::{apply, authorship, entity, policy_set, role_grant, scope, uid};
use serde_json::json;

use super::fresh::Fresh;
use crate::NodeReport;

/// A text that looks like a reference is a text, wherever it stands.
#[tokio::test]
async fn only_references_name_an_entity() {
    let fresh = Fresh::new().await;
    let reference = json!({ "__entity": { "id": "b\"o{b", "type": "User" } });
    let text = reference.to_string();
    let key = json!({ text.as_str(): 1, "__entity": text.as_str() });
    let others = [
        ("text", json!({ "a": text.as_str(), "b": [text.as_str(), [text.as_str()]] })),
        ("quoted", json!({ "a": json!(text.as_str()).to_string() })),
        ("key", key),
        ("brace", json!({ "a": "{", "b": "\\{", "c": format!("x{text}y") })),
        ("other", json!({ "a": { "__entity": { "id": "b\"o{b2", "type": "User" } } })),
        ("type", json!({ "a": { "__entity": { "id": "b\"o{b", "type": "User::Admin" } } })),
        ("argument", json!({ "a": { "id": "b\"o{b", "type": "User" } })),
    ];
    let naming = [
        ("direct", json!({ "a": reference })),
        ("in-set", json!({ "a": [1, reference] })),
        ("in-record", json!({ "x": { "y": { "z": reference }, "w": text.as_str() } })),
    ];
    let put = |(id, attributes): &(&str, serde_json::Value)| {
        Change::PutEntity(entity(&format!("Doc::{id}"), attributes, &[]))
    };
    let changes: Vec<Change> = others.iter().chain(&naming).map(put).collect();
    commit(&fresh, &changes).await.unwrap();
    let wanted = magistrate_model::EntityUid::from_parts("User", "b\"o{b").unwrap();
    let filter = EntityFilter { naming: Some(wanted), ..EntityFilter::default() };
    let found = fresh.store.entities(&filter).await.unwrap();
    let ids: Vec<String> = found.iter().map(|entity| entity.uid.id().as_str().to_owned()).collect();
    assert_eq!(ids, ["direct", "in-record", "in-set"]);
}

#[tokio::test]
async fn a_text_that_postgres_cannot_hold_is_refused_in_words() {
    let fresh = Fresh::new().await;
    let mut set = policy_set(1, &["a"]);
    set.schema = "entity User; // \0".into();
    let scope = ScopeDeclaration { description: "a \0 b".to_owned(), ..scope("orders:read") };
    for change in [Change::PutScope(scope), apply(set, "first"), apply(policy_set(1, &["a"]), "fir\0st")] {
        let refused = commit(&fresh, &[change]).await.unwrap_err();
        assert!(matches!(&refused, CommitError::Refused(why) if why.contains("NUL")), "{refused:?}");
    }
    assert_eq!(fresh.store.standing().await.unwrap().head.revision, Revision::ZERO);
}

#[tokio::test]
async fn a_row_that_is_not_valid_is_named() {
    let fresh = Fresh::new().await;
    commit(&fresh, &[Change::PutEntity(EntityData::bare(uid("User::bob")))]).await.unwrap();
    fresh.created.sql(
        "ALTER TABLE magistrate.entity DISABLE TRIGGER USER;
         INSERT INTO magistrate.entity (type, id, attributes, valid_from) VALUES ('User', 'eve', '{\"a\":null}', 1);",
    );
    let loaded = fresh.store.load().await.unwrap_err();
    let LoadError::Inconsistent { table, row, why } = loaded else { panic!("{loaded:?}") };
    assert_eq!((table, row.as_str()), ("entity", "User::\\\"eve\\\""));
    assert!(why.contains("attributes.a"), "{why}");
    let found = fresh.store.entities(&EntityFilter::default()).await;
    assert!(matches!(found, Err(StoreError::Inconsistent { .. })));
}

/// What was changed behind the log's back is noticed, whether the log or its digests were changed.
#[tokio::test]
async fn a_log_that_was_changed_no_longer_leads_to_the_head() {
    let fresh = Fresh::new().await;
    let start = fresh.store.standing().await.unwrap().head;
    commit(&fresh, &[Change::PutEntity(EntityData::bare(uid("User::ana")))]).await.unwrap();
    let first = fresh.store.standing().await.unwrap().head;
    commit(&fresh, &[Change::PutEntity(EntityData::bare(uid("User::bob")))]).await.unwrap();
    let head = fresh.store.standing().await.unwrap().head;
    assert_eq!(fresh.store.load_at(head.revision).await.unwrap().unwrap().head, head);
    fresh.created.sql(
        "ALTER TABLE magistrate.change_log DISABLE TRIGGER USER;
         UPDATE magistrate.change_log SET actor = 'eve' WHERE revision = 1;",
    );
    assert_ne!(fresh.store.load_at(head.revision).await.unwrap().unwrap().head, head);
    assert_eq!(fresh.store.since(start, 9).await, Ok(Since::Forked(head)));
    assert!(matches!(fresh.store.since(first, 9).await, Ok(Since::Changes { .. })));
    fresh.created.sql(
        "ALTER TABLE magistrate.revision_lineage DISABLE TRIGGER USER;
         UPDATE magistrate.revision_lineage SET lineage = sha256('') WHERE revision = 1;",
    );
    assert_eq!(fresh.store.since(first, 9).await, Ok(Since::Forked(head)));
}

/// Should database and program ever disagree on the digest of a revision, it is not made.
#[tokio::test]
async fn a_revision_that_the_database_sees_otherwise_is_not_made() {
    let fresh = Fresh::new().await;
    fresh.created.sql(
        "CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.reason := 'other'; RETURN NEW; END $$;
         CREATE TRIGGER aaa BEFORE INSERT ON magistrate.change_log FOR EACH ROW EXECUTE FUNCTION public.meddle();",
    );
    let change = [Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", None))];
    let refused = fresh.store.commit(Revision::ZERO, &change, &authorship()).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(fresh.store.standing().await.unwrap().head.revision, Revision::ZERO);
    assert_eq!(fresh.created.sql("SELECT count(*) FROM magistrate.change_log"), "0");
}

#[tokio::test]
async fn nodes_tell_what_they_serve() {
    let fresh = Fresh::new().await;
    let at = |text: &str| magistrate_testkit::instant(text);
    let report = |number: u8, name: &str, revision: u64, time: &str| NodeReport {
        stream: magistrate_testkit::store_suite::sample::stream(number),
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        revision: Revision::new(revision),
        policy_set: (revision > 1).then(|| policy_set(1, &[]).digest),
        started_at: at("2026-06-01T10:00:00Z"),
        reported_at: at(time),
    };
    let reports = [
        report(2, "node-1", 1, "2026-06-01T12:00:00Z"),
        report(1, "node-2", 2, "2026-06-01T12:00:01Z"),
        report(3, "node-1", 3, "2026-06-01T12:00:02Z"),
    ];
    for report in &reports {
        fresh.store.report(report).await.unwrap();
    }
    let [one, two, three] = reports;
    assert_eq!(fresh.store.nodes().await.unwrap(), [one, three.clone(), two]);
    let later = report(2, "node-1", 4, "2026-06-02T12:00:01.500Z");
    fresh.store.report(&later).await.unwrap();
    assert_eq!(fresh.store.nodes().await.unwrap(), [later, three], "who is silent for a day is forgotten");
}

#[tokio::test]
async fn the_clock_is_the_databases() {
    let fresh = Fresh::new().await;
    let before: i64 =
        fresh.created.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").parse().unwrap();
    let told = fresh.store.standing().await.unwrap().clock.unwrap().micros();
    let after: i64 =
        fresh.created.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").parse().unwrap();
    assert!(before <= told && told <= after, "{before} {told} {after}");
}
