//! Data that is meant to be expensive: bounded work, or a clear error.

use std::sync::Arc;

use magistrate_model::Cause::{Forbidden, NoPermit, Permitted, UnknownEntity};
use magistrate_model::{AttributeName, EntityData, EntityInput, Query, Record, Span, Value, json};
use magistrate_pdp::{CheckError, View};
use magistrate_testkit::World;

use crate::small_world::{check, schema, world};

fn group(n: usize, parents: &[usize]) -> String {
    let parents: Vec<_> = parents.iter().map(|n| format!(r#""Group::\"g{n}\"""#)).collect();
    format!(r#"{{"uid":"Group::\"g{n}\"","parents":[{}]}}"#, parents.join(","))
}

fn user(id: &str, parents: &str) -> String {
    format!(r#"{{"uid":"User::\"{id}\"","attributes":{{"suspended":false,"level":1}},"parents":[{parents}]}}"#)
}

/// Administration refuses such data; a store that was changed otherwise may still hold it.
#[test]
fn entity_above_itself_is_told_by_name() {
    let lines = [group(0, &[1]), group(1, &[2]), group(2, &[1]), user("zoe", r#""Group::\"g0\"""#)];
    let entities = lines.map(|line| json::entity_from(&serde_json::from_str(&line).unwrap()).unwrap());
    let (world, mut dataset) = (world(), world().dataset().clone());
    dataset.entities.extend(entities);
    let view = View::offline(Arc::clone(world.snapshot()), dataset);
    let query = Query { principal: EntityInput::Reference(r#"User::"zoe""#.parse().unwrap()), ..ann(&world) };
    let second = view.answer_by_authorizer(query.clone(), world.now(), Span::ZERO);
    assert!(matches!(second, Err(CheckError::NotReady(_))), "{second:?}");
    let why = view.answer(query, world.now(), Span::ZERO).unwrap_err().to_string();
    assert!(why.contains("is a member of itself") && why.contains("Group::\"g"), "{why}");
    assert!(view.answer(ann(&world), world.now(), Span::ZERO).is_ok(), "others are answered");
}

fn ann(world: &World) -> Query {
    world.ask("User::ann", "read", "Doc::d1").query
}

/// Long chains, and groups that reach a group above them by thousands of ways.
#[test]
fn deep_and_dense_hierarchies_are_walked_once() {
    let deep: Vec<_> = (0..2_000).map(|n| group(n, &[n + 1])).chain([group(2_000, &[])]).collect();
    let deep = deep.into_iter().chain([user("zoe", r#""Group::\"g0\"""#)]).collect::<Vec<_>>().join("\n");
    let policies = r#"@id("top") permit (principal in Group::"g2000", action, resource);"#;
    let base = |lines: &str| World::of(&schema(), policies).with("entities", &format!("{lines}\n{DOC}"));
    // Cedar's authorizer would close a chain like this by recursion, until the stack is gone: it is not given it.
    let world = base(&deep);
    let view = View::offline(Arc::clone(world.snapshot()), world.dataset().clone());
    let query = world.ask("User::zoe", "read", "Doc::d").query;
    let (_, verdict) = view.answer(query.clone(), world.now(), Span::ZERO).unwrap();
    assert_eq!(verdict.cause, Permitted);
    let refused = view.answer_by_authorizer(query, world.now(), Span::ZERO).unwrap_err();
    assert!(refused.to_string().contains("more than 1000 entities"), "{refused}");
    // Twenty layers of ten groups, each a member of all of the next: ten to the twentieth ways up.
    let layer = |n: usize| ((n / 10 + 1) * 10..(n / 10 + 2) * 10).collect::<Vec<_>>();
    let dense = (0..190).map(|n| group(n, &layer(n))).chain((190..200).map(|n| group(n, &[2_000])));
    let dense = dense.chain([group(2_000, &[]), user("zoe", r#""Group::\"g0\"""#)]).collect::<Vec<_>>().join("\n");
    check(base(&dense).ask("User::zoe", "read", "Doc::d"), Permitted);
    check(base(&dense).ask("User::owner", "read", "Doc::d"), NoPermit);
}

const DOC: &str = r#"{"uid":"Doc::\"d\"","attributes":{"owner":{"__entity":{"type":"User","id":"owner"}},"secret":false}}
{"uid":"User::\"owner\"","attributes":{"suspended":false,"level":1}}"#;

/// Many members cost a member nothing, many policies on one group their evaluation, and many elsewhere nothing.
#[test]
fn crowds_are_passed_by() {
    let members = (0..20_000).map(|n| user(&format!("m{n}"), r#""Group::\"g0\"""#));
    let lines = members.chain([group(0, &[]), DOC.to_owned()]).collect::<Vec<_>>().join("\n");
    let here = (0..200).map(|n| format!(r#"@id("here-{n}") permit (principal in Group::"g0", action, resource);"#));
    let elsewhere =
        (0..200).map(|n| format!(r#"@id("else-{n}") permit (principal in Group::"x{n}", action, resource);"#));
    let policies = here.chain(elsewhere).collect::<Vec<_>>().join("\n");
    let crowd = World::of(&schema(), &policies).with("entities", &lines);
    let verdict = crowd.ask("User::m19999", "read", "Doc::d").verdict();
    assert_eq!((verdict.cause, verdict.determining.len()), (Permitted, 200));
    check(crowd.ask("User::owner", "read", "Doc::d"), NoPermit);
}

/// What a caller asserts of the resource counts for a principal below it, too, whatever an old row says of it.
#[test]
fn assertion_counts_for_what_is_below() {
    let schema = r#"
        @source("stored") entity Group;
        @source("asserted") entity Order in [Order, Group];
        action poke appliesTo { principal: Order, resource: Order, context: {} };
    "#;
    let policies = r#"@id("group") permit (principal in Group::"g", action, resource);"#;
    let world = World::of(schema, policies).with("entities", r#"{"uid":"Group::\"g\""}"#);
    let mut dataset = world.dataset().clone();
    dataset.entities.push(EntityData::bare(r#"Order::"above""#.parse().unwrap()));
    let view = View::offline(Arc::clone(world.snapshot()), dataset);
    let ask = world.ask("Order::below", "poke", "Order::above").query;
    let (principal, resource) = (asserted("below", r#"Order::"above""#), asserted("above", r#"Group::"g""#));
    let query = Query { principal, resource, ..ask };
    let (_, rules) = view.answer(query.clone(), world.now(), Span::ZERO).unwrap();
    let (_, authorizer) = view.answer_by_authorizer(query, world.now(), Span::ZERO).unwrap();
    assert_eq!(rules.cause, Permitted);
    assert_eq!(rules, authorizer);
}

const LINES: &str = r#"
    @source("stored") entity Group;
    @source("asserted") entity Order in [Order, Group];
    @source("stored") entity Line in [Order] { order?: Order };
    action poke appliesTo { principal: Order, resource: Order, context: { line?: Line } };
"#;

fn asserted(id: &str, parent: &str) -> EntityInput {
    let uid = format!("Order::\"{id}\"").parse().unwrap();
    EntityInput::Asserted(EntityData { uid, attributes: Record::new(), parents: [parent.parse().unwrap()].into() })
}

/// What is asserted of both parties counts together: a line is in the principal, which is in the resource, which is in
/// a group. Whether old rows of them are there changes nothing.
#[test]
fn assertions_of_both_parties_count_together() {
    let policies = r#"
        @id("all") permit (principal, action, resource);
        @id("no") forbid (principal, action, resource) when { context has line && context.line in Group::"g" };
    "#;
    let world = World::of(LINES, policies).with("entities", r#"{"uid":"Group::\"g\""}"#);
    let old_rows = ["Order::\"p\"", "Order::\"r\""];
    for rows in [&old_rows[..], &old_rows[..1], &old_rows[1..], &[]] {
        let mut dataset = world.dataset().clone();
        dataset.entities.extend(rows.iter().map(|uid| EntityData::bare(uid.parse().unwrap())));
        let parents = [r#"Order::"p""#.parse().unwrap()].into();
        dataset.entities.push(EntityData { parents, ..EntityData::bare(r#"Line::"k""#.parse().unwrap()) });
        let view = View::offline(Arc::clone(world.snapshot()), dataset);
        let line = Value::Entity(r#"Line::"k""#.parse().unwrap());
        let query = Query {
            principal: asserted("p", r#"Order::"r""#),
            resource: asserted("r", r#"Group::"g""#),
            context: [(AttributeName::new("line").unwrap(), line)].into(),
            ..world.ask("Order::p", "poke", "Order::r").query
        };
        let (_, rules) = view.answer(query.clone(), world.now(), Span::ZERO).unwrap();
        assert_eq!(rules.cause, Forbidden, "{rows:?}");
        let (_, authorizer) = view.answer_by_authorizer(query, world.now(), Span::ZERO).unwrap();
        assert_eq!(rules, authorizer, "{rows:?}");
    }
}

/// A colour exists by its declaration, as a parent too.
#[test]
fn entity_may_be_a_member_of_one_that_is_declared() {
    let schema = r#"
        @source("stored") entity Color enum ["red", "green"];
        @source("stored") entity User in [Color];
        action paint appliesTo { principal: User, resource: Color, context: {} };
    "#;
    let policies = r#"@id("red") permit (principal in Color::"red", action, resource);"#;
    let entities = "{\"uid\":\"User::\\\"ann\\\"\",\"parents\":[\"Color::\\\"red\\\"\"]}\n\
                    {\"uid\":\"User::\\\"bob\\\"\",\"parents\":[\"Color::\\\"green\\\"\"]}";
    let world = World::of(schema, policies).with("entities", entities);
    check(world.ask("User::ann", "paint", "Color::red"), Permitted);
    check(world.ask("User::bob", "paint", "Color::red"), NoPermit);
}

/// A role that one in force includes, and that is not there, denies as any other entity would.
#[test]
fn role_that_is_gone_confers_nothing() {
    let world = world().with(
        "grants",
        r#"{"holder":"User::\"ann\"","role":"writer","resource":"Folder::\"top\"","expires_at":"+1h","reason":"x"}"#,
    );
    let answer = |dataset| {
        let view = View::offline(Arc::clone(world.snapshot()), dataset);
        view.answer(ann(&world), world.now(), Span::ZERO).unwrap().1.cause
    };
    assert_eq!(answer(world.dataset().clone()), Permitted);
    let mut dataset = world.dataset().clone();
    dataset.entities.retain(|entity| entity.uid.to_string() != r#"Role::"reader""#);
    assert_eq!(answer(dataset), UnknownEntity);
}

/// Sets of references that lead to more sets: not gone after without end.
#[test]
fn reach_has_an_end() {
    let schema = r#"
        @source("stored") entity User { friends: Set<User>, boss?: User, level: Long };
        action greet appliesTo { principal: User, resource: User, context: {} };
    "#;
    let policies = r#"@id("boss") permit (principal, action, resource)
        when { principal has boss && principal.boss has boss && principal.boss.boss.level > 1 };"#;
    let crowd = |width: usize| {
        let user = |id: &str, friends: std::ops::Range<usize>| {
            let friend = |n| serde_json::json!({ "__entity": { "type": "User", "id": format!("u{n}") } });
            let friends: Vec<_> = friends.map(friend).collect();
            serde_json::json!({ "uid": format!("User::\"{id}\""), "attributes": { "friends": friends, "level": 1 } })
        };
        let near = (0..width).map(|n| user(&format!("u{n}"), (n + 1) * width..(n + 2) * width));
        let far = (width..(width + 1) * width).map(|n| user(&format!("u{n}"), 0..0));
        let lines: Vec<_> = near.chain(far).chain([user("root", 0..width)]).map(|line| line.to_string()).collect();
        let world = World::of(schema, policies).with("entities", &lines.join("\n"));
        let view = View::offline(Arc::clone(world.snapshot()), world.dataset().clone());
        view.answer(world.ask("User::root", "greet", "User::u0").query, world.now(), Span::ZERO)
    };
    assert_eq!(crowd(90).unwrap().1.cause, NoPermit);
    let why = crowd(110).unwrap_err().to_string();
    assert!(why.contains("more than 10000 entities are within reach"), "{why}");
}
