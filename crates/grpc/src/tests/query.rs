//! Check requests to queries.

use std::collections::BTreeMap;

use magistrate_client::{asserted_entity, entity_ref, entity_uid};
use magistrate_model::{EntityInput, Revision};
use magistrate_proto::structure::Struct;
use magistrate_proto::v1::{CheckRequest, Entity, Environment, TokenProof};

use crate::entity::MAY_NOT_ASSERT;
use crate::query::{Asking, query};
use crate::tests::{complaints, far, near, plain};

#[track_caller]
fn check_from(asking: &Asking<'_>, change: impl FnOnce(&mut CheckRequest), expected: &[&str]) {
    let mut request = plain();
    change(&mut request);
    assert_eq!(complaints(query(&request, asking)), expected);
}

#[track_caller]
fn check(change: impl FnOnce(&mut CheckRequest), expected: &[&str]) {
    check_from(&near(), change, expected);
}

fn asserted() -> Entity {
    asserted_entity(entity_uid("Company::Order", "o1"), Struct::default(), Vec::new())
}

#[test]
fn plain_request_is_a_query() {
    let parsed = query(&plain(), &far()).map(|query| {
        (
            query.principal.uid().to_string(),
            query.action.to_string(),
            query.resource.uid().to_string(),
            (query.context.len(), query.environment.is_empty(), query.explain),
            (query.at_least_revision, query.request_id, query.caller),
        )
    });
    let expected = (
        "Company::User::\"ana\"".to_owned(),
        "Company::Action::\"readMessage\"".to_owned(),
        "Company::Message::\"m1\"".to_owned(),
        (0, true, false),
        (None, None, far().caller),
    );
    assert_eq!(parsed.ok(), Some(expected));
}

#[test]
fn optional_fields_arrive() {
    let mut request = plain();
    request.at_least_revision = 7;
    request.request_id = "r-1".to_owned();
    request.explain = true;
    request.context = Some(Struct::from_iter([("amount", 5)]));
    request.environment = Some(Environment { source_ip: "2001:db8::1".to_owned(), ..Environment::default() });
    let parsed = query(&request, &near()).map(|query| {
        (
            query.at_least_revision,
            query.request_id.map(|id| id.to_string()),
            query.explain,
            query.context.len(),
            query.environment.source_ip.map(|ip| ip.to_string()),
        )
    });
    let expected = (Some(Revision::new(7)), Some("r-1".to_owned()), true, 1, Some("2001:db8::1".to_owned()));
    assert_eq!(parsed.ok(), Some(expected));
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    check(
        |request| *request = CheckRequest::default(),
        &["principal: is required", "action: is required", "resource: is required"],
    );
    check(|request| request.principal = Some(Entity::default()), &["principal.uid: is required: give `type` and `id`"]);
}

#[test]
fn uids_are_checked_part_by_part() {
    check(
        |request| request.principal = Some(entity_ref("", "ana")),
        &["principal.uid.type: `` is not an entity type: it is empty; write identifiers joined by `::`, such as \
           `Company::User`"],
    );
    check(
        |request| request.resource = Some(entity_ref("Company::Message", "")),
        &["resource.uid.id: the id of a `Company::Message` is not accepted: it is empty"],
    );
    check(|request| request.resource = Some(entity_ref("Company::Message", "m".repeat(256))), &[]);
    check(
        |request| request.resource = Some(entity_ref("Company::Message", "m".repeat(257))),
        &["resource.uid.id: the id of a `Company::Message` is not accepted: it is 257 bytes long; the limit is 256"],
    );
    for (hidden, kind) in [('\0', "control"), ('\u{7f}', "control"), ('\u{202E}', "direction")] {
        let why = format!(
            "principal.uid.id: the id of a `Company::User` is not accepted: it contains the {kind} character U+{:04X} \
             at byte 1; remove it",
            u32::from(hidden)
        );
        check(|request| request.principal = Some(entity_ref("Company::User", format!("a{hidden}"))), &[&why]);
    }
}

#[test]
fn full_action_names_its_own_namespace() {
    let action = |text: &str| {
        let mut request = plain();
        request.action = text.to_owned();
        query(&request, &near()).map(|query| query.action.to_string()).ok()
    };
    let other = "Other::Action::\"message:read\"".to_owned();
    assert_eq!(action(&other), Some(other));
    assert_eq!(action("message:read"), Some("Company::Action::\"message:read\"".to_owned()));
    check(
        |request| request.action = "Company::User::\"ana\"".to_owned(),
        &["action: `Company::User::\"ana\"` is not an action: its type must end in `Action`"],
    );
    check(
        |request| request.action = "Company::Action::read".to_owned(),
        &["action: `Company::Action::read` is not an entity uid: it has no `::\"`; write `Type::\"id\"`, such as \
           `Company::User::\"ana\"`; or a bare action id such as `message:read`"],
    );
}

