//! Every past state can be read again: the property, driven by numbers that a generator chooses.

use std::collections::BTreeMap;

use magistrate_model::{
    Change, EntityData, EntityUid, Grant, GrantId, PolicySet, Revision, ScopeDeclaration, ScopeName,
};
use magistrate_pdp::{PastStates, PolicySource};
use serde_json::json;

use super::sample::{apply, entity, policy_set, role_grant, scope, scope_grant, uid};
use super::{StoreUnderTest, commit};

/// The administrative state, kept in memory.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entities: BTreeMap<EntityUid, EntityData>,
    grants: BTreeMap<GrantId, Grant>,
    scopes: BTreeMap<ScopeName, ScopeDeclaration>,
    set: Option<PolicySet>,
}

impl Model {
    /// A change that can be made now, chosen by a number: a few keys, so that they meet often.
    fn choose(&self, number: u32) -> Change {
        let (kind, key, variant) = (number % 8, number / 8 % 3, number / 24 % 3);
        let user = format!("User::u{key}");
        let grant: GrantId = format!("g{key}").parse().unwrap();
        let name = format!("orders:v{key}");
        match kind {
            0 if self.entities.contains_key(&uid(&user)) => Change::DeleteEntity(uid(&user)),
            0..=2 => {
                let teams = ["Team::a", "Team::b"];
                let parents = &teams[..usize::try_from(variant).unwrap()];
                Change::PutEntity(entity(&user, &json!({ "variant": number / 72 % 2 }), parents))
            }
            3..=4 if self.grants.contains_key(&grant) => Change::RevokeGrant(grant),
            3 => Change::AddGrant(scope_grant(grant.as_str(), &user, "orders:*")),
            4 => Change::AddGrant(role_grant(grant.as_str(), &user, &format!("Role::r{variant}"), None)),
            5 if self.scopes.contains_key(&name.parse().unwrap()) => Change::DeleteScope(name.parse().unwrap()),
            5..=6 => Change::PutScope(ScopeDeclaration { description: format!("variant {variant}"), ..scope(&name) }),
            _ => apply(policy_set(u8::try_from(variant).unwrap(), &["a", "b"]), "migration"),
        }
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::PutEntity(entity) => drop(self.entities.insert(entity.uid.clone(), entity)),
            Change::DeleteEntity(uid) => drop(self.entities.remove(&uid)),
            Change::PutScope(scope) => drop(self.scopes.insert(scope.name.clone(), scope)),
            Change::DeleteScope(name) => drop(self.scopes.remove(&name)),
            Change::AddGrant(grant) => drop(self.grants.insert(grant.id().clone(), grant)),
            Change::RevokeGrant(id) => drop(self.grants.remove(&id)),
            Change::ApplyPolicySet { set, .. } => self.set = Some(set),
        }
    }
}

/// Commits a history, one inner list a commit, and compares every revision of it with a model.
pub async fn every_past_state_can_be_read_again<S: StoreUnderTest>(history: &[Vec<u32>]) {
    let subject = S::fresh().await;
    let mut states = vec![(Model::default(), subject.store().standing().await.unwrap().head)];
    for numbers in history {
        let mut model = states.last().unwrap().0.clone();
        let changes: Vec<Change> = numbers.iter().map(|number| step(&mut model, *number)).collect();
        commit(&subject, &changes).await.unwrap();
        states.push((model, subject.store().standing().await.unwrap().head));
    }
    for (model, head) in &states {
        let past = subject.store().load_at(head.revision).await.unwrap().unwrap();
        assert_eq!(past.head, *head);
        assert!(past.entities.iter().eq(model.entities.values()), "{past:?} {model:?}");
        assert!(past.grants.iter().eq(model.grants.values()), "{past:?} {model:?}");
        assert!(past.scopes.iter().eq(model.scopes.values()), "{past:?} {model:?}");
        assert_eq!(past.policy_set, model.set);
    }
    let last = states.last().unwrap().1.revision;
    assert_eq!(subject.store().load_at(last).await.unwrap().unwrap(), subject.store().load().await.unwrap());
    assert_eq!(subject.store().load_at(Revision::new(last.number() + 1)).await.unwrap(), None);
}

fn step(model: &mut Model, number: u32) -> Change {
    let change = model.choose(number);
    model.make(change.clone());
    change
}
