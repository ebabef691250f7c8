use std::sync::Mutex;

use magistrate_engine::{Snapshot, Source};
use magistrate_ledger::{Act, PrivateFields, SecondWay};
use magistrate_model::{
    ActionUid, Caller, Cause, Channel, Dataset, EntityData, EntityInput, Environment, Head, Revision, json,
};
use tokio::task::JoinSet;

use super::*;
use crate::comparison::{Second, comparison};
use crate::differences::Differences;

const SCHEMA: &str = r#"
@source("stored") entity Group;
@source("stored") entity User in [Group] { level: Long };
@source("asserted") entity Order { total: Long };
action read appliesTo { principal: User, resource: User, context: { facts: Magistrate::Facts, at?: datetime } };
action write appliesTo { principal: User, resource: User };
action buy appliesTo { principal: User, resource: Order, context: {} };
"#;

const POLICIES: &str = r#"
@id("local") permit (principal, action == Action::"read", resource) when { context.facts.channel == "local" };
@id("late") forbid (principal, action == Action::"read", resource)
  when { context has at && context.at > datetime("2030-01-01") };
@id("cheap") permit (principal in Group::"staff", action == Action::"buy", resource) when { resource.total < 100 };
@id("loopback") permit (principal == User::"bob", action == Action::"read", resource) when { context.facts has ip };
"#;

/// A state of a revision in which ann is of the staff, or not.
fn view(revision: u64, is_staff: bool) -> Arc<View> {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let snapshot = Snapshot::compile(&source("schema", SCHEMA), &[source("policies", POLICIES)]).unwrap();
    let user = |id: &str, staff: bool| {
        let parents: &[&str] = if staff { &["Group::\"staff\""] } else { &[] };
        let json =
            serde_json::json!({ "uid": format!("User::\"{id}\""), "attributes": { "level": 1 }, "parents": parents });
        json::entity_from(&json).unwrap()
    };
    let entities =
        vec![EntityData::bare("Group::\"staff\"".parse().unwrap()), user("ann", is_staff), user("bob", false)];
    let head = Head { revision: Revision::new(revision), lineage: magistrate_model::Digest::ZERO };
    let dataset = Dataset { head, entities, ..Dataset::empty() };
    Arc::new(View::offline(Arc::new(snapshot), dataset))
}

fn query(principal: &str, action: &str, resource: EntityInput, context: &serde_json::Value) -> Query {
    Query {
        principal: EntityInput::Reference(principal.parse().unwrap()),
        action: ActionUid::resolve(action, "").unwrap(),
        resource,
        context: json::record_from(context, "context").unwrap(),
        environment: Environment::default(),
        at_least_revision: None,
        request_id: None,
        explain: false,
        caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
    }
}

fn read(context: &serde_json::Value) -> Query {
    query("User::\"ann\"", "read", EntityInput::Reference("User::\"ann\"".parse().unwrap()), context)
}

fn buy(total: i64) -> Query {
    let order = serde_json::json!({ "uid": "Order::\"o\"", "attributes": { "total": total } });
    query("User::\"ann\"", "buy", EntityInput::Asserted(json::entity_from(&order).unwrap()), &serde_json::json!({}))
}

fn on() -> Reuse {
    Reuse::new(ReuseSettings::default())
}

/// The answer, which is what the state says, and whether it is an earlier one.
#[track_caller]
fn ask(reuse: &Reuse, view: &View, query: &Query) -> bool {
    let (now, age) = (Instant::EPOCH, Span::ZERO);
    let answered = reuse.answer(view, query.clone(), now, age).unwrap();
    let (question, verdict) = view.answer(query.clone(), now, age).unwrap();
    assert_eq!((&answered.question, &answered.verdict), (&question, &verdict));
    answered.is_reused
}

#[test]
fn what_is_asked_for_the_third_time_was_kept_at_the_second() {
    let (reuse, view) = (on(), view(1, true));
    for query in [read(&serde_json::json!({})), read(&serde_json::json!({ "at": "2031-01-01" })), buy(50), buy(500)] {
        assert_eq!([(); 4].map(|()| ask(&reuse, &view, &query)), [false, false, true, true], "{query:?}");
    }
    let vitals = reuse.vitals();
    assert_eq!((vitals.used, vitals.absent, vitals.entries), (8, 8, 4));
    assert!(vitals.bytes > 4_000);
}

#[test]
fn nothing_is_kept_where_it_is_off_or_passes_or_is_to_be_explained() {
    let view = view(1, true);
    let explained = Query { explain: true, ..buy(50) };
    let bob = EntityInput::Reference("User::\"bob\"".parse().unwrap());
    let nobody = query("User::\"nobody\"", "write", bob.clone(), &serde_json::json!({}));
    for (reuse, query) in [
        (Reuse::new(ReuseSettings::OFF), buy(50)),
        (on(), explained),
        (on(), nobody),
        (on(), query("User::\"bob\"", "read", bob, &serde_json::json!({}))),
    ] {
        assert_eq!([(); 4].map(|()| ask(&reuse, &view, &query)), [false; 4], "{query:?}");
        assert_eq!(reuse.vitals().entries, 0);
    }
}

