//! Keys of callers, read again every second, and the judgement by them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use magistrate_grpc::{Authenticate, CallerStats};
use magistrate_identity::KeyRing;
use magistrate_model::{Instant, Span};
use magistrate_pap::StoreError;
use magistrate_pdp::Clock;
use tracing::{info, warn};

/// How often they are read: within this a key that was revoked is refused.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The keys of a store, kept up to date.
#[derive(Debug)]
pub(crate) struct Keys<S, C> {
    store: S,
    clock: C,
    ring: Arc<ArcSwap<KeyRing>>,
    /// How old they may be: then nobody is known any more.
    hard: Span,
    read_at: Instant,
    failing: bool,
    stats: Arc<CallerStats>,
}

impl<S: magistrate_pap::Keys, C: Clock + Clone> Keys<S, C> {
    /// Reads them for the first time.
    pub(crate) async fn load(store: S, clock: C, hard: Span) -> anyhow::Result<Self> {
        let read_at = clock.now();
        let keys = store.keys().await.context("cannot read the keys of callers")?;
        let ring = Arc::new(ArcSwap::from_pointee(KeyRing::of(keys)));
        Ok(Self { store, clock, ring, hard, read_at, failing: false, stats: Arc::default() })
    }

    /// The judgement by these keys; all that are made count together.
    pub(crate) fn authenticate(&self, required: bool) -> Authenticate<C> {
        Authenticate::new(Arc::clone(&self.ring), required, self.clock.clone()).counted(Arc::clone(&self.stats))
    }

    /// How often somebody was not let in.
    pub(crate) fn stats(&self) -> &Arc<CallerStats> {
        &self.stats
    }

    /// Reads them again and again; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            self.read().await;
        }
    }

    /// Reads them again. They are as old as the question, however long the answer takes.
    async fn read(&mut self) {
        let asked_at = self.clock.now();
        match self.store.keys().await {
            Ok(keys) => {
                self.ring.store(Arc::new(KeyRing::of(keys)));
                self.read_at = asked_at;
                if std::mem::take(&mut self.failing) {
                    info!("the keys of callers can be read again");
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    /// INVARIANT: keys that could not be read for too long may have been revoked since, and count no more.
    fn fail(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%error, "cannot read the keys of callers; those known before count on, as long as they may");
        }
        if self.clock.now().since(self.read_at) > self.hard && self.ring.load().keys().next().is_some() {
            warn!("the keys of callers are too old; nobody is known until they can be read");
            self.ring.store(Arc::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use magistrate_identity::{ApiKey, KeyKind, ListedKey, RANDOM_BYTES, Secret};
    use magistrate_model::{Authorship, KeyId};
    use magistrate_testkit::FakeClock;

    use super::*;

    /// Keys, or why there are none.
    #[derive(Debug, Clone)]
    struct Answering(Arc<Mutex<Result<Vec<ApiKey>, StoreError>>>);

    impl magistrate_pap::Keys for Answering {
        async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
            self.0.lock().unwrap().clone()
        }

        async fn listed_keys(&self) -> Result<Vec<ListedKey>, StoreError> {
            Ok(Vec::new())
        }

        async fn issue_key(&self, _key: &ApiKey, _authorship: &Authorship) -> Result<(), StoreError> {
            Ok(())
        }

        async fn revoke_key(&self, _id: &KeyId, _authorship: &Authorship) -> Result<bool, StoreError> {
            Ok(false)
        }
    }

    fn secret() -> Secret {
        Secret::of_random(KeyKind::Check, &[1; RANDOM_BYTES]).unwrap()
    }

    fn key() -> ApiKey {
        ApiKey {
            id: secret().id().clone(),
            caller: "gateway".into(),
            kind: KeyKind::Check,
            hash: secret().hash(),
            created_at: Instant::EPOCH,
            expires_at: Instant::EPOCH.plus(Span::hours(1)),
            revoked_at: None,
        }
    }

    fn at(seconds: i64) -> Instant {
        Instant::EPOCH.plus(Span::seconds(seconds))
    }

    #[tokio::test]
    async fn keys_count_until_they_are_too_old_and_again_once_they_are_read() {
        let store = Answering(Arc::new(Mutex::new(Ok(vec![key()]))));
        let clock = FakeClock::at(at(0));
        let mut keys = Keys::load(store.clone(), clock.clone(), Span::seconds(10)).await.unwrap();
        let authenticate = keys.authenticate(true);
        let mut headers = http::HeaderMap::new();
        let header = format!("Bearer {}", secret().reveal());
        headers.insert(http::header::AUTHORIZATION, header.parse().unwrap());
        let is_known = || authenticate.caller(&headers).is_ok();
        assert!(is_known());
        *store.0.lock().unwrap() = Err(StoreError::Unreachable("down".into()));
        for (seconds, expected) in [(1, true), (9, true), (1, false), (1, false)] {
            clock.advance(Span::seconds(seconds));
            keys.read().await;
            assert_eq!(is_known(), expected, "at {}", clock.now());
        }
        *store.0.lock().unwrap() = Ok(vec![key()]);
        keys.read().await;
        assert!(is_known());
        *store.0.lock().unwrap() = Ok(vec![ApiKey { revoked_at: Some(at(99)), ..key() }]);
        keys.read().await;
        assert!(!is_known(), "revoked, by a clock that is ahead");
    }

    #[tokio::test]
    async fn without_keys_to_read_nothing_is_served() {
        let store = Answering(Arc::new(Mutex::new(Err(StoreError::Unreachable("down".into())))));
        let loaded = Keys::load(store, FakeClock::at(at(0)), Span::seconds(10)).await;
        assert!(format!("{:#}", loaded.unwrap_err()).contains("cannot read the keys of callers: "));
    }
}
