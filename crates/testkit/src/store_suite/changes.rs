//! What changes leave behind: in the state, and in the log.

use magistrate_model::{Change, Dataset, EntityData, LoggedChange, Revision, json};
use magistrate_pap::Changes;
use magistrate_pdp::{PastStates, PolicySource};
use serde_json::{Value as Json, json};

use super::sample::{apply, authorship, entity, policy_set, role_grant, scope, scope_grant, uid};
use super::{StoreUnderTest, commit};

/// One change of every kind that begins something.
fn beginnings() -> Vec<Change> {
    let attributes = json!({
        "name": "it's \"ana\"", "level": -3, "admin": false, "nested": { "a": [1, 2], "b": {} },
        "boss": { "__entity": { "type": "User", "id": "bob" } },
        "from": { "__extn": { "fn": "ip", "arg": "10.0.0.1" } }, "text": "line\nNUL \u{0} 🦀", "number": "007",
    });
    vec![
        Change::PutEntity(entity("User::ana", &attributes, &["Team::sales", "Team::night"])),
        Change::PutEntity(EntityData::bare(uid("Role::editor"))),
        Change::PutScope(scope("orders:read")),
        Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", Some("Doc::doc1"))),
        Change::AddGrant(role_grant("g2", "Team::sales", "Role::editor", None)),
        Change::AddGrant(scope_grant("g3", "User::ana", "orders:*")),
        apply(policy_set(1, &["docs.read", "docs.write"]), "0001_first"),
    ]
}

fn expected(changes: &[Change], head: magistrate_model::Head) -> Dataset {
    let mut dataset = Dataset { head, policy_set: None, scopes: Vec::new(), entities: Vec::new(), grants: Vec::new() };
    for change in changes {
        match change.clone() {
            Change::PutEntity(entity) => dataset.entities.push(entity),
            Change::PutScope(scope) => dataset.scopes.push(scope),
            Change::AddGrant(grant) => dataset.grants.push(grant),
            Change::ApplyPolicySet { set, .. } => dataset.policy_set = Some(set),
            Change::DeleteEntity(_) | Change::DeleteScope(_) | Change::RevokeGrant(_) => {}
        }
    }
    dataset.entities.sort_by(|one, other| one.uid.cmp(&other.uid));
    dataset
}

/// Everything comes back as it was given.
pub async fn every_kind_of_change_is_loaded_back_exactly<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let changes = beginnings();
    let revision = commit(&subject, &changes).await.unwrap();
    let loaded = subject.store().load().await.unwrap();
    assert_eq!(loaded.head.revision, revision);
    assert_eq!(loaded, expected(&changes, loaded.head));
    assert_eq!(subject.store().load_at(revision).await.unwrap(), Some(loaded));
}

/// What ends leaves the state, and stays in the past.
pub async fn what_is_deleted_or_revoked_is_gone<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let first = commit(&subject, &beginnings()).await.unwrap();
    let before = subject.store().load().await.unwrap();
    let endings = [
        Change::DeleteEntity(uid("User::ana")),
        Change::DeleteEntity(uid("Role::editor")),
        Change::DeleteScope("orders:read".parse().unwrap()),
        Change::RevokeGrant("g1".parse().unwrap()),
        Change::RevokeGrant("g2".parse().unwrap()),
        Change::RevokeGrant("g3".parse().unwrap()),
    ];
    commit(&subject, &endings).await.unwrap();
    let after = subject.store().load().await.unwrap();
    assert_eq!((&after.entities[..], &after.grants[..], &after.scopes[..]), (&[][..], &[][..], &[][..]));
    assert_eq!(after.policy_set, before.policy_set);
    assert_eq!(subject.store().load_at(first).await.unwrap(), Some(before));
    commit(&subject, &beginnings()).await.unwrap();
    assert_eq!(subject.store().load().await.unwrap().grants.len(), 3);
}

/// Within a commit, later changes see earlier ones; the log keeps them all.
pub async fn changes_of_one_key_in_one_commit_leave_the_last<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let put = |level: i64| Change::PutEntity(entity("User::ana", &json!({ "level": level }), &["Team::sales"]));
    let add = |role: &str| Change::AddGrant(role_grant("g1", "User::ana", role, None));
    let revoke = || Change::RevokeGrant("g1".parse().unwrap());
    let delete = || Change::DeleteEntity(uid("User::ana"));
    commit(&subject, &[put(1), put(2), add("Role::a"), revoke(), add("Role::b")]).await.unwrap();
    commit(&subject, &[delete(), put(3), put(2), revoke(), add("Role::b")]).await.unwrap();
    commit(&subject, &[put(4), delete(), revoke(), Change::AddGrant(scope_grant("g1", "User::ana", "a:b"))])
        .await
        .unwrap();
    let loaded = subject.store().load().await.unwrap();
    assert_eq!((loaded.entities.len(), loaded.grants), (0, vec![scope_grant("g1", "User::ana", "a:b")]));
    let second = subject.store().load_at(Revision::new(2)).await.unwrap().unwrap();
    assert_eq!(second.entities, [entity("User::ana", &json!({ "level": 2 }), &["Team::sales"])]);
    assert_eq!(subject.store().log(Revision::ZERO, 100).await.unwrap().len(), 14);
}

