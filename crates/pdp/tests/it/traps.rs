//! What in Cedar surprises people, and what is done about it here; by the list of our research on Cedar.
//!
//! Others of the list are held elsewhere: deep contexts and large ones by `grpc/src/tests/value.rs`, repeated keys on the
//! wire there, too; sets that shrink sharply by `pap/tests`; cycles and long hierarchies by `hostile_shapes.rs`.

use magistrate_engine::{Findings, Rule, Snapshot, Source};
use magistrate_model::{
    Cause, Cause::ForbidErrored, Cause::Forbidden, Cause::NoPermit, Cause::Permitted, Cause::UnknownPrincipal, Change,
    EntityData, EntityUid, Span, Value, json,
};
use magistrate_pdp::{CheckError, View};
use magistrate_testkit::World;
use std::sync::Arc;

use crate::small_world::check;

const SCHEMA: &str = r#"
@source("stored") entity Group;
@source("stored") entity User in [Group] { level: Long, suspended?: Bool, manager?: User };
@source("stored") entity Doc;
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: { n?: Long, from?: ipaddr } };
action edit appliesTo { principal: User, resource: Doc, context: {} };
"#;
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

fn world(policies: &str) -> World {
    World::of(SCHEMA, policies).with(
        "entities",
        "{\"uid\":\"Group::\\\"g\\\"\"}\n{\"uid\":\"Doc::\\\"d\\\"\"}\n\
         {\"uid\":\"User::\\\"ann\\\"\",\"attributes\":{\"level\":9223372036854775807},\"parents\":[\"Group::\\\"g\\\"\"]}",
    )
}

fn ask(policies: &str, principal: &str, action: &str, expected: Cause) {
    check(world(policies).ask(principal, action, "Doc::d"), expected);
}

fn compile(policies: &str) -> Result<Snapshot, Findings> {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    Snapshot::compile(&source("schema", SCHEMA), &[source("policies", policies)])
}

#[track_caller]
fn refused(policies: &str, rule: Rule) {
    let findings = compile(policies).unwrap_err();
    assert!(findings.as_slice().iter().any(|finding| finding.rule == rule), "{findings}");
}

/// 1: Cedar skips what fails. A forbid that fails counts as matching here.
#[test]
fn forbid_that_fails_is_not_skipped() {
    let overflow =
        format!("{ALL} @id(\"no\") forbid (principal, action, resource) when {{ principal.level + 1 > 0 }};");
    ask(&overflow, "User::ann", "read", ForbidErrored);
    let unguarded =
        format!("{ALL} @id(\"no\") forbid (principal, action == Action::\"read\", resource) when {{ context.n > 5 }};");
    refused(&unguarded, Rule::Type);
}

/// 2: validation promises something of entities that fit the schema only. What does not fit answers nothing.
#[test]
fn stored_entity_that_does_not_fit_the_schema_answers_nothing() {
    let world = world(ALL);
    let uid: EntityUid = "User::\"odd\"".parse().unwrap();
    let attributes = json::record_from(&serde_json::json!({ "level": "high" }), "").unwrap();
    let mut dataset = world.dataset().clone();
    dataset.apply([Change::PutEntity(EntityData { uid, attributes, parents: [].into() })]);
    let view = View::offline(Arc::clone(world.snapshot()), dataset);
    let query = world.ask("User::odd", "read", "Doc::d").query;
    for answer in
        [view.answer(query.clone(), world.now(), Span::ZERO), view.answer_by_authorizer(query, world.now(), Span::ZERO)]
    {
        let Err(CheckError::NotReady(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains("level") || why.contains("does not conform to the schema"), "{why}");
    }
}

/// 3 and 4: what does not exist has no attributes and is in no group, without an error; it is denied before policy.
#[test]
fn principal_that_does_not_exist_profits_from_no_policy() {
    let unless =
        "@id(\"all\") permit (principal, action, resource) unless { principal has suspended && principal.suspended };";
    ask(unless, "User::ann", "read", Permitted);
    ask(unless, "User::nobody", "read", UnknownPrincipal);
    let group = format!("{ALL} @id(\"no\") forbid (principal in Group::\"g\", action, resource);");
    ask(&group, "User::ann", "read", Forbidden);
    ask(&group, "User::nobody", "read", UnknownPrincipal);
}

/// 5: a type that there is not would never match. It is refused.
#[test]
fn type_that_is_not_declared_is_refused() {
    refused("@id(\"a\") permit (principal is App::User, action, resource);", Rule::Type);
    refused("@id(\"a\") permit (principal == Usr::\"ann\", action, resource);", Rule::Type);
    refused("@id(\"a\") permit (principal, action == Action::\"raed\", resource);", Rule::Type);
    refused("@id(\"a\") permit (principal is Doc, action, resource);", Rule::Warning);
}

/// 6: without the schema's actions, policies on groups of actions would vanish, forbids too.
#[test]
fn groups_of_actions_count_for_permits_and_forbids() {
    ask("@id(\"r\") permit (principal, action in Action::\"docs:read\", resource);", "User::ann", "read", Permitted);
    let forbidden = format!("{ALL} @id(\"no\") forbid (principal, action in Action::\"docs:read\", resource);");
    ask(&forbidden, "User::ann", "read", Forbidden);
    ask(&forbidden, "User::ann", "edit", Permitted);
}

/// 7 and 8: Cedar numbers policies by their place and lets `@id` repeat. Here `@id` is the id, and each is used once.
#[test]
fn ids_are_those_of_the_policies_and_never_repeat() {
    let forbid = "@id(\"no\") forbid (principal, action, resource) when { principal.level > 3 };";
    for text in [format!("{ALL}\n{forbid}"), format!("{forbid}\n{ALL}")] {
        let verdict = world(&text).ask("User::ann", "read", "Doc::d").verdict();
        assert_eq!(verdict.determining.iter().map(ToString::to_string).collect::<Vec<_>>(), ["no"]);
    }
    refused(&format!("{ALL}\n{ALL}"), Rule::Id);
    refused("permit (principal, action, resource);", Rule::Id);
}

/// 9: what is said twice is refused, however it differs.
#[test]
fn entities_and_keys_that_repeat_are_refused() {
    let told = |lines: &str| world(ALL).try_with("entities", lines).unwrap_err()[0].to_string();
    let twice = "{\"uid\":\"Doc::\\\"e\\\"\"}\n{\"uid\":\"Doc::\\\"e\\\"\"}";
    assert!(told(twice).contains("Doc::\"e\""), "{}", told(twice));
    let key = "{\"uid\":\"User::\\\"e\\\"\",\"attributes\":{\"level\":1,\"level\":2}}";
    assert!(told(key).contains("level"), "{}", told(key));
}

/// 10, 11 and 13: text that would overflow the parser's, validator's or serialiser's stack does not reach them.
#[test]
fn text_too_deep_for_cedar_does_not_reach_it() {
    let when = |condition: &str| format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};");
    for condition in [
        format!("{}true{}", "(".repeat(500), ")".repeat(500)),
        format!("{}1{}.isEmpty()", "[".repeat(500), "]".repeat(500)),
        format!("{}1{} == {{}}", "{a: ".repeat(500), "}".repeat(500)),
        format!("{}true", "true && ".repeat(5_000)),
        format!("{}1 > 0", "1 + ".repeat(5_000)),
        format!("principal{} == principal", ".manager".repeat(5_000)),
        format!("{}true{}", "if true then ".repeat(5_000), " else false".repeat(5_000)),
    ] {
        refused(&when(&condition), Rule::Size);
    }
}

