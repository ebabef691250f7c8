//! How a decision point is, in figures: for gauges and whoever watches over it.

use magistrate_model::{Digest, Instant, Revision, Span};

use crate::check::Pdp;
use crate::reuse::ReuseVitals;
use crate::state::Readiness;

/// What can be measured of a decision point at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// Whether decisions can be made.
    pub readiness: Readiness,
    /// What is served; `None` before the first load.
    pub served: Option<Served>,
    /// How long ago the store last confirmed what is served.
    pub staleness: Span,
    /// Records that are not yet durable.
    pub waiting: usize,
    /// How many may be.
    pub capacity: usize,
    /// How long the append under way has taken; zero between appends.
    pub append_lag: Span,
    /// Decisions compared with Cedar's own authorizer, how many of them differed, and of how many it said nothing.
    pub compared: (u64, u64, u64),
    /// What became of earlier answers.
    pub reuse: ReuseVitals,
}

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Its revision.
    pub revision: Revision,
    /// The digest of its policy set.
    pub policy_set: Digest,
    /// How many policies that set has.
    pub policies: usize,
    /// How many entities, scopes and grants there are.
    pub records: usize,
}

impl Pdp {
    /// The figures of this instant.
    pub fn vitals(&self, now: Instant) -> Vitals {
        let served = self.served().map(|view| Served {
            revision: view.head.revision,
            policy_set: view.snapshot.digest(),
            policies: view.snapshot.policies().len(),
            records: view.directory.size(),
        });
        let (waiting, append_lag) = self.ledger().lag(now);
        Vitals {
            readiness: self.readiness(now),
            served,
            staleness: self.staleness(now),
            waiting,
            capacity: self.capacity(),
            append_lag,
            compared: self.comparisons(),
            reuse: self.reuse().vitals(),
        }
    }
}
