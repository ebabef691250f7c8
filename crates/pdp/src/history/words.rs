//! What people and programs search with, in words.

use std::fmt::Display;
use std::str::FromStr;

use magistrate_model::{ActionUid, Cause, Decision, EntityUid, Instant, Malformed, Revision, TraceId, Violation};

use super::filter::{DecisionFilter, Wanted};

/// Values of one field at most.
const VALUES: usize = 100;

/// A search as it is written: values of one field are alternatives, fields narrow each other, and a value behind `!` is one
/// that is not wanted.
///
/// Fields are called as they are on the command line and on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchWords {
    /// Uids in Cedar's notation, or the shorthand `Type::id`.
    pub principal: Vec<String>,
    /// Actions in Cedar's notation, or bare ids of the default namespace.
    pub action: Vec<String>,
    /// Uids in Cedar's notation, or the shorthand `Type::id`.
    pub resource: Vec<String>,
    /// `allow` or `deny`.
    pub decision: Vec<String>,
    /// Names of causes.
    pub cause: Vec<String>,
    /// Ids of determining policies.
    pub policy: Vec<String>,
    /// Ids of grants that made the answer possible.
    pub grant: Vec<String>,
    /// Revisions.
    pub revision: Vec<String>,
    /// Ids of callers' API keys.
    pub caller: Vec<String>,
    /// Addresses of callers or end users.
    pub ip: Vec<String>,
    /// The callers' own ids.
    pub request_id: Vec<String>,
    /// Trace ids: 32 hexadecimal digits.
    pub trace_id: Vec<String>,
    /// Recorded at this instant or later.
    pub since: Option<Instant>,
    /// Recorded before this instant.
    pub until: Option<Instant>,
}

impl SearchWords {
    /// What is wanted, or every word that is none. Bare actions belong to `default_namespace`.
    pub fn filter(&self, default_namespace: &str) -> Result<DecisionFilter, Malformed> {
        let mut reading = Reading::default();
        let uid = |text: &str| EntityUid::parse_shorthand(text).map(|uid| uid.to_string());
        let action = |text: &str| ActionUid::resolve(text, default_namespace).map(|action| action.to_string());
        let filter = DecisionFilter {
            principals: reading.field("principal", &self.principal, uid),
            actions: reading.field("action", &self.action, action),
            resources: reading.field("resource", &self.resource, uid),
            decisions: reading.field("decision", &self.decision, decision),
            causes: reading.field("cause", &self.cause, cause),
            policies: reading.field("policy", &self.policy, FromStr::from_str),
            grants: reading.field("grant", &self.grant, FromStr::from_str),
            revisions: reading.field("revision", &self.revision, revision),
            callers: reading.field("caller", &self.caller, FromStr::from_str),
            ips: reading.field("ip", &self.ip, FromStr::from_str),
            request_ids: reading.field("request_id", &self.request_id, FromStr::from_str),
            traces: reading.field("trace_id", &self.trace_id, TraceId::from_str),
            since: self.since,
            until: self.until,
        };
        match Malformed::all(reading.0) {
            Some(malformed) => Err(malformed),
            None => Ok(filter),
        }
    }

    /// The search in one line, as it is told to whoever asks later who looked for what. It is kept for good: that an address
    /// was looked for is told, and not which one, for addresses may be private.
    pub fn line(&self) -> String {
        let fields = [
            ("principal", &self.principal),
            ("action", &self.action),
            ("resource", &self.resource),
            ("decision", &self.decision),
            ("cause", &self.cause),
            ("policy", &self.policy),
            ("grant", &self.grant),
            ("revision", &self.revision),
            ("caller", &self.caller),
            ("ip", &self.ip.iter().map(|_| "(private)".to_owned()).collect()),
            ("request_id", &self.request_id),
            ("trace_id", &self.trace_id),
        ];
        let values = fields.iter().flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")));
        let times = [("since", self.since), ("until", self.until)];
        let times = times.iter().filter_map(|(name, at)| at.map(|at| format!("{name}={at}")));
        values.chain(times).collect::<Vec<_>>().join(" ")
    }
}

/// What was wrong so far.
#[derive(Default)]
struct Reading(Vec<Violation>);

impl Reading {
    fn field<T, E: Display>(
        &mut self,
        name: &str,
        words: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Wanted<T> {
        let mut wanted = Wanted::default();
        if words.len() > VALUES {
            let description = format!("{} values are given; at most {VALUES} are taken", words.len());
            self.0.push(Violation { field: name.to_owned(), description });
            return wanted;
        }
        for (at, word) in words.iter().enumerate() {
            let (text, values) = match word.strip_prefix('!') {
                Some(text) => (text, &mut wanted.none),
                None => (word.as_str(), &mut wanted.any),
            };
            match parse(text) {
                Ok(value) => values.push(value),
                Err(why) => {
                    self.0.push(Violation { field: format!("{name}[{at}]"), description: why.to_string() });
                }
            }
        }
        wanted
    }
}

fn decision(text: &str) -> Result<Decision, String> {
    let known = [Decision::Allow, Decision::Deny].into_iter().find(|decision| decision.name() == text);
    known.ok_or_else(|| format!("`{}` is not a decision: `allow` or `deny`", text.escape_debug()))
}

fn cause(text: &str) -> Result<Cause, String> {
    let known = || Cause::ALL.map(Cause::name).join(", ");
    Cause::named(text).ok_or_else(|| format!("`{}` is not a cause; known are {}", text.escape_debug(), known()))
}

fn revision(text: &str) -> Result<Revision, &'static str> {
    text.parse().map(Revision::new).map_err(|_| "a revision is a whole number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(principal: &[&str], cause: &[&str]) -> SearchWords {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        SearchWords { principal: owned(principal), cause: owned(cause), ..SearchWords::default() }
    }

    #[test]
    fn exclamation_mark_turns_a_value_round() {
        let filter = words(&["User::ana", "!User::\"bob\""], &["!no_permit"]).filter("").unwrap();
        assert_eq!(filter.principals.any, ["User::\"ana\""]);
        assert_eq!(filter.principals.none, ["User::\"bob\""]);
        assert_eq!(filter.causes, Wanted::none([Cause::NoPermit]));
        assert_eq!(filter.wanted_causes().map(|causes| causes.len()), Some(Cause::ALL.len() - 1));
    }

    #[test]
    fn every_word_that_is_none_is_named() {
        let malformed = words(&["User::ana", "!ana"], &["nonsense"]).filter("").unwrap_err();
        let fields: Vec<_> = malformed.violations().iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["principal[1]", "cause[0]"]);
        assert!(malformed.to_string().contains("known are permitted, forbidden"), "{malformed}");
        let many = vec!["permitted"; VALUES + 1];
        assert!(words(&[], &many).filter("").unwrap_err().to_string().contains("at most 100"));
    }

    #[test]
    fn search_is_told_in_one_line() {
        let since = Some(Instant::EPOCH);
        let words = SearchWords { since, ..words(&["!User::ana"], &["no_permit"]) };
        assert_eq!(words.line(), "principal=!User::ana cause=no_permit since=1970-01-01T00:00:00Z");
    }
}
