//! The decision point: takes a query through facts, evaluation and the ledger.
//!
//! [`Pdp::check`] is the only public way in, and a reply can only be built from the [`Recorded`] it
//! returns. No I/O on the path of a Check except the append. Nothing calls back up.

mod acts;
mod capacity;
mod check;
mod clock;
mod comparison;
mod differences;
mod directory;
pub mod erasing;
mod error;
mod explanation;
mod facts;
mod follower;
pub mod history;
mod log;
mod ports;
mod prepared;
mod recorder;
mod refusals;
pub mod retention;
mod reuse;
mod round;
mod state;
mod vitals;

pub use capacity::{Capacity, Taken};
pub use check::{Batch, BatchAnswer, BatchSemantics, Pdp, Settings};
pub use clock::Clock;
pub use comparison::{Comparer, Difference, Second};
pub use differences::{DifferenceCounts, DifferenceRecorder, Differences};
pub use directory::Directory;
pub use error::CheckError;
pub use follower::{FollowError, Follower, Polled};
pub use history::{DecisionFilter, DecisionHistory, Evidence, HistoryError, Page, Position};
pub use log::{GlobalLog, Lease, LogError, Sequencing, Unlogged};
pub use ports::{Intake, LoadError, PastStates, PolicySource, Since, Standing};
pub use recorder::Recorded;
pub use refusals::{Reason, RefusalCounts, RefusalRecorder, RefusalSettings, Refusals, Refused};
pub use reuse::{MaybeReused, Reuse, ReuseSettings, ReuseVitals};
pub use state::{Readiness, Staleness, View};
pub use vitals::{Served, Vitals};