/// The log has one row a change, with who, why, when, before and after.
pub async fn the_log_tells_what_was_there_before_and_after<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (one, two) = (entity("User::ana", &json!({"level": 1}), &[]), entity("User::ana", &json!({"level": 2}), &[]));
    let grant = role_grant("g1", "User::ana", "Role::editor", None);
    let set = |number| apply(policy_set(number, &["docs.read"]), "0001_first");
    commit(&subject, &[Change::PutEntity(one.clone()), Change::AddGrant(grant.clone()), set(1)]).await.unwrap();
    let second = [
        Change::PutEntity(two.clone()),
        Change::DeleteEntity(two.uid.clone()),
        Change::RevokeGrant(grant.id().clone()),
        set(2),
    ];
    commit(&subject, &second).await.unwrap();
    let log = subject.store().log(Revision::new(1), 100).await.unwrap();
    assert!(log.iter().all(|row| row.authorship == authorship() && row.revision == Revision::new(2)));
    let kinds: Vec<(u32, String, String)> =
        log.iter().map(|row| (row.ordinal, row.kind.clone(), row.key.clone())).collect();
    let wanted = (0..).zip(&second).map(|(n, change)| (n, change.kind().to_owned(), change.key()));
    assert_eq!(kinds, wanted.collect::<Vec<_>>());
    let (one, two, grant) = (json::entity(&one), json::entity(&two), json::grant(&grant));
    assert_eq!(difference(&log[0]), (Some(one), Some(two.clone())));
    assert_eq!(difference(&log[1]), (Some(two), None));
    assert_eq!(difference(&log[2]), (Some(grant), None));
    let (before, after) = difference(&log[3]);
    assert_eq!(before.unwrap()["digest"], policy_set(1, &[]).digest.to_string());
    assert_eq!(after.unwrap()["digest"], policy_set(2, &[]).digest.to_string());
    let first = subject.store().log(Revision::ZERO, 1).await.unwrap();
    assert_eq!((first.len(), log.len()), (3, 4), "a revision is told whole or not at all");
    assert_eq!(subject.store().log(Revision::new(2), 9).await.unwrap(), []);
}

fn difference(row: &LoggedChange) -> (Option<Json>, Option<Json>) {
    let read = |text: &Option<String>| text.as_deref().map(|text| json::parse(text).unwrap());
    (read(&row.before), read(&row.after))
}

/// Ids are compared byte by byte and come back as they were given.
pub async fn unusual_ids_stay_distinct_and_exact<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let long = "x".repeat(256);
    let ids = [
        "a",
        "A",
        "a ",
        " a",
        "a  ",
        "'",
        "''",
        "\"",
        "\\\"",
        "\\",
        "\\\\",
        "%",
        "_",
        "7",
        "07",
        "7.0",
        "null",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "🦀",
        "\u{10FFFF}",
        "a::b",
        "[1]",
        "{}",
        "$.x",
        "--",
        ";",
        &long,
    ];
    let uids = ids.map(|id| magistrate_model::EntityUid::from_parts("User", id).unwrap());
    let put = |(n, uid): (usize, &magistrate_model::EntityUid)| {
        let mut entity = entity("User::x", &json!({ "n": n }), &[]);
        entity.uid = uid.clone();
        entity.parents = uids.iter().take(n).cloned().collect();
        entity
    };
    let mut entities: Vec<EntityData> = uids.iter().enumerate().map(put).collect();
    let changes: Vec<Change> = entities.iter().cloned().map(Change::PutEntity).collect();
    commit(&subject, &changes).await.unwrap();
    entities.sort_by(|one, other| one.uid.cmp(&other.uid));
    assert_eq!(subject.store().load().await.unwrap().entities, entities);
    for gone in uids {
        commit(&subject, &[Change::DeleteEntity(gone.clone())]).await.unwrap();
        entities.retain(|entity| entity.uid != gone);
        assert_eq!(subject.store().load().await.unwrap().entities, entities);
    }
}

/// Each apply is a migration, a set that is live already included; a stored set never changes.
pub async fn policy_sets_are_immutable_and_applied_in_order<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (one, two) = (policy_set(1, &["a", "b"]), policy_set(2, &["a", "c"]));
    let mut reformatted = one.clone();
    reformatted.schema = "entity User ; // reformatted".into();
    for (set, name) in [(&one, "first"), (&two, "second"), (&two, "again"), (&reformatted, "back")] {
        commit(&subject, &[apply(set.clone(), name)]).await.unwrap();
    }
    assert_eq!(subject.store().load().await.unwrap().policy_set, Some(one.clone()));
    let migrations = subject.store().migrations().await.unwrap();
    let told: Vec<_> =
        migrations.iter().map(|it| (it.number, it.name.as_str(), it.base, it.result, it.revision.number())).collect();
    let (a, b) = (one.digest, two.digest);
    let wanted = [
        (1, "first", None, a, 1),
        (2, "second", Some(a), b, 2),
        (3, "again", Some(b), b, 3),
        (4, "back", Some(b), a, 4),
    ];
    assert_eq!(told, wanted);
    assert!(migrations.iter().all(|it| it.authorship == authorship()));
    assert_eq!(subject.store().load_at(Revision::new(3)).await.unwrap().unwrap().policy_set, Some(two));
}

/// An import is one commit, and one revision.
pub async fn ten_thousand_changes_are_one_revision<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let change = |n: usize| match n % 2 {
        0 => Change::PutEntity(entity(&format!("User::u{n}"), &json!({ "n": n }), &["Team::a", "Team::b"])),
        _ => Change::AddGrant(role_grant(&format!("g{n}"), &format!("User::u{n}"), "Role::r", None)),
    };
    let changes: Vec<Change> = (0..10_000).map(change).collect();
    let revision = commit(&subject, &changes).await.unwrap();
    let loaded = subject.store().load().await.unwrap();
    assert_eq!(revision, Revision::new(1));
    assert_eq!((loaded.entities.len(), loaded.grants.len()), (5_000, 5_000));
    assert_eq!(subject.store().log(Revision::ZERO, u32::MAX).await.unwrap().len(), 10_000);
}
