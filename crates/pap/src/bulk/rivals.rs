//! What others changed while an import ran.

use magistrate_model::{EntityUid, GrantId, LoggedChange, Revision};

use super::graph::Graph;
use crate::lookup::Wanted;
use crate::ports::{Changes, StoreError};

/// Revisions of others that are looked at; beyond, a part is planned anew.
const FEW: u64 = 20;

/// The revision up to which all changes are the import's own, or were looked at.
#[derive(Debug)]
pub(super) struct Seen {
    revision: Revision,
    hierarchy: bool,
}

/// Changes that others made.
#[derive(Debug)]
pub(super) struct Rivals(Vec<LoggedChange>);

impl Seen {
    pub(super) fn at(revision: Revision) -> Self {
        Self { revision, hierarchy: true }
    }

    /// Notes a revision of the import itself.
    pub(super) fn made(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// Whether nobody else has changed an entity that the import puts or names, or one above those: what was
    /// found out about the hierarchy as a whole still holds.
    pub(super) fn holds_hierarchy(&self) -> bool {
        self.hierarchy
    }

    /// Looks at what others changed up to a revision; none if that was too much, or touched the hierarchy.
    pub(super) async fn catch_up(
        &mut self,
        store: &impl Changes,
        graph: &Graph,
        to: Revision,
    ) -> Result<Option<Rivals>, StoreError> {
        let after = std::mem::replace(&mut self.revision, to);
        let missed = to.number().saturating_sub(after.number());
        let rivals = match u32::try_from(missed.min(FEW)) {
            Ok(revisions) if missed <= FEW => {
                let mut log = store.log(after, revisions).await?;
                log.retain(|change| change.revision <= to);
                Some(Rivals(log))
            }
            Ok(_) | Err(_) => None,
        };
        let held = std::mem::replace(&mut self.hierarchy, false);
        self.hierarchy = held && rivals.as_ref().is_some_and(|rivals| !rivals.touch(graph));
        Ok(rivals.filter(|_| held == self.hierarchy))
    }
}

impl Rivals {
    /// Whether they left alone everything that a plan looked at.
    pub(super) fn spare(&self, wanted: &Wanted) -> bool {
        self.0.iter().all(|change| match entity(change) {
            Some(uid) => uid.is_some_and(|uid| !wanted.entities.contains(&uid)),
            None => {
                let grant: Result<GrantId, _> = change.key.parse();
                change.kind.starts_with("grant.") && grant.is_ok_and(|id| !wanted.grants.contains(&id))
            }
        })
    }

    fn touch(&self, graph: &Graph) -> bool {
        self.0.iter().filter_map(entity).any(|uid| uid.is_none_or(|uid| graph.knows(&uid)))
    }
}

/// The entity a change is about; `Some(None)` if its name cannot be read.
#[expect(clippy::option_option, reason = "two questions: is it about an entity, and about which")]
fn entity(change: &LoggedChange) -> Option<Option<EntityUid>> {
    change.kind.starts_with("entity.").then(|| change.key.parse().ok())
}
