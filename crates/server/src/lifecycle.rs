//! Where a server is in its life, as health and readiness tell it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use magistrate_pdp::{Clock as _, Pdp, Readiness};

use crate::journal::Watch;
use crate::os::SystemClock;

/// The life of one server. Clones share it, and hold its decision point weakly.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    pdp: Weak<Pdp>,
    draining: Arc<AtomicBool>,
    journal: Watch,
}

impl Lifecycle {
    pub(crate) fn of(pdp: &Arc<Pdp>, journal: Watch) -> Self {
        Self { pdp: Arc::downgrade(pdp), draining: Arc::new(AtomicBool::new(false)), journal }
    }

    /// From now on it says that it is not ready. It goes on answering: whoever has not heard yet is served.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether decisions can be made, and should be asked for here.
    pub(crate) fn readiness(&self) -> Readiness {
        match self.pdp.upgrade() {
            _ if self.draining.load(Ordering::Acquire) => refused("it was told to stop, and is draining"),
            Some(pdp) => self.remarking(pdp.readiness(SystemClock.now())),
            None => refused("it has stopped"),
        }
    }

    fn remarking(&self, readiness: Readiness) -> Readiness {
        match readiness {
            Readiness::Ready { mut remarks } => {
                remarks.extend(self.journal.remarks(SystemClock.now()));
                Readiness::Ready { remarks }
            }
            not_ready @ Readiness::NotReady { .. } => not_ready,
        }
    }
}

fn refused(why: &str) -> Readiness {
    Readiness::NotReady { reasons: vec![why.to_owned()] }
}
