//! A `CheckRequest` to a query.

use magistrate_model::{
    ActionUid, Caller, Environment, InvalidEnvironment, InvalidUid, Query, Record, RequestId, Revision,
};
use magistrate_proto::structure::Struct;
use magistrate_proto::v1::{self, CheckRequest};

use crate::entity::{MAY_NOT_ASSERT, entity};
use crate::finding::{Findings, Parsed, Path};
use crate::status::Refusal;
use crate::value::bounded_record;

/// Who asks, and how bare actions are read.
pub(crate) struct Asking<'a> {
    pub(crate) caller: Caller,
    pub(crate) default_namespace: &'a str,
}

/// The query of a request, or what is wrong with it.
pub(crate) fn query(wire: &CheckRequest, asking: &Asking<'_>) -> Result<Query, Refusal> {
    no_identity(&wire.token, wire.token_proof.is_some(), wire.actor.is_some())?;
    let mut findings = Findings::default();
    let query = parse(wire, asking, &mut findings);
    Ok(findings.settle(query)?)
}

/// Every part is parsed before any is missed, so that all that is wrong is said at once.
fn parse(wire: &CheckRequest, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<Query> {
    let principal = party(wire.principal.as_ref(), "principal", asking, findings);
    let action = match wire.action.as_str() {
        "" => findings.report(Path::root("action"), "is required"),
        text => action(text, asking, findings),
    };
    let resource = party(wire.resource.as_ref(), "resource", asking, findings);
    let context = context(wire.context.as_ref(), findings);
    let environment = environment(wire.environment.as_ref(), asking, findings);
    let request_id = request_id(&wire.request_id, findings);
    Ok(Query {
        principal: principal?,
        action: action?,
        resource: resource?,
        context: context?,
        environment: environment?,
        at_least_revision: at_least(wire.at_least_revision),
        request_id: request_id?,
        explain: wire.explain,
        caller: asking.caller.clone(),
    })
}

fn party(
    wire: Option<&v1::Entity>,
    name: &str,
    asking: &Asking<'_>,
    findings: &mut Findings,
) -> Parsed<magistrate_model::EntityInput> {
    match wire {
        Some(wire) => entity(wire, Path::root(name), &asking.caller, findings),
        None => findings.report(Path::root(name), "is required"),
    }
}

/// Refuses what waits for tokens, rather than ignoring what a caller believes to matter.
pub(crate) fn no_identity(token: &str, token_proof: bool, actor: bool) -> Result<(), Refusal> {
    let sent = [("token", !token.is_empty()), ("token_proof", token_proof), ("actor", actor)];
    match sent.into_iter().find(|(_, sent)| *sent) {
        Some((field, _)) => Err(Refusal::Identity { field }),
        None => Ok(()),
    }
}

/// A full action, or a bare id in the default namespace.
pub(crate) fn action(text: &str, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<ActionUid> {
    match ActionUid::resolve(text, asking.default_namespace) {
        Ok(action) => Ok(action),
        Err(why @ InvalidUid::Form { .. }) => {
            findings.report(Path::root("action"), format_args!("{why}; or a bare action id such as `message:read`"))
        }
        Err(why) => findings.report(Path::root("action"), why),
    }
}

/// Absent is empty.
pub(crate) fn context(wire: Option<&Struct>, findings: &mut Findings) -> Parsed<Record> {
    match wire {
        Some(wire) => bounded_record(wire, Path::root("context"), findings),
        None => Ok(Record::new()),
    }
}

/// What the caller says of the end user's surroundings, if it may.
pub(crate) fn environment(
    wire: Option<&v1::Environment>,
    asking: &Asking<'_>,
    findings: &mut Findings,
) -> Parsed<Environment> {
    let Some(wire) = wire else {
        return Ok(Environment::default());
    };
    let at = Path::root("environment");
    let attributes = wire.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    match Environment::new(&wire.source_ip, &wire.user_agent, attributes) {
        Ok(environment) if environment.is_empty() || asking.caller.may_assert() => Ok(environment),
        Ok(_) => findings.report(at, MAY_NOT_ASSERT),
        Err(why @ InvalidEnvironment::SourceIp(_)) => findings.report(at.field("source_ip"), why),
        Err(why @ InvalidEnvironment::UserAgent(_)) => findings.report(at.field("user_agent"), why),
        Err(why @ (InvalidEnvironment::Attribute(..) | InvalidEnvironment::TooMany(_))) => {
            findings.report(at.field("attributes"), why)
        }
    }
}

/// Empty is none.
pub(crate) fn request_id(text: &str, findings: &mut Findings) -> Parsed<Option<RequestId>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) => Ok(Some(id)),
        Err(why) => findings.report(Path::root("request_id"), format_args!("is not accepted: {why}")),
    }
}

/// 0 is none.
pub(crate) fn at_least(revision: u64) -> Option<Revision> {
    (revision > 0).then(|| Revision::new(revision))
}
