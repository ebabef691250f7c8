//! Making a policy set the live one.

use std::collections::BTreeSet;

use magistrate_engine::{EntitySource, Snapshot};
use magistrate_model::{
    Authorship, Change, Digest, EntityUid, GrantId, Revision, ScopeDeclaration, ScopeName, TypeName,
};

use crate::administration::{Administration, Outcome, compiled, outcome};
use crate::data::Data;
use crate::lookup::Wanted;
use crate::plan::{Plan, check_may_hold, plan};
use crate::ports::{Base, Changes, EntityFilter, GrantFilter, Records};
use crate::problem::{AdminError, Problem};

/// How an apply is meant.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// The name of the policy migration.
    pub name: String,
    /// Accept a set that is empty, or has lost more than half of its policies.
    pub allow_shrink: bool,
    /// Put this in the same revision.
    pub data: Data,
}

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The revision that made it live; for a set that was live already, the current one.
    pub revision: Revision,
    /// The set.
    pub digest: Digest,
    /// Whether another set was live before.
    pub changed: bool,
    /// How many policies it has.
    pub policies: usize,
    /// What became of the data put with it.
    pub data: Outcome,
}

/// Entities read at a time.
const PAGE: u32 = 10_000;

impl<S: Records + Changes> Administration<S> {
    /// Makes a compiled set the live one, as one revision, recorded as a policy migration.
    ///
    /// Refused: a set that stored entities, scopes or grants do not fit, and one that shrinks sharply
    /// unless that is meant.
    pub async fn apply(
        &self,
        snapshot: &Snapshot,
        options: &ApplyOptions,
        authorship: &Authorship,
    ) -> Result<Applied, AdminError> {
        let base = self.store().base().await?;
        let set = snapshot.policy_set();
        let (digest, policies) = (set.digest, set.policies.len());
        let changed = base.policy_set.as_ref().is_none_or(|live| live.digest != digest);
        // "Live already" must be true of what is stored, not only of its digest.
        base.policy_set.as_ref().filter(|_| !changed).map(compiled).transpose()?;
        let known = self.known(&base, &Wanted::by(&options.data, snapshot)).await?;
        let plan = plan(snapshot, &known, options.data.clone(), authorship.at).map_err(AdminError::Problems)?;
        if changed {
            check_shrink(&base, policies, options)?;
            let problems = self.misfits(snapshot, &base, &plan).await?;
            if !problems.is_empty() {
                return Err(AdminError::Problems(problems));
            }
        }
        let apply = changed.then(|| Change::ApplyPolicySet { set, name: options.name.clone() });
        let all: Vec<Change> = apply.into_iter().chain(plan.changes.iter().cloned()).collect();
        let revision = match all.is_empty() {
            true => base.revision,
            false => self.store().commit(base.revision, &all, authorship).await?,
        };
        Ok(Applied { revision, digest, changed, policies, data: outcome(&plan, revision) })
    }

    /// What is stored and would not fit the schema of a set.
    async fn misfits(&self, snapshot: &Snapshot, base: &Base, plan: &Plan) -> Result<Vec<Problem>, AdminError> {
        let mut problems = Vec::new();
        let mut refuse = |what: String| {
            problems.push(Problem { place: String::new(), what });
        };
        let vocabulary = snapshot.vocabulary();
        let live = base.policy_set.as_ref().map(Snapshot::of).transpose()?;
        let source_before = |name: &TypeName| live.as_ref().and_then(|live| live.vocabulary().source_of(name));
        let put: BTreeSet<&EntityUid> = plan.changes.iter().filter_map(put_entity).collect();
        let mut filter = EntityFilter { limit: Some(PAGE), ..EntityFilter::default() };
        loop {
            let page = self.store().entities(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.uid.clone());
            for entity in page {
                let (uid, stored) = (entity.uid.clone(), entity.clone());
                let (before, after) = (source_before(uid.type_name()), vocabulary.source_of(uid.type_name()));
                if let (Some(before), Some(after)) = (before, after)
                    && before != after
                {
                    let (before, after) = (before.name(), after.name());
                    refuse(format!("`{uid}` is there as {before}, and its type would be {after}; delete it first"));
                }
                let assigned =
                    |uid: &EntityUid| vocabulary.source_of(uid.type_name()).is_some_and(EntitySource::is_assigned);
                let replaced = put.contains(&uid);
                if !replaced && !assigned(&uid) && entity.parents.iter().any(assigned) {
                    refuse(format!("`{uid}` is a member of what would be a role or scope; those are only granted"));
                }
                if replaced {
                    continue;
                }
                match snapshot.typed_entity(entity) {
                    Ok(typed) if typed == stored => {}
                    Ok(_) => refuse(format!(
                        "the stored `{uid}` has attributes of other types than the new schema; import it again with the new set's types"
                    )),
                    Err(violations) => violations.iter().for_each(|violation| {
                        refuse(format!(
                            "the stored `{uid}` does not fit the new schema: `{}` {}",
                            violation.field, violation.description
                        ));
                    }),
                }
            }
        }
        // Scopes and grants are judged as they will be: those the plan replaces were judged in the plan.
        let replaced = |scope: &&ScopeDeclaration| plan.changes.iter().any(|change| puts_scope(change, &scope.name));
        let unknown = |scope: &&ScopeDeclaration| vocabulary.action(&scope.action_group).is_none();
        for scope in base.scopes.iter().filter(unknown).filter(|scope| !replaced(scope)) {
            refuse(format!(
                "the scope `{}` opens `{}`, which the new schema does not declare",
                scope.name, scope.action_group
            ));
        }
        let revoked: BTreeSet<&GrantId> = plan.changes.iter().filter_map(revoked_grant).collect();
        let grants = self.store().grants(&GrantFilter::default()).await?;
        for grant in grants.iter().filter(|grant| !revoked.contains(grant.id())) {
            if let Err(why) = check_may_hold(vocabulary, grant.holder(), grant.conferred()) {
                refuse(format!("the grant `{}` does not fit the new schema: {why}", grant.id()));
            }
        }
        Ok(problems)
    }
}

fn check_shrink(base: &Base, policies: usize, options: &ApplyOptions) -> Result<(), AdminError> {
    let before = base.policy_set.as_ref().map_or(0, |live| live.policies.len());
    match options.allow_shrink || (policies > 0 && policies * 2 >= before) {
        true => Ok(()),
        false => Err(AdminError::refused(format!(
            "the set has {policies} policies and the live one {before}; pass --allow-shrink if that is meant"
        ))),
    }
}

fn put_entity(change: &Change) -> Option<&EntityUid> {
    if let Change::PutEntity(entity) = change { Some(&entity.uid) } else { None }
}

fn revoked_grant(change: &Change) -> Option<&GrantId> {
    if let Change::RevokeGrant(id) = change { Some(id) } else { None }
}

fn puts_scope(change: &Change, name: &ScopeName) -> bool {
    matches!(change, Change::PutScope(scope) if scope.name == *name)
}
