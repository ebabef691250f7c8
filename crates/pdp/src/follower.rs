//! Following the policy store: what was committed elsewhere is served here.

use std::sync::Arc;

use magistrate_engine::Snapshot;
use magistrate_ledger::lineage;
use magistrate_model::{
    Digest, Effect, EntityData, GrantRef, Head, Instant, LoggedChange, PolicySet, Revision, ScopeDeclaration, Span,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::directory::Builder;
use crate::ports::{Intake, LoadError, PolicySource, Since};
use crate::state::{Shared, View};

/// How far the clock here may be apart from the store's, or behind what it said before.
pub(crate) const MAX_SKEW: Span = Span::seconds(2);
/// Up to so many changes are applied one by one, however little is loaded.
const FEW_CHANGES: usize = 1_000;

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The store stands where it stood.
    Unchanged(Revision),
    /// A newer revision is served from now on.
    Advanced(Revision),
    /// The store holds no policy set yet.
    Empty,
}

/// A poll failed. What was served before goes on being served, as long as it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The store could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store's history is not the one that was followed so far.
    #[error(
        "the policy store went from revision {served} to {found}{}: it was restored or replaced; restart to serve it, if that is meant",
        if served == found { " with other content" } else { "" }
    )]
    Rewritten {
        /// What was served.
        served: Revision,
        /// What the store says now.
        found: Revision,
    },
    /// The clock here tells another time than the store's, or than it told before: terms would be judged wrongly.
    #[error(
        "the clock here is {} ms apart from the policy store's, or behind what it said before; the limit is {} ms: have both set by NTP",
        apart.micros() / 1_000, MAX_SKEW.micros() / 1_000
    )]
    Skewed {
        /// How far.
        apart: Span,
    },
    /// The store holds more than can be numbered.
    #[error("the policy store holds more than four billion entities, grants or bytes of them, which is too much")]
    TooLarge,
    /// The stored policy set does not compile, or is not what its digest says.
    #[error("the stored policy set `{digest}` cannot be served: {why}")]
    Unusable {
        /// The digest it is stored under.
        digest: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A request for a poll at once; answered with the newest committed revision, if the store told it.
pub(crate) type Wake = oneshot::Sender<Option<Revision>>;

/// Reads the store and publishes what it finds. One per process; owns the writing side of the state.
#[derive(Debug)]
pub struct Follower<S> {
    source: S,
    shared: Arc<Shared>,
    wakes: mpsc::Receiver<Wake>,
    /// Entities whose changes are told apart.
    most_touched: usize,
}

impl<S: PolicySource> Follower<S> {
    pub(crate) fn new(source: S, shared: Arc<Shared>, wakes: mpsc::Receiver<Wake>, most_touched: usize) -> Self {
        Self { source, shared, wakes, most_touched }
    }

    /// Asks the store where it stands and serves what is new.
    pub async fn poll(&mut self, clock: &impl Clock) -> Result<Polled, FollowError> {
        let asked = clock.now();
        let now = self.shared.tick(asked);
        // Everything is judged by the latest time seen here: while the clock stands before that, it is wrong.
        self.check_apart(now.since(asked))?;
        let standing = self.source.standing().await.inspect_err(|error| self.note(error))?;
        let answered = clock.now();
        let apart = standing.clock.map_or(Span::ZERO, |there| asked.since(there).max(there.since(answered)));
        self.check_apart(apart)?;
        match self.shared.view() {
            Some(served) if rewritten(served.head, standing.head) => Err(self.refuse(served.head, standing.head)),
            Some(served) if served.head == standing.head => {
                self.shared.confirm(now);
                Ok(Polled::Unchanged(served.head.revision))
            }
            Some(served) => self.advance(served, now).await,
            None => self.load(None, now).await,
        }
    }

    /// Waits until a poll is due: a reader needs a newer revision, or `interval` has passed.
    /// Returns those to tell about it; `None` once nobody can ask any more.
    pub(crate) async fn due(&mut self, interval: std::time::Duration) -> Option<Vec<Wake>> {
        let mut waiting = match tokio::time::timeout(interval, self.wakes.recv()).await {
            Ok(Some(wake)) => vec![wake],
            Ok(None) => return None,
            Err(_) => Vec::new(),
        };
        while let Ok(wake) = self.wakes.try_recv() {
            waiting.push(wake);
        }
        Some(waiting)
    }

    /// Polls until the [`Pdp`](crate::Pdp) is gone, telling `observe` of every outcome.
    pub async fn run(
        mut self,
        clock: &impl Clock,
        interval: std::time::Duration,
        mut observe: impl FnMut(&Result<Polled, FollowError>),
    ) {
        while let Some(waiting) = self.due(interval).await {
            let outcome = self.poll(clock).await;
            let newest = match &outcome {
                Ok(Polled::Unchanged(revision) | Polled::Advanced(revision)) => Some(*revision),
                Ok(Polled::Empty) => Some(Revision::ZERO),
                Err(_) => None,
            };
            observe(&outcome);
            for wake in waiting {
                let _gone = wake.send(newest);
            }
        }
    }

    /// A store that cannot be read may be back soon; one that was replaced is not.
    fn note(&self, error: &LoadError) {
        match error {
            LoadError::Replaced(_) => self.shared.fail(error.to_string()),
            LoadError::Unreachable(_) | LoadError::Inconsistent { .. } => {}
        }
    }

    fn refuse(&self, served: Head, found: Head) -> FollowError {
        let error = FollowError::Rewritten { served: served.revision, found: found.revision };
        self.shared.fail(error.to_string());
        error
    }

    fn check_apart(&self, apart: Span) -> Result<(), FollowError> {
        if apart <= MAX_SKEW {
            return Ok(());
        }
        let error = FollowError::Skewed { apart };
        self.shared.fail(error.to_string());
        Err(error)
    }

    /// Follows the changes since what is served, or loads everything where that is cheaper.
    async fn advance(&mut self, served: Arc<View>, now: Instant) -> Result<Polled, FollowError> {
        let few = FEW_CHANGES.max(served.directory.size() / 2);
        match self.source.since(served.head, u32::try_from(few).unwrap_or(u32::MAX)).await? {
            Since::Forked(found) => Err(self.refuse(served.head, found)),
            Since::TooMany => self.load(Some(served), now).await,
            Since::Changes { head, log, .. } if !leads(served.head, head, &log) => Err(self.refuse(served.head, head)),
            Since::Changes { head, log, policy_set } => match effects(&log) {
                Some(effects) => self.follow(&served, head, effects, policy_set, now),
                None => self.load(Some(served), now).await,
            },
        }
    }

    fn follow(
        &self,
        served: &View,
        head: Head,
        effects: Vec<Effect>,
        policy_set: Option<PolicySet>,
        now: Instant,
    ) -> Result<Polled, FollowError> {
        let snapshot = match policy_set {
            Some(set) => snapshot_of(&set, Some(&served.snapshot))?,
            None => Arc::clone(&served.snapshot),
        };
        let applied =
            effects.iter().rev().find_map(|it| if let Effect::PolicySet(digest) = it { Some(digest) } else { None });
        if let Some(digest) = applied.filter(|digest| **digest != snapshot.digest()) {
            let why = "its text did not come with the change that applied it".to_owned();
            return Err(FollowError::Unusable { digest: digest.to_string(), why });
        }
        let touched = served.touched.followed(&effects, head.revision, self.most_touched);
        let mut directory = served.directory.clone();
        for effect in effects {
            directory.apply(effect);
        }
        let view = View::new(head, snapshot, directory.tidied(), Some(served));
        self.shared.publish(view.touching(touched), now);
        Ok(Polled::Advanced(head.revision))
    }

    async fn load(&mut self, served: Option<Arc<View>>, now: Instant) -> Result<Polled, FollowError> {
        let mut loading = Loading { served: served.clone(), ..Loading::default() };
        let head = self.source.load_into(&mut loading).await?;
        if let Some(served) = &served
            && rewritten(served.head, head)
        {
            return Err(self.refuse(served.head, head));
        }
        let Some(compiling) = loading.compiling else {
            return Ok(Polled::Empty);
        };
        let directory = tokio::task::spawn_blocking(|| loading.directory.finish());
        let unfinished = |why: &dyn std::fmt::Display| LoadError::Unreachable(format!("what was read got lost: {why}"));
        let snapshot = compiling.await.map_err(|why| unfinished(&why))??;
        let directory = directory.await.map_err(|why| unfinished(&why))?.ok_or(FollowError::TooLarge)?;
        let view = View::new(head, snapshot, directory, served.as_deref());
        self.shared.publish(view, now);
        Ok(Polled::Advanced(head.revision))
    }
}

/// What is read of a store: policies are compiled while entities and grants still come.
#[derive(Debug, Default)]
struct Loading {
    served: Option<Arc<View>>,
    compiling: Option<JoinHandle<Result<Arc<Snapshot>, FollowError>>>,
    directory: Builder,
}

impl Intake for Loading {
    fn policy_set(&mut self, set: Option<PolicySet>) {
        let served = self.served.clone();
        self.compiling = set.map(|set| {
            tokio::task::spawn_blocking(move || snapshot_of(&set, served.as_ref().map(|served| &served.snapshot)))
        });
    }

    fn scope(&mut self, scope: ScopeDeclaration) {
        self.directory.scope(scope);
    }

    fn entity(&mut self, entity: EntityData) {
        self.directory.entity(entity);
    }

    fn grant(&mut self, grant: &GrantRef<'_>) {
        self.directory.grant(grant);
    }
}

/// Whether these changes, and no others, lie between two states: dense revisions whose digests chain from
/// one lineage to the other.
fn leads(from: Head, to: Head, log: &[LoggedChange]) -> bool {
    let mut reached = from;
    for rows in log.chunk_by(|one, next| one.revision == next.revision) {
        let Some(first) = rows.first().filter(|first| first.revision == reached.revision.next()) else {
            return false;
        };
        reached = Head { revision: first.revision, lineage: lineage::extend(reached.lineage, rows) };
    }
    reached == to
}

/// What the changes did; `None` if a row does not tell.
pub(crate) fn effects(log: &[LoggedChange]) -> Option<Vec<Effect>> {
    log.iter().map(|change| change.effect().ok()).collect()
}

fn rewritten(served: Head, found: Head) -> bool {
    found.revision < served.revision || (found.revision == served.revision && found.lineage != served.lineage)
}

/// The compiled set; the one that is served if it is the same.
fn snapshot_of(set: &PolicySet, served: Option<&Arc<Snapshot>>) -> Result<Arc<Snapshot>, FollowError> {
    match served.filter(|served| served.digest() == set.digest) {
        Some(served) => Ok(Arc::clone(served)),
        None => Ok(Arc::new(compiled(set, served)?)),
    }
}

fn compiled(set: &PolicySet, served: Option<&Arc<Snapshot>>) -> Result<Snapshot, FollowError> {
    let unusable = |why: String| FollowError::Unusable { digest: set.digest.to_string(), why };
    let snapshot = match served {
        Some(served) => served.followed_by(set),
        None => Snapshot::of(set),
    };
    let snapshot = snapshot.map_err(|findings| unusable(findings.to_string()))?;
    match snapshot.digest() {
        digest if digest == set.digest => Ok(snapshot),
        other => Err(unusable(mismatch(other))),
    }
}

fn mismatch(found: Digest) -> String {
    format!("its content has the digest `{found}`: the store was changed from outside")
}
