//! Who may ask: an API key in `authorization: Bearer`, and what it is for.
//!
//! Full identities and rights come later and replace [`Authenticate`] behind the same layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use http::{HeaderMap, Request, Response};
use magistrate_identity::{AuthenticatedCaller, KeyKind, KeyRing, Unauthenticated};
use magistrate_model::KeyId;
use magistrate_pdp::Clock;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Inbound, Outbound};
use crate::observe::Method;
use crate::refuse;
use crate::status::{Refusal, status};

mod stats;

pub use stats::{CallerStats, Denied};

/// Bytes of the header at most: a key has 87.
const LONGEST: usize = 256;

/// Keys that are known, and whether callers must present one. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Authenticate<C> {
    keys: Arc<ArcSwap<KeyRing>>,
    required: bool,
    clock: C,
    stats: Arc<CallerStats>,
}

impl<C: Clock> Authenticate<C> {
    /// By these keys. Where none is required, a key that is presented must be in force all the same.
    pub fn new(keys: Arc<ArcSwap<KeyRing>>, required: bool, clock: C) -> Self {
        Self { keys, required, clock, stats: Arc::default() }
    }

    /// The same, with whom it does not let in counted there.
    #[must_use]
    pub fn counted(self, stats: Arc<CallerStats>) -> Self {
        Self { stats, ..self }
    }

    /// Who presents a key in these headers; `None` where nobody has to.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Option<AuthenticatedCaller>, Unauthenticated> {
        let mut given = headers.get_all(http::header::AUTHORIZATION).iter();
        let Some(header) = given.next() else {
            return if self.required { Err(Unauthenticated::Missing) } else { Ok(None) };
        };
        if given.next().is_some() {
            return Err(Unauthenticated::Unreadable);
        }
        let text = header.to_str().ok().filter(|text| text.len() <= LONGEST).ok_or(Unauthenticated::Unreadable)?;
        let (scheme, key) = text.split_once(' ').ok_or(Unauthenticated::Unreadable)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unauthenticated::Unreadable);
        }
        self.keys.load().authenticate(key, self.clock.now()).map(Some)
    }

    /// The same, of a key that is for one of these. Whoever is not let in is counted.
    pub fn caller_for(&self, headers: &HeaderMap, kinds: &[KeyKind]) -> Result<Option<AuthenticatedCaller>, Denied> {
        self.judge(headers, kinds).map_err(|(denied, _)| denied)
    }

    /// The same, with who is not let in, if that is known.
    fn judge(
        &self,
        headers: &HeaderMap,
        kinds: &[KeyKind],
    ) -> Result<Option<AuthenticatedCaller>, (Denied, Option<KeyId>)> {
        let judged = match self.caller(headers) {
            Ok(Some(caller)) if !kinds.contains(&caller.kind) => Err((Denied::NotPermittedToAsk, Some(caller.key))),
            judged => judged.map_err(|why| (Denied::Unauthenticated(why), None)),
        };
        judged.inspect_err(|(denied, _)| self.stats.count(*denied))
    }

    /// The clock that keys are judged by.
    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }
}

/// What a key must be for to call a method. Nothing lets one call what is not named here: a method that is added
/// later is closed until somebody says whom it is for.
const fn kinds(method: Method) -> &'static [KeyKind] {
    match method {
        Method::Check | Method::CheckBatch => &[KeyKind::Check],
        Method::SearchDecisions
        | Method::CountDecisions
        | Method::GetDecision
        | Method::TailDecisions
        | Method::ReplayDecision
        | Method::Prove
        | Method::ListCheckpoints => &[KeyKind::Audit],
        Method::Health | Method::Reflection => &KeyKind::ALL,
        Method::Unknown => &[],
    }
}

/// Lets in who may ask.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticateLayer<C>(pub(crate) Authenticate<C>);

