//! What is above an entity.

use std::collections::HashMap;
use std::sync::Arc;

use magistrate_model::{EntityData, EntityUid, KnownEntity};

use super::Version;

/// What is above an entity.
#[derive(Debug, Default)]
pub(crate) struct Above {
    /// Everything stored that it is a member of, directly or through others, and which version of it.
    pub(crate) entities: Vec<(Arc<KnownEntity>, Version)>,
    /// What it would be a member of, too, and is not stored.
    pub(crate) missing: Vec<EntityUid>,
    /// An entity on the way that is a member of itself.
    pub(crate) cycle: Option<EntityUid>,
}

/// What is above an entity, each found once by `find`.
pub(crate) fn above(of: &EntityData, find: impl Fn(&EntityUid) -> Option<(Arc<KnownEntity>, Version)>) -> Above {
    let mut above = Above::default();
    // Whether all above it is still being looked at.
    let mut seen: HashMap<EntityUid, bool> = HashMap::from([(of.uid.clone(), true)]);
    let parents = |of: &EntityData| of.parents.iter().cloned().collect::<Vec<_>>().into_iter();
    let mut open = vec![(of.uid.clone(), parents(of))];
    while let Some((uid, left)) = open.last_mut() {
        let Some(parent) = left.next() else {
            seen.insert(uid.clone(), false);
            open.pop();
            continue;
        };
        match seen.get(&parent) {
            Some(true) => above.cycle = Some(parent),
            Some(false) => {}
            None => match find(&parent) {
                Some((entity, version)) => {
                    open.push((parent.clone(), parents(&entity)));
                    above.entities.push((entity, version));
                    seen.insert(parent, true);
                }
                None => {
                    seen.insert(parent.clone(), false);
                    above.missing.push(parent);
                }
            },
        }
    }
    above
}
