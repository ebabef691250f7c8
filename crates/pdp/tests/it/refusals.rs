//! States in which nothing is decided.

use std::time::Duration;

use magistrate_ledger::{Room, StreamId, Writer};
use magistrate_model::{Dataset, Digest, Head, Revision, Span};
use magistrate_pdp::{CheckError, FollowError, LoadError, Pdp, Polled, Readiness, Settings, Staleness};
use magistrate_testkit::{MemorySink, MemoryStore, Running, World, nonce};

use crate::small_world::world;

const PATIENCE: Duration = Duration::from_secs(30);

fn served(world: &World, revision: u64) -> Dataset {
    let head = Head { revision: Revision::new(revision), lineage: Digest::ZERO };
    Dataset { head, policy_set: Some(world.snapshot().policy_set()), ..world.dataset().clone() }
}

async fn refusal(running: &Running, world: &World, at: Span) -> Option<CheckError> {
    let query = world.ask("User::bob", "read", "Doc::d1").query;
    running.pdp.check(query, world.now().plus(at), PATIENCE).await.err()
}

#[tokio::test]
async fn nothing_is_decided_before_policies_are_loaded() {
    let world = world();
    let store = MemoryStore::of(Dataset { policy_set: None, ..world.dataset().clone() });
    let writer = Writer::new(MemorySink::default(), Room::unlimited(), StreamId::new(nonce()), nonce).into();
    let (pdp, mut follower, _comparer) = Pdp::new(store, Settings::default(), writer);
    let query = world.ask("User::bob", "read", "Doc::d1").query;
    assert_eq!(follower.poll(&world.now()).await, Ok(Polled::Empty));
    let refused = pdp.check(query, world.now(), PATIENCE).await;
    assert!(matches!(refused, Err(CheckError::NotReady(why)) if why.contains("policy apply")));
}

#[tokio::test]
async fn data_older_than_the_limit_is_not_served() {
    let world = world();
    let staleness = Staleness { soft: Span::seconds(5), hard: Span::seconds(60) };
    let mut running =
        Running::start(served(&world, 1), Settings { staleness, ..Settings::default() }, world.now()).await;
    running.store.set(Err(LoadError::Unreachable("gone".into())));
    assert!(running.follower.poll(&world.now().plus(Span::seconds(1))).await.is_err());
    assert_eq!(refusal(&running, &world, Span::seconds(60)).await, None, "within the limit");
    let Readiness::Ready { remarks } = running.pdp.readiness(world.now().plus(Span::seconds(60))) else {
        panic!("ready")
    };
    assert_eq!(remarks.len(), 1, "and remarked on");
    assert!(matches!(refusal(&running, &world, Span::seconds(61)).await, Some(CheckError::NotReady(_))));
    assert!(
        matches!(refusal(&running, &world, Span::ZERO).await, Some(CheckError::NotReady(_))),
        "the clock never runs backwards"
    );
    running.store.set(Ok(served(&world, 1)));
    running.follower.poll(&world.now().plus(Span::seconds(62))).await.unwrap();
    assert_eq!(refusal(&running, &world, Span::seconds(62)).await, None, "confirmed again");
}

#[tokio::test]
async fn store_that_goes_backwards_or_forks_is_not_served() {
    let world = world();
    let mut running = Running::start(served(&world, 5), Settings::default(), world.now()).await;
    running.store.set(Ok(served(&world, 4)));
    let error = running.follower.poll(&world.now()).await.unwrap_err();
    assert!(matches!(error, FollowError::Rewritten { .. }), "{error}");
    assert!(matches!(refusal(&running, &world, Span::ZERO).await, Some(CheckError::NotReady(_))));
    let mut forked = served(&world, 5);
    forked.head.lineage = Digest::new([1; 32]);
    running.store.set(Ok(forked));
    assert!(running.follower.poll(&world.now()).await.unwrap_err().to_string().contains("other content"));
    assert!(matches!(refusal(&running, &world, Span::ZERO).await, Some(CheckError::NotReady(_))));
    running.store.set(Ok(served(&world, 5)));
    running.follower.poll(&world.now()).await.unwrap();
    assert_eq!(refusal(&running, &world, Span::ZERO).await, None);
}

#[tokio::test]
async fn store_that_was_replaced_is_not_served() {
    let world = world();
    let mut running = Running::start(served(&world, 5), Settings::default(), world.now()).await;
    running.store.set(Err(LoadError::Unreachable("for a moment".into())));
    assert!(running.follower.poll(&world.now()).await.is_err());
    assert_eq!(refusal(&running, &world, Span::ZERO).await, None, "what is only silent is served on");
    running.store.set(Err(LoadError::Replaced("gone".into())));
    assert!(running.follower.poll(&world.now()).await.is_err());
    assert!(matches!(refusal(&running, &world, Span::ZERO).await, Some(CheckError::NotReady(_))));
}

#[tokio::test]
async fn set_that_does_not_load_never_replaces_a_good_one() {
    let world = world();
    let mut running = Running::start(served(&world, 1), Settings::default(), world.now()).await;
    let mut broken = served(&world, 2);
    let mut set = world.snapshot().policy_set();
    set.digest = Digest::new([7; 32]);
    broken.policy_set = Some(set);
    running.store.set(Ok(broken));
    let error = running.follower.poll(&world.now()).await.unwrap_err();
    assert!(error.to_string().contains("changed from outside"), "{error}");
    assert_eq!(refusal(&running, &world, Span::ZERO).await, None, "the good one still answers");
    assert_eq!(running.pdp.served().unwrap().head.revision, Revision::new(1));
}

#[tokio::test]
async fn caller_is_never_answered_by_an_older_revision_than_it_asks_for() {
    let world = world();
    let running = Running::start(served(&world, 3), Settings::default(), world.now()).await;
    let Running { pdp, follower, store, .. } = running;
    let clock = magistrate_testkit::FakeClock::at(world.now());
    let following = tokio::spawn(async move { follower.run(&clock, Duration::from_hours(1), |_| {}).await });
    let ask = |revision: u64| {
        let mut query = world.ask("User::bob", "read", "Doc::d1").query;
        query.at_least_revision = Some(Revision::new(revision));
        pdp.check(query, world.now(), PATIENCE)
    };
    assert_eq!(ask(3).await.unwrap().answer().revision, Revision::new(3));
    let ahead = ask(4).await.unwrap_err();
    assert_eq!(ahead, CheckError::RevisionAhead { wanted: Revision::new(4), newest: Revision::new(3) });
    store.set(Ok(served(&world, 4)));
    assert_eq!(ask(4).await.unwrap().answer().revision, Revision::new(4), "a committed revision is waited for");
    store.set(Err(LoadError::Unreachable("gone".into())));
    assert!(matches!(ask(5).await, Err(CheckError::NotReady(_))));
    drop(pdp);
    following.await.unwrap();
}