impl<C: Clone, S> Layer<S> for AuthenticateLayer<C> {
    type Service = Guarded<C, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { authenticate: self.0.clone(), inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Guarded<C, S> {
    authenticate: Authenticate<C>,
    inner: S,
}

impl<C, S, B> Service<Request<Inbound<B>>> for Guarded<C, S>
where
    C: Clock,
    S: Service<Request<Inbound<B>>, Response = Response<Outbound>>,
{
    type Response = Response<Outbound>;
    type Error = S::Error;
    type Future = Guarding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Inbound<B>>) -> Self::Future {
        match self.authenticate.judge(request.headers(), kinds(request.body().known.method)) {
            Ok(caller) => {
                // Nothing behind this needs the key, and what does not have it cannot tell it.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                let caller = caller.map(|caller| caller.key);
                request.body_mut().known.caller.clone_from(&caller);
                Guarding::Let { inner: self.inner.call(request), caller }
            }
            Err((denied, caller)) => Guarding::Denied { denied, caller },
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(crate) enum Guarding<F> {
        Let {
            #[pin]
            inner: F,
            caller: Option<KeyId>,
        },
        Denied { denied: Denied, caller: Option<KeyId> },
    }
}

impl<F, E> Future for Guarding<F>
where
    F: Future<Output = Result<Response<Outbound>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Let { inner, caller } => {
                let mut outcome = ready!(inner.poll(context));
                if let Ok(response) = &mut outcome
                    && refuse::refused(&response.body().outcome).is_some()
                {
                    response.body_mut().caller = caller.take();
                }
                Poll::Ready(outcome)
            }
            Projected::Denied { denied, caller } => {
                let mut response = Outbound::refused(status(&Refusal::Caller(*denied)));
                response.body_mut().caller = caller.take();
                Poll::Ready(Ok(response))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use magistrate_identity::{ApiKey, RANDOM_BYTES, Secret};
    use magistrate_model::{Instant, Span};
    use magistrate_testkit::FakeClock;

    use super::*;

    const NOW: Instant = Instant::EPOCH;

    fn secret(kind: KeyKind) -> Secret {
        Secret::of_random(kind, &[1; RANDOM_BYTES]).unwrap()
    }

    fn authenticate(kind: KeyKind, required: bool) -> Authenticate<FakeClock> {
        let secret = secret(kind);
        let key = ApiKey {
            id: secret.id().clone(),
            caller: "c".into(),
            kind,
            hash: secret.hash(),
            created_at: NOW,
            expires_at: NOW.plus(Span::seconds(1)),
            revoked_at: None,
        };
        Authenticate::new(Arc::new(ArcSwap::from_pointee(KeyRing::of([key]))), required, FakeClock::at(NOW))
    }

    fn headers(values: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(http::header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(required: bool, values: &[String], expected: Result<bool, Unauthenticated>) {
        let known = authenticate(KeyKind::Check, required).caller(&headers(values));
        assert_eq!(known.map(|caller| caller.is_some()), expected, "{values:?}");
    }

    #[test]
    fn one_key_in_one_header_is_read() {
        let key = secret(KeyKind::Check).reveal();
        check(true, &[format!("Bearer {key}")], Ok(true));
        check(true, &[format!("bEARER {key}")], Ok(true));
        check(true, &[], Err(Unauthenticated::Missing));
        check(false, &[], Ok(false));
        for required in [true, false] {
            for wrong in [
                format!("Basic {key}"),
                key.clone(),
                "Bearer ".into(),
                format!("Bearer  {key}"),
                format!("Bearer {key}{}", "x".repeat(200)),
            ] {
                check(required, &[wrong], Err(Unauthenticated::Unreadable));
            }
            check(required, &[format!("Bearer {key}"), format!("Bearer {key}")], Err(Unauthenticated::Unreadable));
        }
    }

    #[test]
    fn key_is_for_what_it_was_made_for() {
        for kind in KeyKind::ALL {
            let authenticate = authenticate(kind, true);
            let headers = headers(&[format!("Bearer {}", secret(kind).reveal())]);
            let asks = |method| authenticate.caller_for(&headers, kinds(method)).is_ok();
            assert_eq!(asks(Method::Check), kind == KeyKind::Check);
            assert_eq!(asks(Method::CheckBatch), kind == KeyKind::Check);
            assert_eq!(asks(Method::SearchDecisions), kind == KeyKind::Audit);
            assert!(asks(Method::Health) && asks(Method::Reflection));
            assert_eq!(
                authenticate.stats.refused(Denied::NotPermittedToAsk),
                match kind {
                    KeyKind::Check => 1,
                    KeyKind::Audit => 2,
                    KeyKind::Admin => 3,
                }
            );
            assert!(!asks(Method::Unknown), "what nobody has named a kind for is for no key");
        }
    }
}
