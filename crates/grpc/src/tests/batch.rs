//! Batches to queries.

use magistrate_client::entity_ref;
use magistrate_model::{Query, Revision};
use magistrate_pdp::{Batch, BatchSemantics};
use magistrate_proto::structure::Struct;
use magistrate_proto::v1::{self, BatchItem, CheckBatchRequest, Entity, Environment};

use crate::batch::batch;
use crate::entity::MAY_NOT_ASSERT;
use crate::tests::{complaints, far, lines, near, plain};

/// A batch whose items take everything from it.
fn shared(items: usize) -> CheckBatchRequest {
    let plain = plain();
    CheckBatchRequest {
        principal: plain.principal,
        action: plain.action,
        resource: plain.resource,
        context: Some(Struct::from_iter([("a", 1), ("b", 2)])),
        request_id: "shared".to_owned(),
        items: vec![BatchItem::default(); items],
        ..CheckBatchRequest::default()
    }
}

fn parse(change: impl FnOnce(&mut CheckBatchRequest)) -> Result<Batch, crate::status::Refusal> {
    let mut request = shared(1);
    change(&mut request);
    batch(&request, &near())
}

#[track_caller]
fn check(change: impl FnOnce(&mut CheckBatchRequest), expected: &[&str]) {
    assert_eq!(complaints(parse(change)), expected);
}

/// Says how the one item differs, and describes what became of it.
fn item(change: impl FnOnce(&mut BatchItem)) -> Vec<String> {
    let parsed = parse(|batch| batch.items = vec![changed(change)]);
    match parsed.map(|batch| batch.items.into_iter().next()) {
        Ok(Some(Ok(query))) => describe(&query),
        Ok(Some(Err(malformed))) => lines(&malformed),
        other => vec![format!("{other:?}")],
    }
}

fn changed(change: impl FnOnce(&mut BatchItem)) -> BatchItem {
    let mut item = BatchItem::default();
    change(&mut item);
    item
}

fn describe(query: &Query) -> Vec<String> {
    vec![
        query.principal.uid().id().as_str().to_owned(),
        query.action.id().to_owned(),
        query.resource.uid().id().as_str().to_owned(),
        query.context.keys().map(ToString::to_string).collect::<Vec<_>>().join(","),
        query.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
    ]
}

#[test]
fn item_takes_what_it_lacks_from_the_batch() {
    assert_eq!(item(|_| {}), ["ana", "readMessage", "m1", "a,b", "shared"]);
}

#[test]
fn field_of_an_item_replaces_the_default_as_a_whole() {
    assert_eq!(
        item(|item| item.principal = Some(entity_ref("Company::User", "bo"))),
        ["bo", "readMessage", "m1", "a,b", "shared"]
    );
    assert_eq!(
        item(|item| {
            item.action = "write".to_owned();
            item.resource = Some(entity_ref("Company::Message", "m2"));
            item.request_id = "own".to_owned();
        }),
        ["ana", "write", "m2", "a,b", "own"]
    );
    assert_eq!(
        item(|item| item.context = Some(Struct::from_iter([("c", 3)]))),
        ["ana", "readMessage", "m1", "c", "shared"]
    );
    assert_eq!(item(|item| item.context = Some(Struct::default())), ["ana", "readMessage", "m1", "", "shared"]);
}

#[test]
fn malformed_item_keeps_its_place_and_spares_the_others() {
    let parsed = parse(|batch| {
        batch.items = vec![
            BatchItem::default(),
            changed(|item| item.context = Some(Struct::from_iter([("x", 1), ("x", 2)]))),
            BatchItem::default(),
        ];
    });
    let outcomes = parsed.map(|batch| {
        let outcomes = batch.items.iter();
        outcomes.map(|item| item.as_ref().map(|_| ()).map_err(lines)).collect::<Vec<_>>()
    });
    let wrong = vec!["context.x: stands twice; send each key once".to_owned()];
    assert_eq!(outcomes.ok(), Some(vec![Ok(()), Err(wrong), Ok(())]));
}

