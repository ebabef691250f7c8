//! One run of an import: every part is checked, then those with changes are committed.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};

use magistrate_model::{Authorship, Revision};

use super::import::Imported;
use super::prepared::{Prepared, Promise};
use super::problems::Problems;
use super::rivals::Seen;
use super::watch::{Progress, Step, Watch};
use crate::administration::{ATTEMPTS, Administration, Outcome};
use crate::lookup::Wanted;
use crate::plan::{Plan, Settled, plan_with};
use crate::ports::{Base, Changes, CommitError, Records};
use crate::problem::AdminError;

/// How often a part that others overtook without touching what it names is offered again.
const OFFERS: usize = 100;

pub(super) struct Run<'a, S, W> {
    administration: &'a Administration<S>,
    prepared: &'a Prepared<'a>,
    part_size: usize,
    authorship: &'a Authorship,
    /// What was there when the import began.
    base: Base,
    seen: Seen,
    watch: &'a mut W,
}

/// A part that was planned, and what for.
pub(super) struct Planned {
    plan: Plan,
    wanted: Wanted,
    revision: Revision,
}

/// What checking every part came to.
pub(super) struct Checked {
    /// Which parts change something.
    pending: Vec<bool>,
    /// The counts of all parts.
    all: Outcome,
    /// The counts of those that change nothing.
    settled: Outcome,
    /// The plan, if there is only one part.
    only: Option<Planned>,
}

/// Why a run ended before its end.
enum Halt {
    Interrupted,
    Overtaken,
    Failed(AdminError),
}

impl<E: Into<AdminError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<'a, S: Records + Changes, W: Watch> Run<'a, S, W> {
    pub(super) fn new(
        administration: &'a Administration<S>,
        prepared: &'a Prepared<'a>,
        part_size: NonZeroUsize,
        authorship: &'a Authorship,
        base: Base,
        watch: &'a mut W,
    ) -> Self {
        let seen = Seen::at(base.revision);
        Self { administration, prepared, part_size: part_size.get(), authorship, base, seen, watch }
    }

    /// Checks every part against the store as if the others were there; all problems are told together.
    pub(super) async fn check(&mut self, mut problems: Problems) -> Result<Checked, AdminError> {
        let mut checked = Checked::new(self.base.revision);
        for part in self.parts() {
            if self.is_stopped(Step::Check, part.start) {
                return Err(AdminError::Interrupted);
            }
            match self.plan(&part, self.base.clone(), Promise::Others).await {
                Ok(planned) => checked.add(planned, part.len() == self.prepared.count()),
                Err(AdminError::Problems(found)) => problems.note_all(found),
                Err(error) => return Err(error),
            }
        }
        problems.none()?;
        Ok(checked)
    }

    /// Commits the parts that change something.
    pub(super) async fn commit(mut self, checked: Checked) -> Result<Imported, AdminError> {
        let Checked { pending, settled, mut only, .. } = checked;
        let mut imported = Imported { outcome: settled, parts: 0, revisions: None };
        for (part, _) in self.parts().into_iter().zip(pending).filter(|(_, pending)| *pending) {
            let committed = match self.is_stopped(Step::Commit, imported.outcome.total()) {
                true => Err(Halt::Interrupted),
                false => self.commit_part(&part, only.take()).await,
            };
            match committed {
                Ok((plan, revision)) => imported.add(&plan, revision),
                Err(halt) => return Err(self.stopped(halt, &imported)),
            }
        }
        let _nothing_is_left = self.is_stopped(Step::Commit, imported.outcome.total());
        Ok(imported)
    }

    /// Commits a part; no revision if it has come to change nothing.
    async fn commit_part(
        &mut self,
        part: &Range<usize>,
        mut planned: Option<Planned>,
    ) -> Result<(Plan, Option<Revision>), Halt> {
        for _ in 0..ATTEMPTS {
            let at_hand = match planned.take() {
                Some(at_hand) => at_hand,
                None => self.plan_now(part).await?,
            };
            if at_hand.plan.changes.is_empty() {
                return Ok((at_hand.plan, None));
            }
            if let Some(revision) = self.offer(&at_hand).await? {
                return Ok((at_hand.plan, Some(revision)));
            }
        }
        Err(Halt::Overtaken)
    }

