//! Answers that are used again are those that would be given: a decision point that reuses and one that does not answer and
//! record the same, whatever is asked and whatever changes in between.

use std::time::Duration;

use magistrate_ledger::RecordedDecision;
use magistrate_model::{
    Change, Conferred, Dataset, EntityData, EntityUid, Grant, Instant, Query, ScopeDeclaration, Span, Term, json,
};
use magistrate_pdp::history::replay::Replayer;
use magistrate_pdp::{ReuseSettings, ReuseVitals, Settings};
use magistrate_testkit::{MemorySink, Running, World};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};

use crate::following::{authorship, matters, served};
use crate::small_world;

const PATIENCE: Duration = Duration::from_secs(30);

const MORE_POLICIES: &str = r#"
@id("enter-local") permit (principal is User, action == Action::"enter", resource in Folder::"top")
  when { context.facts.channel == "local" };
@id("enter-late") forbid (principal is User, action == Action::"enter", resource)
  when { context has at && context.at > datetime("2030-01-01") };
@id("enter-address") permit (principal == User::"bob", action == Action::"enter", resource)
  when { context.facts has ip && context.facts.ip.isLoopback() };
@id("enter-fresh") permit (principal == User::"eve", action == Action::"enter", resource)
  when { context.facts.snapshot_age_s < 60 };
@id("managed") permit (principal is User, action == Action::"enter", resource is Doc)
  when { resource.owner has manager && resource.owner.manager == principal };
@id("dear") forbid (principal, action, resource is Order) when { resource.total > 100 };
@id("staff-order") permit (principal in Group::"staff", action == Action::"read", resource is Order);
@id("poke") permit (principal in Group::"staff", action == Action::"poke", resource) when { principal.level > 1 };
"#;

fn world() -> World {
    let enter = "action enter appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts, at?: datetime } };";
    let schema = format!("{}\n{enter}", small_world::schema());
    let base = small_world::world();
    let lines = |of: &dyn Fn(&str) -> bool| {
        let chosen = base.dataset().entities.iter().filter(|entity| of(entity.uid.type_name().as_str()));
        chosen.map(|entity| json::entity(entity).to_string()).collect::<Vec<_>>().join("\n")
    };
    World::of(&schema, &policies(0))
        .with("roles", "{\"role\":\"reader\"}\n{\"role\":\"writer\",\"parents\":[\"reader\"]}")
        .with("entities", &lines(&|of| of != "Role"))
        .with("scopes", r#"{"scope":"docs:read","action_group":"Action::\"docs:read\""}"#)
        .with("grants", r#"{"holder":"Partner::\"shop\"","scope":"docs:*","expires_at":"+1h","reason":"x"}"#)
}

/// One of three policy sets.
fn policies(number: u32) -> String {
    let more = match number % 3 {
        0 => "",
        1 => "@id(\"more\") permit (principal == User::\"bob\", action, resource);",
        _ => "@id(\"more\") forbid (principal in Group::\"staff\", action == Action::\"enter\", resource);",
    };
    format!("{}\n{MORE_POLICIES}\n{more}", small_world::POLICIES)
}

fn uid(text: &str) -> EntityUid {
    EntityUid::parse_shorthand(text).unwrap()
}

/// What is asked after every step.
fn questions(world: &World) -> Vec<Query> {
    let order = |total: i64, folder: &str| json!({ "uid": "Order::\"o\"", "attributes": { "total": total }, "parents": [folder] });
    let bot = |level: i64, group: &str| {
        let parents: Vec<Json> = Some(group).filter(|it| !it.is_empty()).map(Json::from).into_iter().collect();
        json!({ "uid": "Bot::\"b\"", "attributes": { "level": level }, "parents": parents })
    };
    let device = |id: &str| json!({ "device": { "__entity": { "type": "Device", "id": id } } });
    let plain = [
        ("User::ann", "read", "Doc::d1"),
        ("User::ann", "write", "Doc::d1"),
        ("User::ann", "read", "Doc::d2"),
        ("User::ann", "read", "Doc::d3"),
        ("User::bob", "read", "Doc::d1"),
        ("User::bob", "write", "Doc::d2"),
        ("User::ann", "enter", "Doc::d1"),
        ("User::ann", "enter", "Doc::d2"),
        ("User::nobody", "read", "Doc::d1"),
        ("User::ann", "read", "Doc::gone"),
        // Their answers hang on the time, the address, the age of the data.
        ("User::ann", "close", "Doc::d1"),
        ("User::bob", "enter", "Doc::d1"),
        ("User::eve", "enter", "Doc::d1"),
    ];
    let mut asked: Vec<_> = plain.map(|(who, action, what)| world.ask(who, action, what)).into();
    let read = || world.ask("User::ann", "read", "Doc::d1");
    asked.extend(["good", "bad", "lost"].map(|id| read().context(&device(id))));
    asked.extend(
        ["2029-01-01", "2031-01-01"].map(|at| world.ask("User::ann", "enter", "Doc::d1").context(&json!({ "at": at }))),
    );
    let ordered = |who: &str| world.ask(who, "read", "Order::o");
    asked.extend([
        ordered("User::ann").asserting_resource(&order(50, "Folder::\"mid\"")),
        ordered("User::ann").asserting_resource(&order(500, "Folder::\"mid\"")),
        ordered("Partner::shop").asserting_resource(&order(50, "Folder::\"secret\"")),
        ordered("Partner::shop").asserting_resource(&order(50, "Folder::\"mid\"")),
    ]);
    let poke = |level, group| {
        let bot = bot(level, group);
        world.ask("Bot::b", "poke", "Bot::b").asserting_principal(&bot).asserting_resource(&bot)
    };
    asked.extend([poke(2, "Group::\"dev\""), poke(1, "Group::\"dev\""), poke(2, "")]);
    asked.into_iter().map(|ask| ask.query).collect()
}

/// What happens before everything is asked.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, and the store confirms what it said, or not.
    Pass { seconds: i64, polled: bool },
    /// Something changes that nothing hangs on.
    Beside(u32),
    /// More changes at once than are told apart.
    Many,
    /// Something changes that an answer may hang on.
    Change(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_i64..200, prop::bool::weighted(0.7)).prop_map(|(seconds, polled)| Step::Pass { seconds, polled }),
        2 => (0_u32..9).prop_map(Step::Beside),
        1 => Just(Step::Many),
        6 => any::<u32>().prop_map(Step::Change),
    ]
}

