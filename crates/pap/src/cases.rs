//! Policy tests: decisions a policy set must give, as data.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use magistrate_model::json::{self, StrictJson};
use magistrate_model::{
    ActionUid, Caller, Cause, Channel, Decision, EntityInput, EntityUid, Environment, Instant, PolicyId, Query, Record,
    Verdict,
};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::files::{file_problem, source};
use crate::problem::AdminError;

/// A principal or resource of a case: a uid, or a whole asserted entity.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Party {
    /// `Type::"id"`.
    Uid(String),
    /// `{uid, attributes, parents}`.
    Entity(StrictJsonBox),
}

/// JSON inside YAML.
#[derive(Debug, Clone)]
struct StrictJsonBox(Json);

impl<'de> Deserialize<'de> for StrictJsonBox {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictJson::deserialize(deserializer).map(|StrictJson(json)| Self(json))
    }
}

/// One case as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    principal: Party,
    action: String,
    resource: Party,
    context: Option<StrictJsonBox>,
    ip: Option<String>,
    at: Option<String>,
    expect: String,
    cause: Option<String>,
    policies: Option<Vec<String>>,
}

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    now: String,
    tests: Vec<Case>,
}

/// The cases of one file, read and checked.
#[derive(Debug)]
pub struct Suite {
    /// The file.
    pub name: String,
    /// The clock that relative times count from.
    pub now: Instant,
    cases: Vec<Ready>,
}

#[derive(Debug)]
struct Ready {
    name: String,
    query: Query,
    at: Instant,
    decision: Decision,
    cause: Option<Cause>,
    policies: Option<BTreeSet<PolicyId>>,
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What differed; `None` if it passed.
    pub failure: Option<String>,
}

/// How the cases of one file went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteReport {
    /// The file.
    pub name: String,
    /// Its cases, in order.
    pub cases: Vec<CaseReport>,
    /// Policies that determined the answer of some case.
    pub covered: BTreeSet<PolicyId>,
}

/// Reads a file of cases; bare action ids belong to `default_namespace`.
pub fn read_cases(path: &Path, default_namespace: &str) -> Result<Suite, AdminError> {
    let text = source(path)?;
    let file: CaseFile =
        serde_saphyr::from_str(&text.text).map_err(|e| file_problem(path, format!("is not a file of tests: {e}")))?;
    let now: Instant =
        file.now.parse().map_err(|e: magistrate_model::InvalidInstant| file_problem(path, format!("`now`: {e}")))?;
    let cases = file.tests.into_iter().map(|case| {
        let name = case.name.clone();
        ready(case, now, default_namespace).map_err(|why| file_problem(path, format!("in `{name}`: {why}")))
    });
    Ok(Suite { name: text.name, now, cases: cases.collect::<Result<_, _>>()? })
}

impl Suite {
    /// Runs the cases through `answer`, the evaluator the product answers with.
    pub fn run(self, answer: impl Fn(Query, Instant) -> Result<Verdict, String>) -> SuiteReport {
        let mut covered = BTreeSet::new();
        let cases = self.cases.into_iter().map(|case| {
            let (name, expected) = (case.name, (case.decision, case.cause, case.policies));
            let failure = match answer(case.query, case.at) {
                Ok(verdict) => {
                    covered.extend(verdict.determining.iter().cloned());
                    difference(&expected, &verdict)
                }
                Err(why) => Some(format!("there was no decision: {why}")),
            };
            CaseReport { name, failure }
        });
        SuiteReport { name: self.name, cases: cases.collect(), covered }
    }
}

type Expected = (Decision, Option<Cause>, Option<BTreeSet<PolicyId>>);

fn difference((decision, cause, policies): &Expected, verdict: &Verdict) -> Option<String> {
    let got = format!("got {} ({}; {})", verdict.decision(), verdict.cause, verdict.summary());
    if *decision != verdict.decision() {
        return Some(format!("expected {decision}, {got}"));
    }
    if cause.is_some_and(|cause| cause != verdict.cause) {
        return Some(format!("expected the cause {}, {got}", cause.map_or("", Cause::name)));
    }
    let determining: BTreeSet<_> = verdict.determining.iter().cloned().collect();
    let list = |ids: &BTreeSet<PolicyId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match policies {
        Some(policies) if *policies != determining => {
            Some(format!("expected the determining policies [{}], got [{}]", list(policies), list(&determining)))
        }
        Some(_) | None => None,
    }
}

fn ready(case: Case, now: Instant, default_namespace: &str) -> Result<Ready, String> {
    let words = |e: &dyn std::fmt::Display| e.to_string();
    let context = match &case.context {
        Some(StrictJsonBox(json)) => json::record_from(json, "context").map_err(|e| words(&e))?,
        None => Record::new(),
    };
    let source_ip: Option<IpAddr> =
        case.ip.as_deref().map(str::parse).transpose().map_err(|_| "`ip` is not an address".to_owned())?;
    let at = case.at.as_deref().map_or(Ok(now), |text| Instant::parse(text, now)).map_err(|e| words(&e))?;
    let decision = match case.expect.as_str() {
        "allow" => Decision::Allow,
        "deny" => Decision::Deny,
        other => return Err(format!("`expect` is `{other}`; write allow or deny")),
    };
    let expected_cause =
        case.cause.as_deref().map(|name| Cause::named(name).ok_or_else(|| unknown_cause(name))).transpose()?;
    let policies = case.policies.map(|ids| ids.iter().map(|id| id.parse()).collect::<Result<BTreeSet<PolicyId>, _>>());
    let query = Query {
        principal: party(case.principal)?,
        action: ActionUid::resolve(&case.action, default_namespace).map_err(|e| words(&e))?,
        resource: party(case.resource)?,
        context,
        environment: Environment { source_ip, ..Environment::default() },
        at_least_revision: None,
        request_id: None,
        explain: false,
        caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
    };
    let policies = policies.transpose().map_err(|e| words(&e))?;
    Ok(Ready { name: case.name, query, at, decision, cause: expected_cause, policies })
}

fn party(party: Party) -> Result<EntityInput, String> {
    match party {
        Party::Uid(text) => EntityUid::parse_shorthand(&text).map(EntityInput::Reference).map_err(|e| e.to_string()),
        Party::Entity(StrictJsonBox(json)) => {
            json::entity_from(&json).map(EntityInput::Asserted).map_err(|e| e.to_string())
        }
    }
}

fn unknown_cause(name: &str) -> String {
    let known: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    format!("`{name}` is not a cause; write one of {}", known.join(", "))
}
