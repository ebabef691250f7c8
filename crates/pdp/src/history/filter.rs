//! Which decisions are wanted.

use std::net::IpAddr;

use magistrate_ledger::RecordedDecision;
use magistrate_model::{Cause, Decision, GrantId, Instant, KeyId, PolicyId, RequestId, Revision, TraceId};

/// What is wanted of one field: any of these values, and none of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<T> {
    /// One of these; where there is none, whatever it is.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Wanted<T> {
    fn default() -> Self {
        Self { any: Vec::new(), none: Vec::new() }
    }
}

impl<T: PartialEq> Wanted<T> {
    /// Any of these.
    pub fn any(values: impl IntoIterator<Item = T>) -> Self {
        Self { any: values.into_iter().collect(), none: Vec::new() }
    }

    /// None of these.
    pub fn none(values: impl IntoIterator<Item = T>) -> Self {
        Self { any: Vec::new(), none: values.into_iter().collect() }
    }

    /// Whether it wants nothing in particular.
    pub fn is_open(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Whether a decision with these values in the field is wanted; several where the field is a list, none where it is
    /// empty.
    pub fn accepts<'a>(&self, values: impl IntoIterator<Item = &'a T>) -> bool
    where
        T: 'a,
    {
        let mut named = self.any.is_empty();
        for value in values {
            if self.none.contains(value) {
                return false;
            }
            named |= self.any.contains(value);
        }
        named
    }
}

/// Which decisions are wanted: every field must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Principals in Cedar's notation.
    pub principals: Wanted<String>,
    /// Actions in Cedar's notation.
    pub actions: Wanted<String>,
    /// Resources in Cedar's notation.
    pub resources: Wanted<String>,
    /// Allow or deny.
    pub decisions: Wanted<Decision>,
    /// Causes.
    pub causes: Wanted<Cause>,
    /// The callers' own ids for requests.
    pub request_ids: Wanted<RequestId>,
    /// Determining policies.
    pub policies: Wanted<PolicyId>,
    /// Grants that made the answer possible.
    pub grants: Wanted<GrantId>,
    /// Revisions that answered.
    pub revisions: Wanted<Revision>,
    /// API keys of callers.
    pub callers: Wanted<KeyId>,
    /// Addresses of callers, and of the end users they spoke of.
    pub ips: Wanted<IpAddr>,
    /// Traces that the calls belonged to.
    pub traces: Wanted<TraceId>,
    /// Recorded at this instant or later.
    pub since: Option<Instant>,
    /// Recorded before this instant.
    pub until: Option<Instant>,
}

impl DecisionFilter {
    /// The causes that are wanted, by cause and by the decision they lead to; `None` where all are.
    pub fn wanted_causes(&self) -> Option<Vec<Cause>> {
        let wanted = |cause: &Cause| self.causes.accepts([cause]) && self.decisions.accepts(&[cause.decision()]);
        let wanted: Vec<Cause> = Cause::ALL.into_iter().filter(wanted).collect();
        (wanted.len() < Cause::ALL.len()).then_some(wanted)
    }

    /// Whether columns tell everything it asks for.
    pub fn is_of_columns(&self) -> bool {
        self.policies.is_open()
            && self.grants.is_open()
            && self.revisions.is_open()
            && self.callers.is_open()
            && self.ips.is_open()
            && self.traces.is_open()
    }

    /// Whether a decision whose columns fit is wanted, by what only its record tells.
    pub fn accepts(&self, decision: &RecordedDecision) -> bool {
        let (query, verdict) = (&decision.record.query, &decision.record.verdict);
        let caller = &query.caller;
        let ips = caller.address.iter().chain(query.environment.source_ip.iter());
        self.policies.accepts(&verdict.determining)
            && self.grants.accepts(&verdict.grants)
            && self.revisions.accepts([&verdict.revision])
            && self.callers.accepts(&caller.key)
            && self.ips.accepts(ips)
            && self.traces.accepts(&caller.trace)
    }
}
