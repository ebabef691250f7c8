//! Deciding again what was decided: by what was in force then, or by something else.
//!
//! A record holds the question as it was asked and what was known, but for stored entities: those follow from the revision,
//! and the digest over them in the record tells whether the ones found again are those that were seen. Equal inputs must
//! give an equal verdict, for evaluation reads nothing else.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;

use magistrate_engine::Snapshot;
use magistrate_ledger::{DecisionRecord, PrivatePath, RecordedDecision};
use magistrate_model::{Head, LoggedChange, Revision, Span, Value};

use crate::error::CheckError;
use crate::follower::effects;
use crate::ports::{LoadError, PastStates};
use crate::state::View;

/// States that are kept: nodes that answer side by side go back and forth between a few revisions.
const KEPT: usize = 16;
/// Changes up to which a later state is made from an earlier one.
const FOLLOWED: u64 = 10_000;

/// A decision cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayable {
    /// The store does not know that state.
    #[error("the store holds no revision {0}: it was restored from an older copy, or is another one")]
    UnknownRevision(Revision),
    /// That state had no policies.
    #[error("no policy set was live at revision {0}, and a decision says it was made by it")]
    NoPolicies(Revision),
    /// The policies of that state do not compile.
    #[error("the policy set of revision {revision} cannot be used: {why}")]
    Unusable {
        /// Which revision.
        revision: Revision,
        /// What is wrong with it.
        why: String,
    },
    /// More would have to be read than may be.
    #[error(
        "the state of revision {revision} is made of {size} entities, grants and changes, and at most {most} are read here; \
         `magistrate audit replay` reads them all"
    )]
    TooLarge {
        /// Which revision.
        revision: Revision,
        /// How many there are.
        size: u64,
        /// How many may be read.
        most: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The question cannot be answered.
    #[error("the question cannot be answered: {0}")]
    Refused(String),
    /// Values of the question are not there any more.
    #[error("the values at {} were erased", listed(.0))]
    Erased(Vec<PrivatePath>),
}

impl NotReplayable {
    /// What kind of reason it is, for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UnknownRevision(_) => "unknown_revision",
            Self::NoPolicies(_) => "no_policies",
            Self::Unusable { .. } => "unusable_policies",
            Self::TooLarge { .. } => "too_large",
            Self::Load(_) => "unreadable",
            Self::Refused(_) => "refused",
            Self::Erased(_) => "erased",
        }
    }
}

/// One thing that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// What it is, as fields of records are called.
    pub field: &'static str,
    /// What the record says.
    pub recorded: String,
    /// What came out.
    pub replayed: String,
}

/// What came out when a decision was made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The question, what was known, and the verdict.
    pub record: DecisionRecord,
    /// What is not as recorded.
    pub departures: Vec<Departure>,
}

impl Departure {
    /// Whether whoever asked would notice: what was answered is otherwise, and not only what led to it.
    pub fn is_of_answer(&self) -> bool {
        ["cause", "determining_policies", "errored_policies", "advice", "obligations"].contains(&self.field)
    }
}

impl Replayed {
    /// What is otherwise for whoever asked.
    pub fn of_answer(&self) -> impl Iterator<Item = &Departure> {
        self.departures.iter().filter(|it| it.is_of_answer())
    }

    /// Whether the verdict came out as recorded, from the same inputs.
    pub fn is_same(&self) -> bool {
        self.departures.is_empty()
    }
}

/// Makes decisions again by the states they were made by.
#[derive(Debug)]
pub struct Replayer<S> {
    source: S,
    /// Policies that take the place of those that were live.
    policies: Option<Arc<Snapshot>>,
    states: BTreeMap<Revision, Arc<View>>,
    /// States that are kept.
    kept: usize,
    /// What may be read for one.
    most: u64,
}

impl<S: PastStates> Replayer<S> {
    /// Takes states from there.
    pub fn new(source: S) -> Self {
        Self { source, policies: None, states: BTreeMap::new(), kept: KEPT, most: u64::MAX }
    }

    /// The same, keeping fewer states, or more.
    #[must_use]
    pub fn keeping(self, kept: usize) -> Self {
        Self { kept, ..self }
    }

    /// The same, reading states of at most so many entities, grants and changes.
    #[must_use]
    pub fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// The same, with these policies in the place of those that were live: what would they have answered?
    pub fn under(source: S, policies: Arc<Snapshot>) -> Self {
        Self { policies: Some(policies), ..Self::new(source) }
    }

    /// Makes a decision again by the policies, entities and grants of its revision.
    pub async fn replay(&mut self, decision: &RecordedDecision) -> Result<Replayed, NotReplayable> {
        whole(decision)?;
        let view = self.state(decision.record.verdict.revision).await?;
        replay_by(&view, decision)
    }

    /// The state of a revision. A later one than is known is reached by the changes between.
    pub async fn state(&mut self, revision: Revision) -> Result<Arc<View>, NotReplayable> {
        if let Some(known) = self.states.get(&revision) {
            return Ok(Arc::clone(known));
        }
        let before = self.states.range(..revision).next_back().map(|(_, view)| Arc::clone(view));
        let near = before.filter(|view| revision.number() - view.head.revision.number() <= FOLLOWED);
        let followed = match near {
            Some(before) => self.followed(&before, revision).await?,
            None => None,
        };
        let view = match followed {
            Some(view) => view,
            None => self.loaded(revision).await?,
        };
        let view = Arc::new(view);
        self.states.insert(revision, Arc::clone(&view));
        while self.states.len() > self.kept {
            let far = self.states.keys().max_by_key(|it| it.number().abs_diff(revision.number())).copied();
            far.and_then(|far| self.states.remove(&far));
        }
        Ok(view)
    }

