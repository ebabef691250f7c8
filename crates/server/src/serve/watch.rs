//! What is looked at again and again while a server runs: certificates and readiness.

use std::sync::Arc;
use std::time::Duration;

use magistrate_grpc::{Certificates, Health};
use magistrate_model::Verdict;
use magistrate_pdp::{Difference, Differences, Readiness, Second};
use tracing::{error, info, warn};

use super::POLL_EVERY;
use crate::lifecycle::Lifecycle;
use crate::notify;

/// How often the files of certificate and key are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(2);

/// Reads certificate and key again when their files change. New connections are shown the new one, and old ones live on.
/// `whom` they are shown to goes into the log: listeners that speak different protocols each have their own.
pub(crate) async fn watch_certificates(certificates: Arc<Certificates>, whom: &str) {
    loop {
        tokio::time::sleep(CERTIFICATES_EVERY).await;
        refresh(&certificates, whom);
    }
}

/// Reads certificate and key again if their files have changed.
pub(crate) fn refresh(certificates: &Certificates, whom: &str) {
    match certificates.refresh() {
        Ok(false) => {}
        Ok(true) => info!(not_after = %certificates.not_after(), "a new certificate is shown to {whom}"),
        Err(error) => warn!(%error, "the new certificate cannot be used; the old one is shown on to {whom}"),
    }
}

pub(super) async fn watch_readiness(lifecycle: Lifecycle, health: Health) {
    let mut known = None;
    let mut watchdog = notify::watchdog().map(tokio::time::interval);
    notify::ready();
    loop {
        let readiness = lifecycle.readiness();
        let ready = matches!(readiness, Readiness::Ready { .. });
        health.set(ready).await;
        if known.as_ref() != Some(&readiness) {
            tell_readiness(&readiness, known.is_none_or(|known| matches!(known, Readiness::Ready { .. }) != ready));
        }
        known = Some(readiness);
        if let Some(watchdog) = &mut watchdog {
            tokio::select! {
                _ = watchdog.tick() => notify::alive(),
                () = tokio::time::sleep(POLL_EVERY) => {}
            }
        } else {
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

/// Tells systemd what is new, and the log only when it turned.
fn tell_readiness(readiness: &Readiness, turned: bool) {
    match readiness {
        Readiness::Ready { remarks } if remarks.is_empty() => notify::status("ready"),
        Readiness::Ready { remarks } => notify::status(&format!("ready; {}", remarks.join("; "))),
        Readiness::NotReady { reasons } => notify::status(&format!("not ready: {}", reasons.join("; "))),
    }
    match readiness {
        Readiness::Ready { .. } if turned => info!("ready"),
        Readiness::NotReady { reasons } if turned => warn!(reasons = reasons.join("; "), "not ready"),
        Readiness::Ready { .. } | Readiness::NotReady { .. } => {}
    }
}

/// A decision is made otherwise the second time, or not at all.
pub(super) fn tell_difference(difference: &Difference, lane: &Differences) {
    let Difference { decision, question, answered, second } = difference;
    let says = |verdict: &Verdict| {
        format!("{:?}, determining {:?}, errored {:?}", verdict.cause, verdict.determining, verdict.errored)
    };
    let (now_says, told) = match second {
        Second::Authorizer(Err(why)) => {
            warn!(why, action = %question.query.action, "a decision could not be made a second time; look at what is stored");
            return;
        }
        Second::Authorizer(Ok(verdict)) => (
            says(verdict),
            "a decision differs from Cedar's own authorizer, which answers every request from now on; please report it",
        ),
        Second::Anew(anew) => (
            anew.as_ref().map_or_else(Clone::clone, |anew| says(&anew.1)),
            "an earlier answer was used again and is no longer right; none is used again from now on; please report it",
        ),
    };
    let recorded = lane.tell(difference);
    error!(
        decision = decision.map(|id| id.to_string()),
        will_be_recorded = recorded,
        principal = %question.query.principal.uid(),
        action = %question.query.action,
        resource = %question.query.resource.uid(),
        revision = %answered.revision,
        policy_set = %answered.policy_set_digest,
        instant = question.facts.instant.micros(),
        answered = says(answered),
        second = now_says,
        "{told}"
    );
}
