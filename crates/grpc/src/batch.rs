//! A `CheckBatchRequest` to a batch of queries.

use magistrate_model::{ActionUid, EntityInput, Environment, Malformed, Query, Record, RequestId, Revision, Violation};
use magistrate_pdp::{Batch, BatchSemantics};
use magistrate_proto::v1::{self, BatchItem, CheckBatchRequest};

use crate::entity::entity;
use crate::finding::{Findings, Parsed, Path};
use crate::query::{self, Asking};
use crate::status::Refusal;

/// Items a batch may have.
const MAX_ITEMS: usize = 1_000;
/// Items it may have where each is explained: explaining looks at every permit of an action.
const MAX_EXPLAINED: usize = 50;

const REQUIRED: &str = "is required, here or as the batch's default";

/// What items share: parsed once, and malformed for all if malformed at all.
struct Defaults {
    principal: Option<EntityInput>,
    action: Option<ActionUid>,
    resource: Option<EntityInput>,
    context: Record,
    environment: Environment,
    request_id: Option<RequestId>,
    at_least_revision: Option<Revision>,
    explain: bool,
}

/// The queries of a batch; items that are no question keep their place and their findings.
pub(crate) fn batch(wire: &CheckBatchRequest, asking: &Asking<'_>) -> Result<Batch, Refusal> {
    query::no_identity(&wire.token, wire.token_proof.is_some(), wire.actor.is_some())?;
    let mut findings = Findings::default();
    let frame = frame(wire, asking, &mut findings);
    let (semantics, defaults) = findings.settle(frame)?;
    Ok(Batch {
        items: wire.items.iter().map(|wire| item(wire, &defaults, asking)).collect(),
        at_least_revision: defaults.at_least_revision,
        semantics,
    })
}

fn frame(wire: &CheckBatchRequest, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<(BatchSemantics, Defaults)> {
    let counted = count(wire.items.len(), wire.explain, findings);
    let semantics = semantics(wire.semantics, findings);
    let defaults = defaults(wire, asking, findings);
    counted.and(Ok((semantics?, defaults?)))
}

fn count(items: usize, explain: bool, findings: &mut Findings) -> Parsed<()> {
    match items {
        _ if explain && items > MAX_EXPLAINED => findings.report(
            Path::root("explain"),
            format_args!("is for at most {MAX_EXPLAINED} items, and there are {items}; explain those you ask about"),
        ),
        1..=MAX_ITEMS => Ok(()),
        _ => findings.report(
            Path::root("items"),
            format_args!("holds {items} items; send 1 to {MAX_ITEMS} and split what is larger"),
        ),
    }
}

fn semantics(number: i32, findings: &mut Findings) -> Parsed<BatchSemantics> {
    match v1::BatchSemantics::try_from(number) {
        Ok(v1::BatchSemantics::Unspecified | v1::BatchSemantics::All) => Ok(BatchSemantics::All),
        Ok(v1::BatchSemantics::StopOnDeny) => Ok(BatchSemantics::StopOnDeny),
        Ok(v1::BatchSemantics::StopOnAllow) => Ok(BatchSemantics::StopOnAllow),
        Err(_) => findings.report(
            Path::root("semantics"),
            format_args!("is {number}, which this server does not know; send a BatchSemantics value of its contract"),
        ),
    }
}

fn defaults(wire: &CheckBatchRequest, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<Defaults> {
    let principal = party(wire.principal.as_ref(), "principal", asking, findings);
    let action = action(&wire.action, asking, findings);
    let resource = party(wire.resource.as_ref(), "resource", asking, findings);
    let context = query::context(wire.context.as_ref(), findings);
    let environment = query::environment(wire.environment.as_ref(), asking, findings);
    let request_id = query::request_id(&wire.request_id, findings);
    Ok(Defaults {
        principal: principal?,
        action: action?,
        resource: resource?,
        context: context?,
        environment: environment?,
        request_id: request_id?,
        at_least_revision: query::at_least(wire.at_least_revision),
        explain: wire.explain,
    })
}

/// One item. Paths begin at the item; the reply puts its place before them.
fn item(wire: &BatchItem, defaults: &Defaults, asking: &Asking<'_>) -> Result<Query, Malformed> {
    let mut findings = Findings::default();
    let query = parse_item(wire, defaults, asking, &mut findings);
    findings.settle(query)
}

fn parse_item(wire: &BatchItem, defaults: &Defaults, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<Query> {
    let principal = party(wire.principal.as_ref(), "principal", asking, findings);
    let principal = required(principal, defaults.principal.as_ref(), "principal", findings);
    let action = action(&wire.action, asking, findings);
    let action = required(action, defaults.action.as_ref(), "action", findings);
    let resource = party(wire.resource.as_ref(), "resource", asking, findings);
    let resource = required(resource, defaults.resource.as_ref(), "resource", findings);
    let context = match &wire.context {
        Some(own) => query::context(Some(own), findings),
        None => Ok(defaults.context.clone()),
    };
    let request_id = query::request_id(&wire.request_id, findings);
    Ok(Query {
        principal: principal?,
        action: action?,
        resource: resource?,
        context: context?,
        environment: defaults.environment.clone(),
        at_least_revision: defaults.at_least_revision,
        request_id: request_id?.or_else(|| defaults.request_id.clone()),
        explain: defaults.explain,
        caller: asking.caller.clone(),
    })
}

/// `None` is not given.
fn party(
    wire: Option<&v1::Entity>,
    name: &str,
    asking: &Asking<'_>,
    findings: &mut Findings,
) -> Parsed<Option<EntityInput>> {
    match wire {
        Some(wire) => entity(wire, Path::root(name), &asking.caller, findings).map(Some),
        None => Ok(None),
    }
}

fn action(text: &str, asking: &Asking<'_>, findings: &mut Findings) -> Parsed<Option<ActionUid>> {
    match text {
        "" => Ok(None),
        text => query::action(text, asking, findings).map(Some),
    }
}

/// An item's own value, or else the default.
fn required<T: Clone>(own: Parsed<Option<T>>, default: Option<&T>, name: &str, findings: &mut Findings) -> Parsed<T> {
    match (own?, default) {
        (Some(own), _) => Ok(own),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => findings.report(Path::root(name), REQUIRED),
    }
}

/// What is wrong with the item at `index`, with paths that begin at the batch.
pub(crate) fn in_item(index: usize, malformed: &Malformed) -> Vec<Violation> {
    let placed = |violation: &Violation| Violation {
        field: format!("items[{index}].{}", violation.field),
        description: violation.description.clone(),
    };
    malformed.violations().iter().map(placed).collect()
}
