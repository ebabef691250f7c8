//! Changes to a store: look up, plan, commit.

use magistrate_engine::Snapshot;
use magistrate_model::{Authorship, Change, EntityUid, GrantId, PolicySet, Revision, ScopeName};

use crate::data::Data;
use crate::lookup::Wanted;
use crate::plan::{Plan, Settled, plan_with, role_uid};
use crate::ports::{Base, Changes, CommitError, EntityFilter, GrantFilter, Records};
use crate::problem::AdminError;

/// Administers one store.
#[derive(Debug)]
pub struct Administration<S> {
    store: S,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The revision since which it holds; the current one if nothing had to change.
    pub revision: Revision,
    /// Items that did not exist.
    pub added: usize,
    /// Items that existed and differed.
    pub updated: usize,
    /// Items that existed as given.
    pub unchanged: usize,
    /// Items that exist no longer.
    pub removed: usize,
}

/// How often a change is planned anew when others commit in between.
pub(crate) const ATTEMPTS: usize = 5;
/// How often a revocation is, which nobody should have to wait for.
const ATTEMPTS_TO_REVOKE: usize = 50;

impl<S> Administration<S> {
    /// Administers a store.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }
}

impl<S: Records + Changes> Administration<S> {
    /// Puts entities, roles, scopes and grants together, as one revision. With `dry_run` nothing is
    /// written and the outcome tells what would be.
    pub async fn put(&self, data: &Data, authorship: &Authorship, dry_run: bool) -> Result<Outcome, AdminError> {
        for _ in 0..ATTEMPTS {
            let (base, snapshot) = self.live().await?;
            let known = self.known(&base, &Wanted::by(data, &snapshot)).await?;
            let plan = plan_with(&snapshot, known, data.clone(), authorship.at, Settled::default())
                .map_err(AdminError::Problems)?;
            if dry_run || plan.changes.is_empty() {
                return Ok(outcome(&plan, base.revision));
            }
            match self.store.commit(base.revision, &plan.changes, authorship).await {
                Ok(revision) => return Ok(outcome(&plan, revision)),
                Err(CommitError::Moved { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AdminError::overtaken())
    }

    /// Deletes a stored entity that nothing hangs on.
    pub async fn delete_entity(&self, uid: &EntityUid, authorship: &Authorship) -> Result<Outcome, AdminError> {
        self.delete(uid, authorship).await
    }

    /// Deletes a role that nobody holds and no other role includes.
    pub async fn delete_role(&self, role: &str, authorship: &Authorship) -> Result<Outcome, AdminError> {
        let (_, snapshot) = self.live().await?;
        let uid = role_uid(snapshot.vocabulary(), role).map_err(AdminError::refused)?;
        self.delete(&uid, authorship).await
    }

    /// Deletes a scope that no grant names.
    pub async fn delete_scope(&self, name: &ScopeName, authorship: &Authorship) -> Result<Outcome, AdminError> {
        let base = self.store.base().await?;
        let filter = GrantFilter { scope: Some(name.to_string()), limit: Some(1), ..GrantFilter::default() };
        if let Some(grant) = self.store.grants(&filter).await?.first() {
            return Err(AdminError::refused(format!(
                "the scope `{name}` is granted by `{}`; revoke that first",
                grant.id()
            )));
        }
        self.remove(base.revision, Change::DeleteScope(name.clone()), authorship).await
    }

    /// Revokes a grant. Nothing that others do meanwhile makes that wrong while the grant exists, so it is tried
    /// until it is its turn.
    pub async fn revoke(&self, id: &GrantId, authorship: &Authorship) -> Result<Outcome, AdminError> {
        for _ in 0..ATTEMPTS_TO_REVOKE {
            let base = self.store.base().await?;
            match self.remove(base.revision, Change::RevokeGrant(id.clone()), authorship).await {
                Err(AdminError::Commit(CommitError::Moved { .. })) => {}
                outcome => return outcome,
            }
        }
        Err(AdminError::overtaken())
    }

    /// The live policy set, compiled.
    pub async fn live(&self) -> Result<(Base, Snapshot), AdminError> {
        let base = self.store.base().await?;
        let set = base.policy_set.as_ref().ok_or(AdminError::NoPolicySet)?;
        let snapshot = compiled(set)?;
        Ok((base, snapshot))
    }

    async fn remove(&self, base: Revision, change: Change, authorship: &Authorship) -> Result<Outcome, AdminError> {
        let revision = self.store.commit(base, &[change], authorship).await?;
        Ok(Outcome { revision, added: 0, updated: 0, unchanged: 0, removed: 1 })
    }

    async fn delete(&self, uid: &EntityUid, authorship: &Authorship) -> Result<Outcome, AdminError> {
        let base = self.store.base().await?;
        let one = Some(1);
        let below = EntityFilter { parent: Some(uid.clone()), limit: one, ..EntityFilter::default() };
        let naming = EntityFilter { naming: Some(uid.clone()), limit: one, ..EntityFilter::default() };
        for (filter, relation) in [(below, "is a member of it"), (naming, "names it in an attribute")] {
            if let Some(other) = self.store.entities(&filter).await?.first() {
                return Err(AdminError::refused(format!("`{uid}` cannot be deleted: `{}` {relation}", other.uid)));
            }
        }
        let held = GrantFilter { holder: Some(uid.clone()), limit: one, ..GrantFilter::default() };
        let conferred = GrantFilter { role: Some(uid.clone()), limit: one, ..GrantFilter::default() };
        let on = GrantFilter { resource: Some(uid.clone()), limit: one, ..GrantFilter::default() };
        for (filter, relation) in [(held, "is held by it"), (conferred, "confers it"), (on, "is held on it")] {
            if let Some(grant) = self.store.grants(&filter).await?.first() {
                let id = grant.id();
                return Err(AdminError::refused(format!(
                    "`{uid}` cannot be deleted: the grant `{id}` {relation}; revoke that first"
                )));
            }
        }
        self.remove(base.revision, Change::DeleteEntity(uid.clone()), authorship).await
    }
}

/// A stored set, if it is what its digest says.
pub(crate) fn compiled(set: &PolicySet) -> Result<Snapshot, AdminError> {
    let snapshot = Snapshot::of(set)?;
    match snapshot.digest() == set.digest {
        true => Ok(snapshot),
        false => Err(AdminError::refused(format!(
            "the stored policy set `{}` holds other policies than its digest says: the store was changed from outside; \
             find out by whom, and restore it from a copy",
            set.digest
        ))),
    }
}

pub(crate) fn outcome(plan: &Plan, revision: Revision) -> Outcome {
    Outcome { revision, added: plan.added, updated: plan.updated, unchanged: plan.unchanged, removed: 0 }
}

impl Outcome {
    /// Counts what a plan comes to.
    pub(crate) fn add(&mut self, plan: &Plan) {
        self.added += plan.added;
        self.updated += plan.updated;
        self.unchanged += plan.unchanged;
    }

    /// How many items the change concerned.
    pub const fn total(&self) -> usize {
        self.added + self.updated + self.unchanged + self.removed
    }
}
