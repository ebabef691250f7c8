//! Following the policy store: what was committed elsewhere is served here.

use std::sync::Arc;

use magistrate_engine::Snapshot;
use magistrate_model::{Dataset, Digest, Head, Instant, PolicySet, Revision};
use tokio::sync::{mpsc, oneshot};

use crate::directory::Directory;
use crate::ports::{LoadError, PolicySource};
use crate::state::{Shared, View};

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
}

impl<S: PolicySource> Follower<S> {
    pub(crate) fn new(source: S, shared: Arc<Shared>, wakes: mpsc::Receiver<Wake>) -> Self {
        Self { source, shared, wakes }
    }

    /// Asks the store where it stands and serves what is new.
    pub async fn poll(&mut self, now: Instant) -> Result<Polled, FollowError> {
        let now = self.shared.tick(now);
        let head = self.source.head().await.inspect_err(|error| self.note(error))?;
        let served = self.shared.view().map(|view| (view.head, Arc::clone(&view.snapshot)));
        match served {
            Some((served, _)) if rewritten(served, head) => Err(self.refuse(served, head)),
            Some((served, _)) if served == head => {
                self.shared.confirm(now);
                Ok(Polled::Unchanged(head.revision))
            }
            served => self.advance(served, now).await,
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
        clock: &impl crate::Clock,
        interval: std::time::Duration,
        mut observe: impl FnMut(&Result<Polled, FollowError>),
    ) {
        while let Some(waiting) = self.due(interval).await {
            let outcome = self.poll(clock.now()).await;
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

    async fn advance(&mut self, served: Option<(Head, Arc<Snapshot>)>, now: Instant) -> Result<Polled, FollowError> {
        let mut dataset: Dataset = self.source.load().await?;
        if let Some((served, _)) = &served
            && rewritten(*served, dataset.head)
        {
            return Err(self.refuse(*served, dataset.head));
        }
        let Some(set) = dataset.policy_set.take() else {
            return Ok(Polled::Empty);
        };
        let snapshot = match served.map(|(_, snapshot)| snapshot).filter(|snapshot| snapshot.digest() == set.digest) {
            Some(snapshot) => snapshot,
            None => Arc::new(compiled(&set)?),
        };
        let head = dataset.head;
        self.shared.publish(View { head, snapshot, directory: Directory::of(dataset) }, now);
        Ok(Polled::Advanced(head.revision))
    }
}

fn rewritten(served: Head, found: Head) -> bool {
    found.revision < served.revision || (found.revision == served.revision && found.lineage != served.lineage)
}

fn compiled(set: &PolicySet) -> Result<Snapshot, FollowError> {
    let unusable = |why: String| FollowError::Unusable { digest: set.digest.to_string(), why };
    let snapshot = Snapshot::of(set).map_err(|findings| unusable(findings.to_string()))?;
    match snapshot.digest() {
        digest if digest == set.digest => Ok(snapshot),
        other => Err(unusable(mismatch(other))),
    }
}

fn mismatch(found: Digest) -> String {
    format!("its content has the digest `{found}`: the store was changed from outside")
}