#[test]
fn what_neither_item_nor_batch_gives_is_missing() {
    let parsed =
        batch(&CheckBatchRequest { items: vec![BatchItem::default()], ..CheckBatchRequest::default() }, &near());
    let found = parsed.map(|batch| batch.items.iter().filter_map(|it| it.as_ref().err()).flat_map(lines).collect());
    let expected: Vec<String> = ["principal", "action", "resource"]
        .map(|field| format!("{field}: is required, here or as the batch's default"))
        .into();
    assert_eq!(found.ok(), Some(expected));
}

#[test]
fn malformed_default_refuses_the_batch() {
    check(|batch| batch.principal = Some(Entity::default()), &["principal.uid: is required: give `type` and `id`"]);
    check(
        |batch| batch.request_id = "\n".to_owned(),
        &["request_id: is not accepted: it contains the control character U+000A at byte 0; remove it"],
    );
}

#[test]
fn one_to_a_thousand_items_pass() {
    check(|batch| *batch = shared(1_000), &[]);
    check(|batch| *batch = shared(0), &["items: holds 0 items; send 1 to 1000 and split what is larger"]);
    check(|batch| *batch = shared(1_001), &["items: holds 1001 items; send 1 to 1000 and split what is larger"]);
}

#[test]
fn few_items_of_a_batch_are_explained() {
    let explained =
        |items| move |batch: &mut CheckBatchRequest| *batch = CheckBatchRequest { explain: true, ..shared(items) };
    check(explained(50), &[]);
    check(explained(51), &["explain: is for at most 50 items, and there are 51; explain those you ask about"]);
}

#[test]
fn semantics_are_known_or_refused() {
    let semantics = |number: i32| parse(|batch| batch.semantics = number).map(|batch| batch.semantics).ok();
    assert_eq!(semantics(0), Some(BatchSemantics::All));
    assert_eq!(semantics(v1::BatchSemantics::All.into()), Some(BatchSemantics::All));
    assert_eq!(semantics(2), Some(BatchSemantics::StopOnDeny));
    assert_eq!(semantics(3), Some(BatchSemantics::StopOnAllow));
    check(
        |batch| batch.semantics = 9,
        &["semantics: is 9, which this server does not know; send a BatchSemantics value of its contract"],
    );
}

#[test]
fn revision_and_environment_hold_for_every_item() {
    let parsed = parse(|batch| {
        batch.at_least_revision = 4;
        batch.explain = true;
        batch.environment = Some(Environment { source_ip: "192.0.2.9".to_owned(), ..Environment::default() });
    });
    let seen = parsed.ok().map(|batch| {
        let items = batch.items.into_iter().filter_map(Result::ok);
        let seen = items.map(|query| (query.at_least_revision, query.explain, query.environment.source_ip.is_some()));
        (batch.at_least_revision, seen.collect::<Vec<_>>())
    });
    let revision = Some(Revision::new(4));
    assert_eq!(seen, Some((revision, vec![(revision, true, true)])));
}

#[test]
fn asserting_needs_the_same_right_as_in_a_check() {
    let mut request = shared(1);
    request.items = vec![changed(|item| {
        item.resource = Some(Entity { attributes: Some(Struct::default()), ..entity_ref("Company::Order", "o") });
    })];
    let found = batch(&request, &far()).map(|batch| {
        let malformed = batch.items.iter().filter_map(|item| item.as_ref().err());
        malformed.flat_map(lines).collect::<Vec<_>>()
    });
    assert_eq!(found.ok(), Some(vec![format!("resource.attributes: {MAY_NOT_ASSERT}")]));
}

#[test]
fn identity_is_refused_in_a_batch_too() {
    check(|batch| batch.token = "t".to_owned(), &["Identity { field: \"token\" }"]);
    check(|batch| batch.token_proof = Some(v1::TokenProof::default()), &["Identity { field: \"token_proof\" }"]);
    check(|batch| batch.actor = Some(Entity::default()), &["Identity { field: \"actor\" }"]);
}