fn entity(of: &str, attributes: &Json, parents: &[&str]) -> EntityData {
    let attributes = json::record_from(attributes, "").unwrap();
    EntityData { uid: uid(of), attributes, parents: parents.iter().map(|it| uid(it)).collect() }
}

/// An entity that is there one time and not the other.
fn toggled(model: &Dataset, entity: EntityData) -> Change {
    match model.entities.iter().any(|known| known.uid == entity.uid) {
        true => Change::DeleteEntity(entity.uid),
        false => Change::PutEntity(entity),
    }
}

/// A grant by a number: of a role or scopes, in force now, later or for a short while, here or everywhere.
fn grant(number: u32, now: Instant) -> Grant {
    let pick = |from: &[&'static str], by: u32| from[(number / by) as usize % from.len()];
    let (holder, conferred) = match number % 4 {
        3 => ("Partner::shop", Conferred::Scope(pick(&["docs:read", "docs:*"], 4).parse().unwrap())),
        _ => {
            let place = pick(&["", "Folder::top", "Folder::mid", "Folder::other", "Doc::d1"], 4);
            let resource = (!place.is_empty()).then(|| uid(place));
            let role = uid(pick(&["Role::reader", "Role::writer"], 20));
            (pick(&["User::ann", "User::bob", "Group::dev", "Group::staff"], 40), Conferred::Role { role, resource })
        }
    };
    let begin = (number / 160).is_multiple_of(3).then(|| now.plus(Span::seconds(90)));
    let term = Term::until(begin, now.plus(Span::seconds(100 + i64::from(number / 480 % 4) * 150))).unwrap();
    Grant::new(format!("h{}", number % 12).parse().unwrap(), uid(holder), conferred, term, "x").unwrap()
}

fn change(model: &Dataset, world: &World, number: u32, now: Instant) -> Change {
    let by = number / 11;
    match number % 11 {
        0 => toggled(model, entity("Role::reader", &json!({}), &[])),
        1 => toggled(model, entity("Device::lost", &json!({ "managed": by.is_multiple_of(2) }), &[])),
        2 => toggled(model, entity("Folder::top", &json!({}), &[])),
        3 => {
            let manager =
                json!({ "__entity": { "type": "User", "id": if by.is_multiple_of(2) { "ann" } else { "eve" } } });
            let bob = json!({ "suspended": by.is_multiple_of(5), "level": 2, "manager": manager });
            Change::PutEntity(entity("User::bob", &bob, &[]))
        }
        4 => {
            let scope = model.scopes.iter().find(|scope| scope.name.as_str() == "docs:read");
            let group = magistrate_model::ActionUid::new(uid("Action::docs:read")).unwrap();
            let name = "docs:read".parse().unwrap();
            match scope {
                Some(scope) => Change::DeleteScope(scope.name.clone()),
                None => Change::PutScope(ScopeDeclaration { name, action_group: group, description: String::new() }),
            }
        }
        5 => {
            let set = World::of(world.snapshot().policy_set().schema.as_ref(), &policies(by)).snapshot().policy_set();
            Change::ApplyPolicySet { set, name: "more".into() }
        }
        6 => toggled(model, entity("Partner::shop", &json!({}), &[])),
        7 | 8 => granted(model, grant(by, now)),
        _ => {
            let change = matters(world, by);
            if let Change::AddGrant(grant) = &change { granted(model, grant.clone()) } else { change }
        }
    }
}

/// Gives a grant, or takes it if it is there.
fn granted(model: &Dataset, grant: Grant) -> Change {
    match model.grants.iter().any(|known| known.id() == grant.id()) {
        true => Change::RevokeGrant(grant.id().clone()),
        false => Change::AddGrant(grant),
    }
}

fn recorded(sink: &MemorySink) -> Vec<RecordedDecision> {
    sink.records().iter().map(|it| RecordedDecision::decode(it.id, &it.bytes).unwrap()).collect()
}

/// Two decision points over stores that change alike, one of which uses answers again.
struct Twins {
    world: World,
    model: Dataset,
    now: Instant,
    asked: Vec<Query>,
    points: [Running; 2],
}

impl Twins {
    async fn start() -> Self {
        let world = world();
        let start =
            async |reuse| Running::start(served(&world), Settings { reuse, ..Settings::default() }, world.now()).await;
        let on = ReuseSettings { most_touched: 4, ..ReuseSettings::default() };
        let points = [start(on).await, start(ReuseSettings::OFF).await];
        Self { model: served(&world), now: world.now(), asked: questions(&world), points, world }
    }

    async fn take(&mut self, step: Step) {
        let beside = |n: u32| Change::PutEntity(entity(&format!("Folder::x{n}"), &json!({}), &[]));
        let changes = match step {
            Step::Pass { seconds, polled } => {
                self.now = self.now.plus(Span::seconds(seconds));
                if polled {
                    self.poll().await;
                }
                return;
            }
            Step::Beside(n) => vec![beside(n)],
            Step::Many => (0..6).map(beside).collect(),
            Step::Change(number) => vec![change(&self.model, &self.world, number, self.now)],
        };
        self.model.apply(changes.clone());
        for twin in &self.points {
            twin.store.commit(&changes, &authorship(&self.world));
        }
        self.poll().await;
    }

    async fn poll(&mut self) {
        for twin in &mut self.points {
            twin.follower.poll(&self.now).await.unwrap();
        }
    }

    /// Asks everything, some of it from another address and all of it by another id than before.
    async fn ask(&self, round: usize) {
        for (n, asked) in self.asked.iter().enumerate() {
            let mut query = asked.clone();
            query.request_id = Some(format!("{round}-{n}").parse().unwrap());
            let address = ["127.0.0.1", "10.0.0.1"].get((round + n) % 3);
            query.environment.source_ip = address.map(|it| it.parse().unwrap());
            let mut answers = Vec::new();
            for twin in &self.points {
                let answer = twin.pdp.check(query.clone(), self.now, PATIENCE).await;
                answers.push(answer.map(|recorded| recorded.answer().clone()));
            }
            assert_eq!(answers[0], answers[1], "{query:?}");
        }
    }

    /// Everything was recorded alike, and comes out so when it is decided again. Returns what became of earlier answers.
    async fn end(self) -> ReuseVitals {
        let [reusing, evaluating] = self.points.map(|twin| {
            let vitals = twin.pdp.vitals(self.now).reuse;
            (recorded(&twin.sink), vitals, twin.store)
        });
        let records = |of: &[RecordedDecision]| of.iter().map(|it| it.record.clone()).collect::<Vec<_>>();
        assert_eq!(records(&reusing.0), records(&evaluating.0));
        let mut replayer = Replayer::new(reusing.2);
        for decision in &reusing.0 {
            let again = replayer.replay(decision).await.unwrap();
            assert!(again.is_same(), "{:?}", again.departures);
        }
        assert_eq!(evaluating.1, ReuseVitals::default());
        reusing.1
    }
}

#[test]
fn with_reuse_and_without_it_all_is_answered_alike() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let total = std::cell::RefCell::new(ReuseVitals::default());
    let sequences = prop::collection::vec(step(), 4..16);
    let outcome = TestRunner::new(config).run(&sequences, |steps| {
        let vitals = runtime.block_on(async {
            let mut points = Twins::start().await;
            for round in 0..2 {
                points.ask(round).await;
            }
            for (round, step) in (2..).zip(steps) {
                points.take(step).await;
                points.ask(round).await;
            }
            points.end().await
        });
        let mut total = total.borrow_mut();
        total.used += vitals.used;
        total.changed += vitals.changed;
        total.expired += vitals.expired;
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let ReuseVitals { used, changed, expired, .. } = total.into_inner();
    assert!(used > 1_000 && changed > 100 && expired > 10, "it must have come to it: {used}, {changed}, {expired}");
}