/// 12 and 14: the deepest conditions that are accepted are evaluated, by both evaluators, on a stack a worker has.
#[test]
fn deepest_conditions_need_little_stack() {
    let chain = |n: usize| format!("{}principal.level > 0", "principal.level > 1 && ".repeat(n));
    let brackets = |n: usize| format!("{}principal.level > 0{}", "(".repeat(n), ")".repeat(n));
    let choices = |n: usize| format!("{}true{}", "if principal.level > 0 then ".repeat(n), " else false".repeat(n));
    let negations = |n: usize| format!("{}principal.level > 0{}", "!(!(".repeat(n), "))".repeat(n));
    let forms: [(&str, &dyn Fn(usize) -> String); 4] =
        [("chain", &chain), ("brackets", &brackets), ("choices", &choices), ("negations", &negations)];
    // As many as are accepted, from none on.
    let counts: Vec<usize> = (0..400).collect();
    for (name, form) in forms {
        let text = |n| format!("{ALL} @id(\"no\") forbid (principal, action, resource) when {{ {} }};", form(n));
        let deepest = text(counts.partition_point(|n| compile(&text(*n)).is_ok()) - 1);
        let asked = world(&deepest).ask("User::ann", "read", "Doc::d");
        let worker = std::thread::Builder::new().stack_size(1024 * 1024);
        let verdict = worker.spawn(move || asked.verdict()).unwrap().join();
        assert_eq!(verdict.unwrap_or_else(|_| panic!("{name} overflowed")).cause, Forbidden, "{name}");
    }
}

/// 17: an address that is none is refused, in a request and in a policy.
#[test]
fn extension_values_that_do_not_parse_are_refused() {
    let local = "@id(\"l\") permit (principal, action == Action::\"read\", resource) when { context has from && context.from.isLoopback() };";
    let from = |address: &str| {
        let mut asked = world(local).ask("User::ann", "read", "Doc::d");
        let value = Value::String(address.into());
        asked.query.context = [(magistrate_model::AttributeName::new("from").unwrap(), value)].into();
        asked
    };
    check(from("127.0.0.1"), Permitted);
    check(from("10.0.0.1"), NoPermit);
    let malformed = from("localhost").answer().unwrap_err();
    assert!(matches!(&malformed, CheckError::Malformed(_)), "{malformed:?}");
    refused(&local.replace("context.from.isLoopback()", "context.from.isInRange(ip(\"localhost\"))"), Rule::Type);
}

/// 18: names that look like others are refused, not warned of.
#[test]
fn names_that_look_like_others_are_refused() {
    let cyrillic = "@id(\"a\") permit (principal == User::\"\u{430}nn\u{430} a\", action, resource);";
    refused(cyrillic, Rule::Warning);
    refused("@id(\"a\") permit (principal == User::\"ann\u{202e}\", action, resource);", Rule::Warning);
}
