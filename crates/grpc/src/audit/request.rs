//! Questions about history from the wire.

use magistrate_model::{Instant, Malformed, Span};
use magistrate_pdp::history::SearchWords;
use magistrate_proto::v1::DecisionFilter;
use magistrate_proto::{Duration, Timestamp};

/// Decisions on a page at most, and where nothing is said.
const MOST: u32 = 1_000;
const USUAL: u32 = 50;

/// Whom a filter wants, in the words of the command line.
pub(super) fn words(wire: Option<&DecisionFilter>) -> Result<SearchWords, Malformed> {
    let Some(wire) = wire else { return Ok(SearchWords::default()) };
    let at = |name: &str, time: Option<&Timestamp>| time.map(|time| instant(name, time)).transpose();
    Ok(SearchWords {
        principal: wire.principal.clone(),
        action: wire.action.clone(),
        resource: wire.resource.clone(),
        decision: wire.decision.clone(),
        cause: wire.cause.clone(),
        policy: wire.policy.clone(),
        grant: wire.grant.clone(),
        revision: wire.revision.clone(),
        caller: wire.caller.clone(),
        ip: wire.ip.clone(),
        request_id: wire.request_id.clone(),
        trace_id: wire.trace_id.clone(),
        since: at("filter.since", wire.since.as_ref())?,
        until: at("filter.until", wire.until.as_ref())?,
    })
}

/// How many are wanted on a page.
pub(super) fn page_size(wire: u32) -> Result<u32, Malformed> {
    match wire {
        0 => Ok(USUAL),
        1..=MOST => Ok(wire),
        _ => Err(Malformed::at("page_size", format_args!("is {wire}; the most is {MOST}"))),
    }
}

fn instant(field: &str, wire: &Timestamp) -> Result<Instant, Malformed> {
    let micros = wire.seconds.checked_mul(1_000_000).and_then(|it| it.checked_add(i64::from(wire.nanos) / 1_000));
    let instant = micros.and_then(|micros| Instant::from_micros(micros).ok());
    instant.ok_or_else(|| Malformed::at(field, "lies outside of the years 1 to 9999"))
}

/// A span of time.
pub(super) fn span(wire: &Duration) -> Result<Span, Malformed> {
    let micros = wire.seconds.checked_mul(1_000_000).and_then(|it| it.checked_add(i64::from(wire.nanos) / 1_000));
    micros.map(Span::from_micros).ok_or_else(|| Malformed::at("stretch", "is longer than can be counted"))
}
