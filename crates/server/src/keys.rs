//! Keys of callers, read again every second, and the judgement by them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use magistrate_grpc::Authenticate;
use magistrate_identity::KeyRing;
use magistrate_model::{Instant, Span};
use magistrate_pap::{Keys as _, StoreError};
use magistrate_pdp::Clock as _;
use tracing::{info, warn};

use crate::os::SystemClock;
use crate::store::Store;

/// How often they are read: within this a key that was revoked is refused.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The keys of a store, kept up to date.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Store,
    ring: Arc<ArcSwap<KeyRing>>,
    /// How old they may be: then nobody is known any more.
    hard: Span,
    read_at: Instant,
    failing: bool,
}

impl Keys {
    /// Reads them for the first time.
    pub(crate) async fn load(store: &Store, hard: Span) -> anyhow::Result<Self> {
        let store = store.clone();
        let keys = store.keys().await.context("cannot read the keys of callers")?;
        let ring = Arc::new(ArcSwap::from_pointee(KeyRing::of(keys)));
        Ok(Self { store, ring, hard, read_at: SystemClock.now(), failing: false })
    }

    /// The judgement by these keys.
    pub(crate) fn authenticate(&self, required: bool) -> Authenticate<SystemClock> {
        Authenticate::new(Arc::clone(&self.ring), required, SystemClock)
    }

    /// Reads them again and again; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            match self.store.keys().await {
                Ok(keys) => {
                    self.ring.store(Arc::new(KeyRing::of(keys)));
                    self.read_at = SystemClock.now();
                    if std::mem::take(&mut self.failing) {
                        info!("the keys of callers can be read again");
                    }
                }
                Err(error) => self.fail(&error),
            }
        }
    }

    /// INVARIANT: keys that could not be read for too long may have been revoked since, and count no more.
    fn fail(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%error, "cannot read the keys of callers; those known before count on, as long as they may");
        }
        if SystemClock.now().since(self.read_at) > self.hard && self.ring.load().keys().next().is_some() {
            warn!("the keys of callers are too old; nobody is known until they can be read");
            self.ring.store(Arc::default());
        }
    }
}
