//! What an input names: entities to look up, and ids of grants.

use std::collections::{BTreeSet, HashMap};

use magistrate_engine::{Snapshot, Vocabulary};
use magistrate_model::{EntityUid, GrantId};

use super::role_uid;
use crate::data::{Data, GrantText};

impl Data {
    /// Every entity the input names: what must be looked up before planning. What an attribute names is
    /// known once it is typed; an entity that does not fit the schema is refused without being looked up.
    pub fn names(&self, snapshot: &Snapshot) -> BTreeSet<EntityUid> {
        let mut names = BTreeSet::new();
        for entity in self.entities.iter().map(|located| &located.item) {
            names.insert(entity.uid.clone());
            names.extend(entity.parents.iter().cloned());
            if let Ok(typed) = snapshot.typed_entity(entity.clone()) {
                typed.each_reference(&mut |uid| names.extend([uid.clone()]));
            }
        }
        let roles = self.roles.iter().flat_map(|located| located.item.parents.iter().chain([&located.item.role]));
        let granted = self.grants.iter().filter_map(|located| located.item.role.as_ref());
        names.extend(roles.chain(granted).filter_map(|text| role_uid(snapshot.vocabulary(), text).ok()));
        for grant in self.grants.iter().map(|located| &located.item) {
            names.insert(grant.holder.clone());
            names.extend(grant.resource.clone());
        }
        names
    }

    /// The ids of the grants the input gives or implies.
    pub fn grant_ids(&self, vocabulary: &Vocabulary) -> BTreeSet<GrantId> {
        let texts = self.grants.iter().map(|located| &located.item);
        derived_ids(vocabulary, texts).into_iter().filter_map(|id| id.parse().ok()).collect()
    }
}

/// An id for each grant: the given one, else a derived one.
pub(super) fn derived_ids<'a>(vocabulary: &Vocabulary, grants: impl Iterator<Item = &'a GrantText>) -> Vec<String> {
    let mut derivation = Derivation::default();
    let mut id = |grant: &GrantText| grant.id.clone().unwrap_or_else(|| derivation.derive(vocabulary, grant).0);
    grants.map(&mut id).collect()
}

/// Ids derived from holder and what is conferred, so that the same input names the same grants again, however
/// a role is written. The second grant of the same to the same holder gets `-2`.
#[derive(Debug, Default)]
pub(crate) struct Derivation {
    counts: HashMap<String, u32>,
}

impl Derivation {
    /// The id of the next grant, and its place among those of the same content, from 1.
    pub(crate) fn derive(&mut self, vocabulary: &Vocabulary, grant: &GrantText) -> (String, u32) {
        let content = content_id(vocabulary, grant);
        let count = self.counts.entry(content.clone()).or_default();
        *count += 1;
        (numbered(content, *count), *count)
    }

    /// The id of the grant at a place among those of the same content.
    pub(crate) fn nth(vocabulary: &Vocabulary, grant: &GrantText, nth: u32) -> String {
        numbered(content_id(vocabulary, grant), nth)
    }
}

fn numbered(content: String, nth: u32) -> String {
    if nth == 1 { content } else { format!("{content}-{nth}") }
}

fn content_id(vocabulary: &Vocabulary, grant: &GrantText) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let resource = grant.resource.as_ref().map(ToString::to_string);
    let role = grant.role.as_ref().map(|text| role_uid(vocabulary, text).map_or(text.clone(), |uid| uid.to_string()));
    let parts = [Some(grant.holder.to_string()), role, grant.scope.clone(), resource];
    for part in parts {
        let part = part.unwrap_or_default();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let head = digest.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("g-{head:016x}")
}
