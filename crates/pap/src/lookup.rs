//! Looking up what a change touches, in few questions however much that is.

use std::collections::{BTreeSet, HashMap};

use magistrate_engine::Snapshot;
use magistrate_model::{EntityUid, GrantId};

use crate::administration::Administration;
use crate::data::Data;
use crate::plan::Known;
use crate::ports::{Base, EntityFilter, GrantFilter, Records};
use crate::problem::AdminError;

/// What is asked of the store before a change is planned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Entities that are put or named.
    pub(crate) entities: BTreeSet<EntityUid>,
    /// Grants that are put.
    pub(crate) grants: BTreeSet<GrantId>,
    /// Whether everything above the entities is wanted too.
    pub(crate) ancestors: bool,
}

impl Wanted {
    /// Everything the input touches; ancestors only where it could make somebody one of its own.
    pub(crate) fn by(data: &Data, snapshot: &Snapshot) -> Self {
        Self {
            entities: data.names(snapshot),
            grants: data.grant_ids(snapshot.vocabulary()),
            ancestors: !data.entities.is_empty() || !data.roles.is_empty(),
        }
    }
}

impl<S: Records> Administration<S> {
    /// What is known of everything wanted.
    pub(crate) async fn known(&self, base: &Base, wanted: &Wanted) -> Result<Known, AdminError> {
        let mut entities = HashMap::new();
        let mut next = wanted.entities.clone();
        while !next.is_empty() {
            let filter = EntityFilter { uids: Some(std::mem::take(&mut next)), ..EntityFilter::default() };
            let found = self.store().entities(&filter).await?;
            let asked = filter.uids.unwrap_or_default();
            for entity in found {
                if wanted.ancestors {
                    let unasked = |uid: &&EntityUid| !asked.contains(*uid) && !entities.contains_key(*uid);
                    next.extend(entity.parents.iter().filter(unasked).cloned());
                }
                entities.insert(entity.uid.clone(), entity);
            }
            next.retain(|uid| !entities.contains_key(uid));
        }
        let grants = match wanted.grants.is_empty() {
            true => Vec::new(),
            false => {
                let filter = GrantFilter { ids: Some(wanted.grants.clone()), ..GrantFilter::default() };
                self.store().grants(&filter).await?
            }
        };
        Ok(Known {
            entities,
            scopes: base.scopes.iter().map(|scope| (scope.name.clone(), scope.clone())).collect(),
            grants: grants.into_iter().map(|grant| (grant.id().clone(), grant)).collect(),
        })
    }
}
