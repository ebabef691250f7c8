//! Making a policy set the live one.

use magistrate_engine::Snapshot;
use magistrate_model::{Authorship, Change, Digest, Revision};

use crate::administration::Administration;
use crate::plan::check_may_hold;
use crate::ports::{Changes, EntityFilter, GrantFilter, Records};
use crate::problem::{AdminError, Problem};

/// How an apply is meant.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// The name of the policy migration.
    pub name: String,
    /// Accept a set that is empty, or has lost more than half of its policies.
    pub allow_shrink: bool,
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
        if base.policy_set.as_ref().is_some_and(|live| live.digest == digest) {
            return Ok(Applied { revision: base.revision, digest, changed: false, policies });
        }
        let before = base.policy_set.as_ref().map_or(0, |live| live.policies.len());
        if !options.allow_shrink && (policies == 0 || policies * 2 < before) {
            return Err(AdminError::refused(format!(
                "the set has {policies} policies and the live one {before}; pass --allow-shrink if that is meant"
            )));
        }
        let problems = self.misfits(snapshot).await?;
        if !problems.is_empty() {
            return Err(AdminError::Problems(problems));
        }
        let change = Change::ApplyPolicySet { set, name: options.name.clone() };
        let revision = self.store().commit(base.revision, &[change], authorship).await?;
        Ok(Applied { revision, digest, changed: true, policies })
    }

    /// What is stored and would not fit the schema of a set.
    async fn misfits(&self, snapshot: &Snapshot) -> Result<Vec<Problem>, AdminError> {
        let mut problems = Vec::new();
        let mut refuse = |what: String| {
            problems.push(Problem { place: String::new(), what });
        };
        let vocabulary = snapshot.vocabulary();
        let mut filter = EntityFilter { limit: Some(PAGE), ..EntityFilter::default() };
        loop {
            let page = self.store().entities(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.uid.clone());
            for entity in page {
                let (uid, stored) = (entity.uid.clone(), entity.clone());
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
        let scopes = self.store().base().await?.scopes;
        for scope in scopes.iter().filter(|scope| vocabulary.action(&scope.action_group).is_none()) {
            refuse(format!(
                "the scope `{}` opens `{}`, which the new schema does not declare",
                scope.name, scope.action_group
            ));
        }
        for grant in self.store().grants(&GrantFilter::default()).await? {
            if let Err(why) = check_may_hold(vocabulary, grant.holder(), grant.conferred()) {
                refuse(format!("the grant `{}` does not fit the new schema: {why}", grant.id()));
            }
        }
        Ok(problems)
    }
}
