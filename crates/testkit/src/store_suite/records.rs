//! Finding entities and grants.

use std::collections::BTreeSet;

use magistrate_model::{Change, Conferred, EntityData, Grant, Term};
use magistrate_pap::{EntityFilter, GrantFilter, Records};
use serde_json::json;

use super::sample::{apply, during_2026, entity, grant, policy_set, role_grant, scope, scope_grant, uid};
use super::{StoreUnderTest, commit};
use crate::instant;

/// How a filter is set, and the ids it finds.
type EntityCase<'a> = (&'a dyn Fn(&mut EntityFilter), &'static [&'static str]);
type GrantCase = (fn(&mut GrantFilter), &'static [&'static str]);

async fn with_entities<S: StoreUnderTest>(entities: &[EntityData]) -> S {
    let subject = S::fresh().await;
    let gone =
        entity("User::gone", &json!({ "boss": { "__entity": { "type": "User", "id": "ana" } } }), &["Team::sales"]);
    let mut changes: Vec<Change> = entities.iter().cloned().map(Change::PutEntity).collect();
    changes.push(Change::PutEntity(gone.clone()));
    commit(&subject, &changes).await.unwrap();
    commit(&subject, &[Change::DeleteEntity(gone.uid)]).await.unwrap();
    subject
}

async fn ids<S: StoreUnderTest>(subject: &S, filter: EntityFilter) -> Vec<String> {
    let found = subject.store().entities(&filter).await.unwrap();
    found.iter().map(|entity| entity.uid.id().as_str().to_owned()).collect()
}

async fn grant_ids<S: StoreUnderTest>(subject: &S, filter: GrantFilter) -> Vec<String> {
    let found = subject.store().grants(&filter).await.unwrap();
    found.iter().map(|grant| grant.id().to_string()).collect()
}

/// Each field chooses, all of them together, and none of them all.
pub async fn entities_are_found_by_each_field<S: StoreUnderTest>() {
    let all = [
        entity("Team::sales", &json!({}), &["Team::everyone"]),
        entity("User::ana", &json!({}), &["Team::sales", "Team::night"]),
        entity("User::bob", &json!({}), &["Team::sales"]),
    ];
    let subject: S = with_entities(&all).await;
    assert_eq!(subject.store().entities(&EntityFilter::default()).await.unwrap(), all);
    let listed = |names: &[&str]| Some(names.iter().map(|name| uid(name)).collect());
    let cases: [EntityCase<'_>; 6] = [
        (&|it| it.type_name = Some(uid("User::x").type_name().clone()), &["ana", "bob"]),
        (&|it| it.parent = Some(uid("Team::sales")), &["ana", "bob"]),
        (&|it| it.parent = Some(uid("Team::everyone")), &["sales"]),
        (&|it| it.uids = listed(&["User::bob", "User::gone", "Team::sales"]), &["sales", "bob"]),
        (&|it| it.uids = listed(&[]), &[]),
        (&|it| (it.uids, it.parent) = (listed(&["User::bob", "User::ana"]), Some(uid("Team::night"))), &["ana"]),
    ];
    for (choose, expected) in cases {
        let mut filter = EntityFilter::default();
        choose(&mut filter);
        assert_eq!(ids(&subject, filter.clone()).await, expected, "{filter:?}");
    }
}

/// `after` and `limit` walk through everything in (type, id) byte order.
pub async fn entities_are_paged_in_byte_order<S: StoreUnderTest>() {
    let names = ["A::z", "B::a", "B::B", "B::é", "AB::a", "B::b", "a::a"];
    let all: Vec<EntityData> = names.iter().map(|name| entity(name, &json!({}), &[])).collect();
    let subject: S = with_entities(&all).await;
    let mut sorted: Vec<_> = all.iter().map(|entity| entity.uid.clone()).collect();
    sorted.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = EntityFilter { after: after.take(), limit: Some(2), ..EntityFilter::default() };
        let page = subject.store().entities(&filter).await.unwrap();
        assert!(page.len() <= 2);
        after = page.last().map(|entity| entity.uid.clone());
        seen.extend(page.into_iter().map(|entity| entity.uid));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, sorted);
}

/// A reference counts at any depth; what only looks like one does not.
pub async fn entities_are_found_by_what_they_name<S: StoreUnderTest>() {
    let ana = json!({ "__entity": { "type": "User", "id": "ana" } });
    let record = json!({ "__entity": { "type": "User", "id": "ana" }, "x": 1 });
    let all = [
        entity("Doc::deep", &json!({ "a": { "b": [[{ "c": ana }]] } }), &[]),
        entity("Doc::other", &json!({ "a": { "__entity": { "type": "User", "id": "Ana" } } }), &[]),
        entity("Doc::record", &json!({ "a": record }), &[]),
        entity("Doc::text", &json!({ "a": ana.to_string(), "b": { "type": "User", "id": "ana" } }), &[]),
        entity("Doc::top", &json!({ "owner": ana }), &["User::bob"]),
    ];
    let subject: S = with_entities(&all).await;
    let naming = EntityFilter { naming: Some(uid("User::ana")), ..EntityFilter::default() };
    assert_eq!(ids(&subject, naming.clone()).await, ["deep", "top"]);
    let both = EntityFilter { parent: Some(uid("User::bob")), ..naming };
    assert_eq!(ids(&subject, both).await, ["top"]);
}

