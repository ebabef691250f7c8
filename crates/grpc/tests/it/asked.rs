//! What is asked where the steps of a Check are measured: as bytes, of a state with a number of policies.

use std::fmt::Write as _;
use std::sync::Arc;

use magistrate_client::{check_request, entity_ref};
use magistrate_engine::{Snapshot, Source};
use magistrate_model::Instant;
use magistrate_pdp::View;
use magistrate_proto::structure::{Struct, Value};
use magistrate_proto::v1::CheckRequest;
use magistrate_testkit::World;
use prost::Message as _;

const SCHEMA: &str = r#"
@source("role") entity Role;
@source("stored") entity Group in [Group];
@source("stored") entity User in [Group, Role] { level: Long, unit: String, suspended: Bool,
  hired: datetime, site: String };
@source("stored") entity Folder in [Folder];
@source("stored") entity Doc in [Folder] { owner: User, secret: Bool, published: Bool };
action read, write appliesTo { principal: User, resource: Doc, context: {
  source: ipaddr, at: datetime, device: String, mfa: Bool, risk: Long, purpose: String } };
"#;

/// Those that matter for every question.
const POLICIES: &str = r#"
@id("reader") permit (principal in Role::"reader", action == Action::"read", resource)
  when { context.mfa || context.source.isInRange(ip("10.0.0.0/8")) };
@id("owner") permit (principal is User, action, resource is Doc) when { resource.owner == principal };
@id("suspended") forbid (principal is User, action, resource) when { principal.suspended };
@id("secret") forbid (principal is User, action, resource is Doc) when { resource.secret && principal.level < 4 };
@id("risk") forbid (principal is User, action, resource) when { context.risk > 70 };
@id("hours") forbid (principal is User, action == Action::"write", resource)
  when { context.at.toTime() < duration("6h") || context.at.toTime() > duration("22h") };
"#;

/// The entities and grants that are asked about.
const ENTITIES: &str = r#"
{"uid":"Group::\"staff\"","attributes":{}}
{"uid":"Folder::\"all\"","attributes":{}}
{"uid":"Folder::\"plans\"","attributes":{},"parents":["Folder::\"all\""]}
{"uid":"Doc::\"d1\"","attributes":{"owner":{"__entity":{"type":"User","id":"bob"}},"secret":false,"published":true},
 "parents":["Folder::\"plans\""]}
{"uid":"User::\"ann\"","attributes":{"level":3,"unit":"commerce","suspended":false,"site":"berlin",
 "hired":{"__extn":{"fn":"datetime","arg":"2020-01-01"}}},"parents":["Group::\"staff\""]}
{"uid":"User::\"bob\"","attributes":{"level":5,"unit":"research","suspended":false,"site":"berlin",
 "hired":{"__extn":{"fn":"datetime","arg":"2021-01-01"}}},"parents":["Group::\"staff\""]}
"#;
const GRANTS: &str = r#"{"id":"g1","holder":"User::\"ann\"","role":"reader","resource":"Folder::\"all\"",
 "reason":"a test","expires_at":"+30d"}"#;

/// A state of so many policies, most of them on folders that are not asked about, and its time.
pub(crate) fn state(policies: usize) -> (View, Instant) {
    let mut text = POLICIES.to_owned();
    for n in POLICIES.matches("@id").count()..policies {
        let scope = format!(r#"principal in Group::"g{n}", action == Action::"read", resource in Folder::"f{n}""#);
        writeln!(text, r#"@id("p{n}") permit ({scope}) when {{ context.mfa }};"#).unwrap();
    }
    let lines = |of: &str| of.replace("\n ", " ");
    let world = World::of(SCHEMA, POLICIES)
        .with("roles", r#"{"role":"reader"}"#)
        .with("entities", lines(ENTITIES).trim_start())
        .with("grants", &lines(GRANTS));
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let snapshot = Snapshot::compile(&source("schema", SCHEMA), &[source("policies", &text)]).unwrap();
    (View::offline(Arc::new(snapshot), world.dataset().clone()), world.now())
}

/// Whether ann may read, with six attributes in the context.
pub(crate) fn bytes() -> Vec<u8> {
    let call = |function: &str, argument: &str| {
        Value::from(Struct::from_iter([("__extn", Struct::from_iter([("fn", function), ("arg", argument)]))]))
    };
    let context = Struct::from_iter([
        ("source", call("ip", "10.1.2.3")),
        ("at", call("datetime", "2026-06-01T12:00:00Z")),
        ("device", "laptop-4711".into()),
        ("purpose", "support".into()),
        ("mfa", true.into()),
        ("risk", 12.into()),
    ]);
    let asked = check_request(entity_ref("User", "ann"), "read", entity_ref("Doc", "d1"));
    let request_id = "01J9Z3NDEKTSV4RRFFQ69G5FAV".to_owned();
    CheckRequest { context: Some(context), request_id, ..asked }.encode_to_vec()
}