#[test]
fn attributes_even_empty_assert() {
    let input = |entity: Entity| {
        let mut request = plain();
        request.resource = Some(entity);
        let parsed = query(&request, &near()).map(|query| query.resource.asserted().is_some());
        parsed.ok()
    };
    assert_eq!(input(entity_ref("Company::Order", "o1")), Some(false));
    assert_eq!(input(asserted()), Some(true));
}

#[test]
fn parents_of_a_reference_are_refused() {
    check(
        |request| {
            let entity = entity_ref("Company::Order", "o1");
            request.resource = Some(Entity { parents: vec![entity_uid("Company::Shop", "s1")], ..entity });
        },
        &[
            "resource.parents: are given without attributes: leave them out, for those of a reference are looked up, or \
           assert the entity by sending `attributes`, even empty",
        ],
    );
}

#[test]
fn asserted_parents_are_checked_one_by_one_and_counted() {
    let with_parents = |count: usize, id: &str| {
        let parents = (0..count).map(|_| entity_uid("Company::Shop", id)).collect();
        Some(Entity { parents, ..asserted() })
    };
    check(|request| request.resource = with_parents(100, "s"), &[]);
    check(|request| request.resource = with_parents(101, "s"), &["resource.parents: are 101; the limit is 100"]);
    check(
        |request| request.resource = with_parents(1, ""),
        &["resource.parents[0].id: the id of a `Company::Shop` is not accepted: it is empty"],
    );
    let mut request = plain();
    request.resource = with_parents(2, "s");
    let parents = query(&request, &near()).ok().and_then(|query| match query.resource {
        EntityInput::Asserted(data) => Some(data.parents.len()),
        EntityInput::Reference(_) => None,
    });
    assert_eq!(parents, Some(1));
}

#[test]
fn only_this_machine_may_assert() {
    let assert_both = |request: &mut CheckRequest| {
        request.principal = Some(asserted());
        request.resource = Some(asserted());
    };
    let refused = |field: &str| format!("{field}: {MAY_NOT_ASSERT}");
    check_from(&near(), assert_both, &[]);
    check_from(&far(), assert_both, &[&refused("principal.attributes"), &refused("resource.attributes")]);
}

#[test]
fn only_this_machine_may_describe_the_end_user() {
    let describe = |request: &mut CheckRequest| {
        request.environment = Some(Environment { user_agent: "curl".to_owned(), ..Environment::default() });
    };
    check_from(&near(), describe, &[]);
    check_from(&far(), describe, &[&format!("environment: {MAY_NOT_ASSERT}")]);
    check_from(&far(), |request| request.environment = Some(Environment::default()), &[]);
}

#[test]
fn environment_is_checked_field_by_field() {
    let environment = |change: fn(&mut Environment)| {
        move |request: &mut CheckRequest| {
            let mut environment = Environment::default();
            change(&mut environment);
            request.environment = Some(environment);
        }
    };
    check(
        environment(|it| it.source_ip = "10.0.0".to_owned()),
        &["environment.source_ip: `10.0.0` is not an IP address"],
    );
    check(
        environment(|it| it.user_agent = "a\n".to_owned()),
        &["environment.user_agent: the user agent is not accepted: it contains the control character U+000A at byte \
           1; remove it"],
    );
    check(
        environment(|it| it.attributes = BTreeMap::from([("k".to_owned(), String::new())])),
        &["environment.attributes: the attribute `k` is not accepted: it is empty"],
    );
    check(
        environment(|it| it.attributes = (0..33).map(|n| (n.to_string(), "v".to_owned())).collect()),
        &["environment.attributes: 33 attributes; the limit is 32"],
    );
}

#[test]
fn context_and_attributes_name_their_place() {
    check(
        |request| {
            request.context = Some(Struct::from_iter([("amount", "1"), ("amount", "2")]));
            request.resource = Some(asserted_entity(
                entity_uid("Company::Order", "o1"),
                Struct::from_iter([("total", magistrate_proto::structure::Kind::Number(0.5))]),
                Vec::new(),
            ));
        },
        &[
            "resource.attributes.total: is 0.5, which is not whole; send a decimal as the string \"0.5\"",
            "context.amount: stands twice; send each key once",
        ],
    );
}

#[test]
fn request_ids_are_bounded() {
    check(|request| request.request_id = "r".repeat(128), &[]);
    check(
        |request| request.request_id = "r".repeat(129),
        &["request_id: is not accepted: it is 129 bytes long; the limit is 128"],
    );
}

#[test]
fn identity_is_refused_and_never_ignored() {
    check(|request| request.token = "t".to_owned(), &["Identity { field: \"token\" }"]);
    check(|request| request.token_proof = Some(TokenProof::default()), &["Identity { field: \"token_proof\" }"]);
    check(|request| request.actor = Some(entity_ref("Company::Service", "s")), &["Identity { field: \"actor\" }"]);
}