fn grants() -> Vec<Grant> {
    let read = || Conferred::Scope("orders:read".parse().unwrap());
    let ends_early = Term::until(None, instant("2026-02-01T00:00:00Z")).unwrap();
    vec![
        role_grant("a", "User::ana", "Role::editor", Some("Doc::doc1")),
        role_grant("b", "User::ana", "Role::viewer", None),
        grant("c", "User::bob", read(), ends_early),
        scope_grant("d", "User::bob", "orders:*"),
        grant("e", "Team::sales", read(), during_2026()),
    ]
}

async fn with_grants<S: StoreUnderTest>() -> S {
    let subject = S::fresh().await;
    let mut changes: Vec<Change> = grants().into_iter().map(Change::AddGrant).collect();
    changes.push(Change::AddGrant(role_grant("gone", "User::ana", "Role::editor", Some("Doc::doc1"))));
    commit(&subject, &changes).await.unwrap();
    commit(&subject, &[Change::RevokeGrant("gone".parse().unwrap())]).await.unwrap();
    subject
}

/// Each field chooses, all of them together, and none of them all.
pub async fn grants_are_found_by_each_field<S: StoreUnderTest>() {
    let subject: S = with_grants().await;
    assert_eq!(subject.store().grants(&GrantFilter::default()).await.unwrap(), grants());
    let cases: [GrantCase; 12] = [
        (|it| it.holder = Some(uid("User::ana")), &["a", "b"]),
        (|it| it.role = Some(uid("Role::editor")), &["a"]),
        (|it| it.scope = Some("orders:read".into()), &["c", "e"]),
        (|it| it.resource = Some(uid("Doc::doc1")), &["a"]),
        (|it| it.in_force_at = Some(instant("2025-12-31T23:59:59.999999Z")), &["c", "d"]),
        (|it| it.in_force_at = Some(instant("2026-01-01T00:00:00Z")), &["a", "b", "c", "d", "e"]),
        (|it| it.in_force_at = Some(instant("2026-02-01T00:00:00Z")), &["a", "b", "d", "e"]),
        (|it| it.in_force_at = Some(instant("2027-01-01T00:00:00Z")), &["d"]),
        (|it| it.expires_before = Some(instant("2027-01-01T00:00:00Z")), &["c"]),
        (|it| it.ids = Some(["b", "d", "gone"].map(|id| id.parse().unwrap()).into()), &["b", "d"]),
        (|it| it.ids = Some(BTreeSet::new()), &[]),
        (|it| (it.holder, it.scope) = (Some(uid("User::bob")), Some("orders:*".into())), &["d"]),
    ];
    for (choose, expected) in cases {
        let mut filter = GrantFilter::default();
        choose(&mut filter);
        assert_eq!(grant_ids(&subject, filter.clone()).await, expected, "{filter:?}");
    }
}

/// `after` and `limit` walk through everything in id order.
pub async fn grants_are_paged_in_id_order<S: StoreUnderTest>() {
    let subject: S = with_grants().await;
    let page = |after: Option<&str>| GrantFilter {
        after: after.map(|id| id.parse().unwrap()),
        limit: Some(2),
        ..GrantFilter::default()
    };
    assert_eq!(grant_ids(&subject, page(None)).await, ["a", "b"]);
    assert_eq!(grant_ids(&subject, page(Some("b"))).await, ["c", "d"]);
    assert_eq!(grant_ids(&subject, page(Some("d"))).await, ["e"]);
    assert_eq!(grant_ids(&subject, page(Some("e"))).await, Vec::<String>::new());
}

/// The base names the newest revision, the live set and the catalogue.
pub async fn the_base_is_what_is_live<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let empty = subject.store().base().await.unwrap();
    assert_eq!((empty.revision.number(), empty.policy_set, empty.scopes.len()), (0, None, 0));
    let set = policy_set(1, &["a"]);
    let scopes = [scope("a:read"), scope("b:read")];
    let mut changes: Vec<Change> = scopes.iter().cloned().map(Change::PutScope).collect();
    changes.push(apply(set.clone(), "first"));
    let revision = commit(&subject, &changes).await.unwrap();
    let base = subject.store().base().await.unwrap();
    assert_eq!((base.revision, base.policy_set, base.scopes), (revision, Some(set), scopes.to_vec()));
}