    async fn loaded(&self, revision: Revision) -> Result<View, NotReplayable> {
        let (size, most) = (self.source.size_at(revision).await?, self.most);
        if size > most {
            return Err(NotReplayable::TooLarge { revision, size, most });
        }
        let dataset = self.source.load_at(revision).await?.ok_or(NotReplayable::UnknownRevision(revision))?;
        let snapshot = match &self.policies {
            Some(policies) => Arc::clone(policies),
            None => {
                let set = dataset.policy_set.as_ref().ok_or(NotReplayable::NoPolicies(revision))?;
                Arc::new(Snapshot::of(set).map_err(|findings| unusable(revision, &findings))?)
            }
        };
        Ok(View::offline(snapshot, dataset))
    }

    /// The state after the changes that lie between; `None` where they do not tell it.
    async fn followed(&self, before: &View, revision: Revision) -> Result<Option<View>, NotReplayable> {
        let log = self.source.changes_between(before.head.revision, revision).await?;
        if log.last().is_none_or(|change| change.revision != revision) {
            return Err(NotReplayable::UnknownRevision(revision));
        }
        let Some(effects) = effects(&log) else { return Ok(None) };
        let applied = self.policies.is_none() && log.iter().any(|change| change.kind == POLICY_APPLIED);
        let snapshot = match applied {
            false => Arc::clone(&before.snapshot),
            true => {
                let set = self.source.policy_set_at(revision).await?.ok_or(NotReplayable::NoPolicies(revision))?;
                let snapshot = before.snapshot.followed_by(&set).map_err(|findings| unusable(revision, &findings))?;
                Arc::new(snapshot)
            }
        };
        let mut directory = before.directory.clone();
        effects.into_iter().for_each(|effect| directory.apply(effect));
        let head = Head { revision, lineage: reached(before.head, &log) };
        Ok(Some(View::new(head, snapshot, directory.tidied(), Some(before))))
    }
}

const POLICY_APPLIED: &str = "policy.apply";

fn reached(from: Head, log: &[LoggedChange]) -> magistrate_model::Digest {
    let revisions = log.chunk_by(|one, next| one.revision == next.revision);
    revisions.fold(from.lineage, magistrate_ledger::lineage::extend)
}

fn unusable(revision: Revision, why: &impl Display) -> NotReplayable {
    NotReplayable::Unusable { revision, why: why.to_string() }
}

/// Makes a decision again by a state, at the instant it was made.
pub fn replay_by(view: &View, decision: &RecordedDecision) -> Result<Replayed, NotReplayable> {
    whole(decision)?;
    let recorded = &decision.record;
    let mut query = recorded.query.clone();
    query.explain = false;
    let answered = view.answer(query, recorded.instant, age(recorded)).map_err(|error| refused(&error))?;
    let (question, mut verdict) = answered;
    // How durable a record had to be is a matter of configuration as well.
    verdict.class = recorded.verdict.class;
    let mut record = DecisionRecord::of(&question, &verdict);
    record.query.explain = recorded.query.explain;
    let departures = departures(recorded, &record);
    Ok(Replayed { record, departures })
}

/// A question that lacks what was erased is another one.
fn whole(decision: &RecordedDecision) -> Result<(), NotReplayable> {
    match decision.erased.is_empty() {
        true => Ok(()),
        false => Err(NotReplayable::Erased(decision.erased.clone())),
    }
}

fn listed(paths: &[PrivatePath]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

fn refused(error: &CheckError) -> NotReplayable {
    NotReplayable::Refused(error.to_string())
}

/// How old the data was by which it was decided, where policies could see that.
fn age(recorded: &DecisionRecord) -> Span {
    let told = recorded.supplied.as_ref().and_then(|facts| facts.get("snapshot_age_s"));
    match told {
        Some(Value::Long(seconds)) => Span::seconds(*seconds),
        Some(_) | None => Span::ZERO,
    }
}

/// Where two records of one question differ: what was known first, then what follows from it.
fn departures(recorded: &DecisionRecord, replayed: &DecisionRecord) -> Vec<Departure> {
    let (was, is) = (&recorded.verdict, &replayed.verdict);
    let mut found = Vec::new();
    differ(&mut found, "entities_digest", &recorded.entities_digest, &replayed.entities_digest);
    differ(&mut found, "missing", &recorded.missing, &replayed.missing);
    differ(&mut found, "roles", &recorded.roles, &replayed.roles);
    differ(&mut found, "direct_roles", &recorded.direct_roles, &replayed.direct_roles);
    differ(&mut found, "scopes", &recorded.scopes, &replayed.scopes);
    differ(&mut found, "grants_in_force", &recorded.grants, &replayed.grants);
    differ(&mut found, "facts", &recorded.supplied, &replayed.supplied);
    differ(&mut found, "policy_set_digest", &was.policy_set_digest, &is.policy_set_digest);
    differ(&mut found, "revision", &was.revision, &is.revision);
    differ(&mut found, "cause", &was.cause, &is.cause);
    differ(&mut found, "determining_policies", &was.determining, &is.determining);
    differ(&mut found, "errored_policies", &was.errored, &is.errored);
    differ(&mut found, "grants", &was.grants, &is.grants);
    differ(&mut found, "advice", &was.advice, &is.advice);
    differ(&mut found, "obligations", &was.obligations, &is.obligations);
    differ(&mut found, "valid_until", &was.valid_until, &is.valid_until);
    found
}

fn differ<T: PartialEq + Debug>(found: &mut Vec<Departure>, field: &'static str, recorded: &T, replayed: &T) {
    if recorded != replayed {
        found.push(Departure { field, recorded: format!("{recorded:?}"), replayed: format!("{replayed:?}") });
    }
}
