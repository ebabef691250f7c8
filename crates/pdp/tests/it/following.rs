//! Following a store change by change: what is served is what a full load would give.

use magistrate_model::{
    ActionUid, Authorship, Change, Conferred, Dataset, Digest, EntityData, EntityUid, Grant, Head, Revision,
    ScopeDeclaration, Span, Term, json,
};
use magistrate_pdp::{CheckError, Directory, FollowError, Polled, Readiness, Settings, View};
use magistrate_testkit::{FakeClock, Running, World};
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use std::sync::Arc;
use std::time::Duration;

use crate::small_world::world;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn authorship(world: &World) -> Authorship {
    Authorship { actor: "test".parse().unwrap(), reason: "test".parse().unwrap(), at: world.now() }
}

pub(crate) fn served(world: &World) -> Dataset {
    let head = Head { revision: Revision::new(1), lineage: Digest::ZERO };
    Dataset { head, policy_set: Some(world.snapshot().policy_set()), ..world.dataset().clone() }
}

pub(crate) fn grant(id: &str, holder: &str, place: Option<&str>, world: &World) -> Grant {
    let uid = |text: &str| EntityUid::parse_shorthand(text).unwrap();
    let conferred = Conferred::Role { role: uid("Role::reader"), resource: place.map(uid) };
    let term = Term::until(None, world.now().plus(Span::hours(1))).unwrap();
    Grant::new(id.parse().unwrap(), uid(holder), conferred, term, "test").unwrap()
}