/// Every word that an answer can hang on makes another question, and nothing else does.
#[test]
fn question_is_known_by_its_words() {
    let view = view(1, true);
    let asked = read(&serde_json::json!({ "at": "2029-01-01" }));
    let reuse = on();
    assert_eq!([(); 3].map(|()| ask(&reuse, &view, &asked)), [false, false, true]);
    let bob = || EntityInput::Reference("User::\"bob\"".parse().unwrap());
    let grpc = Caller { channel: Channel::Grpc, ..asked.caller.clone() };
    for other in [
        Query { principal: bob(), ..asked.clone() },
        Query { resource: bob(), ..asked.clone() },
        Query {
            action: ActionUid::resolve("write", "").unwrap(),
            context: magistrate_model::Record::new(),
            ..asked.clone()
        },
        read(&serde_json::json!({ "at": "2031-01-01" })),
        read(&serde_json::json!({})),
        Query { caller: grpc, ..asked.clone() },
    ] {
        assert!(!ask(&reuse, &view, &other), "{other:?}");
    }
    let address = Some("10.0.0.1".parse().unwrap());
    for same in [
        Query { request_id: Some("r".parse().unwrap()), ..asked.clone() },
        Query { at_least_revision: Some(Revision::new(1)), ..asked.clone() },
        Query { environment: Environment { source_ip: address, ..Environment::default() }, ..asked.clone() },
        Query { caller: Caller { address, ..asked.caller.clone() }, ..asked.clone() },
    ] {
        assert!(ask(&reuse, &view, &same), "{same:?}");
    }
}

/// What was made at an instant was not asked before it.
#[test]
fn earlier_instant_is_not_answered_from_a_later_one() {
    let (reuse, view) = (on(), view(1, true));
    let at = |second: i64| {
        let now = Instant::EPOCH.plus(Span::seconds(second));
        reuse.answer(&view, buy(50), now, Span::ZERO).unwrap().is_reused
    };
    assert_eq!([at(10), at(10), at(9), at(10), at(11)], [false, false, false, true, true]);
}

/// A request that began before a change is answered by the state it began with.
#[test]
fn earlier_state_is_not_answered_from_a_later_one() {
    let (reuse, before, after) = (on(), view(1, false), view(2, true));
    assert_eq!([&after, &after, &after].map(|view| ask(&reuse, view, &buy(50))), [false, false, true]);
    assert!(!ask(&reuse, &before, &buy(50)));
}

/// An answer that would be another is told, and none is used from then on.
#[tokio::test]
async fn answer_that_is_no_longer_right_ends_the_use() {
    let reuse = Arc::new(on());
    let (comparison, comparer) = comparison(Arc::clone(&reuse));
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let mut comparing = JoinSet::new();
    comparing.spawn(comparer.run(move |it| heard.lock().unwrap().push(it.clone())));
    // What cannot be: another content under the same revision.
    let (before, after) = (view(1, true), view(1, false));
    let mut offered = 0;
    let mut ask = async |view: &Arc<View>| {
        let answered = reuse.answer(view, buy(50), Instant::EPOCH, Span::ZERO).unwrap();
        comparison.offer(view, &answered.question, &answered.verdict, answered.is_reused.then_some(Span::ZERO));
        offered += 1;
        while comparison.counts().0 + reuse.vitals().differed < offered || !comparison.is_wanted() {
            tokio::task::yield_now().await;
        }
        answered
    };
    for is_reused in [false, false, true] {
        assert_eq!(ask(&before).await.is_reused, is_reused);
    }
    assert_eq!((reuse.vitals().compared, reuse.vitals().differed), (1, 0));
    let wrong = ask(&after).await;
    assert!(wrong.is_reused && !reuse.is_trusted());
    assert_eq!((reuse.vitals().compared, reuse.vitals().differed, reuse.vitals().entries), (2, 1, 0));
    let right = ask(&after).await;
    assert!(!right.is_reused && right.verdict != wrong.verdict);
    assert!(comparison.is_trusted(), "evaluation is not to blame");
    {
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].answered, wrong.verdict);
        let anew = Box::new((right.question, right.verdict));
        assert_eq!(told[0].second, Second::Anew(Ok(anew)));
        let lane = Differences::new(PrivateFields::default());
        assert!(lane.tell(&told[0]), "it is recorded");
        let acts = lane.take();
        let [(_, Act::Difference(act))] = acts.as_slice() else { panic!("{acts:?}") };
        let says = (act.second, act.answered.cause, act.says.cause);
        assert_eq!(says, (SecondWay::Evaluation, Cause::Permitted, Cause::NoPermit));
    }
    drop(comparison);
    comparing.join_all().await;
}