    /// Commits a plan, however often others come before it, as long as they leave alone what it names.
    async fn offer(&mut self, planned: &Planned) -> Result<Option<Revision>, Halt> {
        let (store, mut base) = (self.administration.store(), planned.revision);
        for _ in 0..OFFERS {
            let authorship = Authorship { at: self.watch.now(), ..self.authorship.clone() };
            match store.commit(base, &planned.plan.changes, &authorship).await {
                Ok(revision) => {
                    self.seen.made(revision);
                    return Ok(Some(revision));
                }
                Err(CommitError::Moved { found, .. }) => {
                    let rivals = self.seen.catch_up(store, &self.prepared.graph, found).await?;
                    if !rivals.is_some_and(|rivals| rivals.spare(&planned.wanted)) {
                        return Ok(None);
                    }
                    base = found;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Plans a part as the store is now, with all parts before it committed.
    async fn plan_now(&mut self, part: &Range<usize>) -> Result<Planned, AdminError> {
        let (store, digest) = (self.administration.store(), self.prepared.snapshot().digest());
        let base = store.base().await?;
        if base.policy_set.as_ref().is_none_or(|set| set.digest != digest) {
            return Err(AdminError::refused(
                "another policy set was applied meanwhile, and the import was checked against the one before",
            ));
        }
        let _rivals = self.seen.catch_up(store, &self.prepared.graph, base.revision).await?;
        self.plan(part, base, Promise::Later).await
    }

    async fn plan(&self, part: &Range<usize>, base: Base, promise: Promise) -> Result<Planned, AdminError> {
        let (prepared, snapshot) = (self.prepared, self.prepared.snapshot());
        let data = prepared.data(part);
        let mut wanted = Wanted::by(&data, snapshot);
        let promised = prepared.promised(wanted.entities.iter(), part, promise);
        wanted.entities.retain(|uid| !promised.contains(uid));
        let settled = Settled { promised, hierarchy: self.seen.holds_hierarchy() };
        wanted.ancestors &= !settled.hierarchy;
        let known = self.administration.known(&base, &wanted).await?;
        if wanted.ancestors {
            wanted.entities.extend(known.entities.keys().cloned());
        }
        let plan = plan_with(snapshot, known, data, self.authorship.at, settled).map_err(AdminError::Problems)?;
        Ok(Planned { plan, wanted, revision: base.revision })
    }

    fn parts(&self) -> Vec<Range<usize>> {
        let count = self.prepared.count();
        (0..count).step_by(self.part_size).map(|start| start..count.min(start + self.part_size)).collect()
    }

    fn is_stopped(&mut self, step: Step, done: usize) -> bool {
        self.watch.at(Progress { step, done, of: self.prepared.count() }) == ControlFlow::Break(())
    }

    fn stopped(&self, halt: Halt, imported: &Imported) -> AdminError {
        let at_least = matches!(halt, Halt::Failed(AdminError::Commit(CommitError::Store(_))));
        let why = match (halt, imported.parts) {
            (Halt::Interrupted, 0) => return AdminError::Interrupted,
            (Halt::Overtaken, 0) => return AdminError::overtaken(),
            (Halt::Failed(error), 0) => return error,
            (Halt::Interrupted, _) => "interrupted".to_owned(),
            (Halt::Overtaken, _) => "others kept changing what it names".to_owned(),
            (Halt::Failed(error), _) => error.to_string(),
        };
        let (done, of) = (imported.outcome.total(), self.prepared.count());
        AdminError::Stopped { why, done, of, revision: imported.outcome.revision, at_least }
    }
}

impl Checked {
    fn new(revision: Revision) -> Self {
        let none = Outcome { revision, added: 0, updated: 0, unchanged: 0, removed: 0 };
        Self { pending: Vec::new(), all: none, settled: none, only: None }
    }

    fn add(&mut self, planned: Planned, is_only: bool) {
        let plan = &planned.plan;
        self.all.add(plan);
        self.pending.push(!plan.changes.is_empty());
        if plan.changes.is_empty() {
            self.settled.add(plan);
        }
        self.only = is_only.then_some(planned);
    }

    /// Whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        !self.pending.contains(&true)
    }

    /// What would come of it.
    pub(super) fn imported(&self) -> Imported {
        let parts = self.pending.iter().filter(|pending| **pending).count();
        Imported { outcome: self.all, parts, revisions: None }
    }
}

impl Imported {
    fn add(&mut self, plan: &Plan, revision: Option<Revision>) {
        self.outcome.add(plan);
        if let Some(revision) = revision {
            self.outcome.revision = revision;
            self.parts += 1;
            self.revisions = Some((self.revisions.map_or(revision, |(first, _)| first), revision));
        }
    }
}