fn scope(key: u32, variant: u32) -> ScopeDeclaration {
    ScopeDeclaration {
        name: format!("docs:v{key}").parse().unwrap(),
        action_group: ActionUid::new(r#"Action::"docs:read""#.parse().unwrap()).unwrap(),
        description: format!("variant {variant}"),
    }
}

/// A change that can be made now, chosen by a number among few keys, so that they meet often.
fn choose(dataset: &Dataset, world: &World, number: u32) -> Change {
    let (kind, key, variant) = (number % 7, number / 7 % 4, number / 28 % 3);
    let id = format!("g{key}");
    match kind {
        0 | 1 if dataset.grants.iter().any(|grant| grant.id().as_str() == id) => {
            Change::RevokeGrant(id.parse().unwrap())
        }
        0 | 1 => {
            let holder = ["User::bob", "User::ann", "Group::g"][variant as usize];
            let place = ["Doc::d1", "Folder::f"].get(kind as usize + variant as usize).copied();
            Change::AddGrant(grant(&id, holder, place, world))
        }
        2 | 3 => {
            let uid = EntityUid::parse_shorthand(&format!("Folder::x{key}")).unwrap();
            let parents = (0..variant).map(|n| EntityUid::parse_shorthand(&format!("Folder::y{n}")).unwrap()).collect();
            let attributes = json::record_from(&serde_json::json!({ "n": variant }), "").unwrap();
            Change::PutEntity(EntityData { uid, attributes, parents })
        }
        4 => match dataset.scopes.iter().find(|scope| scope.name.as_str().ends_with(&key.to_string())) {
            Some(scope) => Change::DeleteScope(scope.name.clone()),
            None => Change::PutScope(scope(key, variant)),
        },
        5 => Change::PutScope(scope(key, variant)),
        _ => {
            let stored = dataset.entities.iter().map(|it| &it.uid).find(|uid| uid.to_string().contains("::\"x"));
            match stored {
                Some(uid) => Change::DeleteEntity(uid.clone()),
                None => Change::AddGrant(grant(&format!("n{number}"), "User::bob", None, world)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_followed_is_what_is_loaded(history in prop::collection::vec(prop::collection::vec(any::<u32>(), 1..6), 1..12)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = world();
            let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
            let mut model = served(&world);
            for numbers in history {
                let mut changes = Vec::new();
                for number in numbers {
                    let change = choose(&model, &world, number);
                    model.apply([change.clone()]);
                    changes.push(change);
                }
                running.store.commit(&changes, &authorship(&world));
                let polled = running.follower.poll(&world.now()).await.unwrap();
                let view = running.pdp.served().unwrap();
                assert_eq!(polled, Polled::Advanced(view.head.revision));
                assert_eq!(view.directory, Directory::of(model.clone()));
                assert_eq!(view.directory.size(), model.entities.len() + model.grants.len());
            }
            assert_eq!(running.store.loads(), 1, "everything was loaded once, then followed");
        });
    }
}

/// A change that can alter answers: what entities are members of and what they are like, and who holds what.
pub(crate) fn matters(world: &World, number: u32) -> Change {
    let uid = |text: &str| EntityUid::parse_shorthand(text).unwrap();
    let (kind, variant) = (number % 5, number as usize / 5);
    let entity = |of: &str, parents: &[&str], attributes: serde_json::Value| {
        let attributes = json::record_from(&attributes, "").unwrap();
        Change::PutEntity(EntityData { uid: uid(of), attributes, parents: parents.iter().map(|it| uid(it)).collect() })
    };
    let groups = [&["Group::dev"][..], &[], &["Group::staff"]][variant % 3];
    let folders = [&["Folder::top"][..], &["Folder::secret"], &[], &["Folder::other", "Folder::top"]][variant % 4];
    match kind {
        0 => entity("User::ann", groups, serde_json::json!({ "suspended": variant % 4 == 0, "level": variant % 3 })),
        1 => entity("Group::dev", &["Group::staff"][..usize::from(variant % 2 == 0)], serde_json::json!({})),
        2 => entity("Folder::mid", folders, serde_json::json!({})),
        3 => entity("Role::writer", &["Role::reader"][..usize::from(variant % 2 == 0)], serde_json::json!({})),
        _ => {
            let holder = ["User::ann", "Group::dev", "Group::staff"][variant % 3];
            let place = ["Folder::top", "Folder::mid", "Folder::other"][variant / 3 % 3];
            Change::AddGrant(grant(&format!("n{number}"), holder, Some(place), world))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// What is kept prepared never outlives what it was made of: after each change the answers are those of a state
    /// that was built from nothing, and those of Cedar's authorizer.
    #[test]
    fn answers_follow_every_change(history in prop::collection::vec(0..60_u32, 1..14)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = world();
            let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
            let mut model = served(&world);
            for (at, number) in history.into_iter().enumerate() {
                let mut change = matters(&world, number);
                if let Change::AddGrant(it) = &change
                    && model.grants.iter().any(|known| known.id() == it.id())
                {
                    change = Change::RevokeGrant(it.id().clone());
                }
                model.apply([change.clone()]);
                running.store.commit(&[change], &authorship(&world));
                running.follower.poll(&world.now()).await.unwrap();
                let kept = running.pdp.served().unwrap();
                let fresh = View::offline(Arc::clone(&kept.snapshot), Dataset { head: kept.head, ..model.clone() });
                for (user, action, doc) in [
                    ("User::ann", "read", "Doc::d1"),
                    ("User::ann", "write", "Doc::d1"),
                    ("User::ann", "read", "Doc::d2"),
                    ("User::bob", "read", "Doc::d1"),
                ] {
                    let query = world.ask(user, action, doc).query;
                    let answer = |view: &View| view.answer(query.clone(), world.now(), Span::ZERO).unwrap();
                    let by_authorizer = kept.answer_by_authorizer(query.clone(), world.now(), Span::ZERO).unwrap();
                    assert_eq!(answer(&kept), answer(&fresh), "{user} {action} {doc} after change {at}");
                    assert_eq!(answer(&kept), by_authorizer, "{user} {action} {doc} after change {at}");
                }
            }
        });
    }
}

#[tokio::test]
async fn policy_set_comes_with_the_change_that_applies_it() {
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    let policies =
        format!("{}\n@id(\"more\") permit (principal is User, action, resource);", crate::small_world::POLICIES);
    let other = World::of(&crate::small_world::schema(), &policies);
    let set = other.snapshot().policy_set();
    let change = Change::ApplyPolicySet { set: set.clone(), name: "more".into() };
    running.store.commit(&[change], &authorship(&world));
    running.follower.poll(&world.now()).await.unwrap();
    assert_eq!(running.pdp.served().unwrap().snapshot.digest(), set.digest);
    assert_eq!(running.store.loads(), 1);
}

#[tokio::test]
async fn log_that_does_not_lead_to_the_head_is_another_history() {
    let world = world();
    let forgeries: [fn(&mut Vec<magistrate_model::LoggedChange>); 4] = [
        |log| drop(log.pop()),
        |log| log[0].after = log[1].after.clone(),
        |log| log.swap(0, 1),
        |log| log[1].revision = Revision::new(3),
    ];
    for (n, forge) in forgeries.into_iter().enumerate() {
        let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
        let changes = ["a", "b"].map(|id| Change::AddGrant(grant(id, "User::bob", None, &world)));
        running.store.commit(&changes, &authorship(&world));
        running.store.forge(forge);
        let error = running.follower.poll(&world.now()).await.unwrap_err();
        assert!(matches!(error, FollowError::Rewritten { .. }), "{n}: {error}");
        let refused = running.pdp.check(world.ask("User::bob", "read", "Doc::d1").query, world.now(), PATIENCE).await;
        assert!(matches!(refused, Err(CheckError::NotReady(_))), "{n}");
    }
}

#[tokio::test]
async fn clocks_that_are_apart_are_not_ready() {
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    for (millis, ready) in [(0, true), (2_000, true), (-2_000, true), (2_001, false), (-2_001, false), (1, true)] {
        running.store.set_clock(world.now().plus(Span::millis(millis)));
        let polled = running.follower.poll(&world.now()).await;
        assert_eq!(polled.is_ok(), ready, "{millis}: {polled:?}");
        assert_eq!(matches!(running.pdp.readiness(world.now()), Readiness::Ready { .. }), ready, "{millis}");
    }
}

/// What was judged by a time that was never true must not be judged by it any longer.
#[tokio::test]
async fn clock_that_was_ahead_is_not_ready_until_it_is_caught_up_with() {
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    let at = |seconds: i64| world.now().plus(Span::seconds(seconds));
    let ask = async |running: &Running, seconds: i64| {
        running.pdp.check(world.ask("User::bob", "read", "Doc::d1").query, at(seconds), PATIENCE).await
    };
    assert!(ask(&running, 1).await.is_ok());
    for with_clock in [false, true] {
        if with_clock {
            running.store.set_clock(at(2));
        }
        assert_eq!(running.follower.poll(&at(3_600)).await.is_err(), with_clock, "only another clock can tell");
        assert!(matches!(running.follower.poll(&at(2)).await, Err(FollowError::Skewed { .. })));
        assert!(matches!(ask(&running, 3).await, Err(CheckError::NotReady(_))));
        assert!(matches!(running.pdp.readiness(at(3)), Readiness::NotReady { .. }));
    }
    running.store.set_clock(at(3_599));
    assert!(running.follower.poll(&at(3_599)).await.is_ok());
    assert!(ask(&running, 3_600).await.is_ok());
}

/// A store that takes long to answer is not thereby one whose clock is wrong.
#[tokio::test]
async fn slow_answer_is_not_a_wrong_clock() {
    struct Slow(FakeClock);
    impl magistrate_pdp::Clock for Slow {
        fn now(&self) -> magistrate_model::Instant {
            let now = self.0.now();
            self.0.advance(Span::seconds(10));
            now
        }
    }
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    running.store.set_clock(world.now().plus(Span::seconds(5)));
    assert!(running.follower.poll(&Slow(FakeClock::at(world.now()))).await.is_ok());
}

#[tokio::test]
async fn held_decision_point_answers_nothing() {
    let world = world();
    let running = Running::start(served(&world), Settings::default(), world.now()).await;
    let ask = || running.pdp.check(world.ask("User::bob", "read", "Doc::d1").query, world.now(), PATIENCE);
    running.pdp.hold(Some("the history could be changed".into()));
    assert_eq!(ask().await, Err(CheckError::NotReady("the history could be changed".into())));
    assert!(matches!(running.pdp.readiness(world.now()), Readiness::NotReady { .. }));
    running.pdp.hold(None);
    assert!(ask().await.is_ok());
}
