//! Following a store change by change.

use magistrate_ledger::lineage;
use magistrate_model::{Change, Dataset, Difference, Digest, Effect, Head, Instant, LoggedChange, Revision, Span};
use magistrate_pdp::{PolicySource, Since};
use serde_json::json;

use super::sample::{apply, entity, policy_set, role_grant, scope, scope_grant, uid};
use super::{StoreUnderTest, commit};

/// Revisions of every kind of change, with values that are easily lost on the way.
fn history() -> Vec<Vec<Change>> {
    let odd = json!({ "n": i64::MIN, "text": "a\u{0}\"\\\u{1F980}", "set": [1, 2], "in": { "__entity": { "type": "T", "id": "x\"y" } } });
    vec![
        vec![apply(policy_set(1, &["a", "b"]), "first"), Change::PutScope(scope("orders:read"))],
        vec![Change::PutEntity(entity("User::ana", &odd, &["Team::red"]))],
        vec![
            Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", Some("Doc::d1"))),
            Change::AddGrant(role_grant("g2", "User::ana", "Role::viewer", None)),
            Change::AddGrant(scope_grant("g3", "User::ana", "orders:*")),
        ],
        vec![Change::PutEntity(entity("User::ana", &json!({}), &[])), Change::RevokeGrant("g1".parse().unwrap())],
        vec![Change::DeleteEntity(uid("User::ana")), Change::PutEntity(entity("User::ana", &odd, &[]))],
        vec![apply(policy_set(2, &["a"]), "second"), Change::DeleteScope("orders:read".parse().unwrap())],
        vec![Change::RevokeGrant("g3".parse().unwrap()), Change::AddGrant(scope_grant("g3", "User::bob", "x:y"))],
    ]
}

/// From any earlier state, the changes since lead to what is loaded, and their digests to its lineage.
pub async fn changes_since_a_revision_lead_to_the_head<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut states = vec![subject.store().load().await.unwrap()];
    for changes in history() {
        commit(&subject, &changes).await.unwrap();
        states.push(subject.store().load().await.unwrap());
    }
    let newest = states.last().unwrap().clone();
    for state in states {
        let since = subject.store().since(state.head, 1_000).await.unwrap();
        let Since::Changes { head, log, policy_set } = since else { panic!("{since:?}") };
        let revisions = log.chunk_by(|one, next| one.revision == next.revision);
        assert_eq!(head, newest.head);
        assert_eq!(revisions.fold(state.head.lineage, lineage::extend), newest.head.lineage);
        let expected = if state.head.revision.number() < 6 { newest.policy_set.clone() } else { None };
        assert_eq!(policy_set, expected, "the set comes with the change that applies it");
        assert_eq!(applied(state, &log, policy_set), newest);
    }
}

/// Makes logged changes in memory.
fn applied(state: Dataset, log: &[LoggedChange], policy_set: Option<magistrate_model::PolicySet>) -> Dataset {
    let mut state = state;
    for change in log {
        let change = match change.effect().unwrap() {
            Effect::Entity(Difference { after: Some(entity), .. }) => Change::PutEntity(entity),
            Effect::Entity(Difference { before, after: None }) => Change::DeleteEntity(before.unwrap().uid),
            Effect::Scope(Difference { after: Some(scope), .. }) => Change::PutScope(scope),
            Effect::Scope(Difference { before, after: None }) => Change::DeleteScope(before.unwrap().name),
            Effect::Grant(Difference { after: Some(grant), .. }) => Change::AddGrant(grant),
            Effect::Grant(Difference { before, after: None }) => Change::RevokeGrant(before.unwrap().id().clone()),
            Effect::PolicySet(_) => continue,
        };
        state.apply([change]);
    }
    let head = log.last().map_or(state.head, |last| Head {
        revision: last.revision,
        lineage: log.chunk_by(|a, b| a.revision == b.revision).fold(state.head.lineage, lineage::extend),
    });
    Dataset { head, policy_set: policy_set.or(state.policy_set.clone()), ..state }
}

/// A store that stands still says so, and its clock is about right if it has one.
pub async fn nothing_since_the_head_is_no_change<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    commit(&subject, &history()[1]).await.unwrap();
    let standing = subject.store().standing().await.unwrap();
    let since = subject.store().since(standing.head, 10).await.unwrap();
    assert_eq!(since, Since::Changes { head: standing.head, log: Vec::new(), policy_set: None });
    let micros = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    let here = Instant::from_micros(micros).unwrap();
    assert!(standing.clock.is_none_or(|there| here.since(there).max(there.since(here)) < Span::hours(1)));
}

/// Whoever is far behind is told to load everything.
pub async fn more_changes_than_asked_for_are_not_told<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let start = subject.store().standing().await.unwrap().head;
    for changes in history().into_iter().take(3) {
        commit(&subject, &changes).await.unwrap();
    }
    assert_eq!(subject.store().since(start, 5).await, Ok(Since::TooMany));
    assert!(matches!(subject.store().since(start, 6).await, Ok(Since::Changes { .. })));
}

/// A revision the store never had is told, however many changes lie in between.
pub async fn another_history_is_a_fork<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let mut heads = Vec::new();
    for changes in history() {
        commit(&subject, &changes).await.unwrap();
        heads.push(subject.store().standing().await.unwrap().head);
    }
    let now = heads.last().copied().unwrap();
    let other = Digest::new([5; 32]);
    let ahead = Head { revision: Revision::new(now.revision.number() + 1), lineage: other };
    for served in heads.into_iter().map(|head| Head { lineage: other, ..head }).chain([ahead]) {
        for at_most in [0, 1, 1_000] {
            let since = subject.store().since(served, at_most).await.unwrap();
            assert_eq!(since, Since::Forked(now), "{served:?} {at_most}");
        }
    }
}
