//! What was decided is decided again: the same from the same, and told where it is not.

use std::sync::Arc;
use std::time::Duration;

use magistrate_ledger::{PrivatePath, RecordedDecision};
use magistrate_model::{Cause, Change, Dataset, Digest, GrantId, Head, Revision, Span};
use magistrate_pdp::history::replay::{NotReplayable, Replayed, Replayer, replay_by};
use magistrate_pdp::{Pdp, Settings};
use magistrate_testkit::{MemorySink, MemoryStore, Running, World};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::following::{authorship, grant, matters, served};
use crate::small_world::{POLICIES, schema, world};

const PATIENCE: Duration = Duration::from_secs(30);
const QUESTIONS: [(&str, &str, &str); 8] = [
    ("User::ann", "read", "Doc::d1"),
    ("User::ann", "write", "Doc::d1"),
    ("User::ann", "read", "Doc::d2"),
    ("User::bob", "read", "Doc::d1"),
    ("User::bob", "write", "Doc::d1"),
    ("User::nobody", "read", "Doc::d1"),
    ("User::ann", "read", "Doc::gone"),
    // Reads the time, and how old the data is.
    ("User::ann", "close", "Doc::d1"),
];

async fn ask_all(pdp: &Pdp, world: &World) {
    for (n, (user, action, doc)) in (0..).zip(QUESTIONS) {
        let now = world.now().plus(Span::millis(250 * n));
        pdp.check(world.ask(user, action, doc).query, now, PATIENCE).await.unwrap();
    }
}

fn recorded(sink: &MemorySink) -> Vec<RecordedDecision> {
    sink.records().iter().map(|it| RecordedDecision::decode(it.id, &it.bytes).unwrap()).collect()
}

/// Makes these changes one after the other, and asks everything after each.
async fn live(history: &[u32]) -> (Running, Vec<RecordedDecision>) {
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    let mut model = served(&world);
    ask_all(&running.pdp, &world).await;
    for number in history {
        let chosen = if number % 7 == 6 { apply(*number) } else { matters(&world, *number) };
        let known = |id: &GrantId| model.grants.iter().any(|it| it.id() == id);
        let change = match &chosen {
            Change::AddGrant(it) if known(it.id()) => Change::RevokeGrant(it.id().clone()),
            Change::PutEntity(_)
            | Change::DeleteEntity(_)
            | Change::PutScope(_)
            | Change::DeleteScope(_)
            | Change::AddGrant(_)
            | Change::RevokeGrant(_)
            | Change::ApplyPolicySet { .. } => chosen,
        };
        model.apply([change.clone()]);
        running.store.commit(&[change], &authorship(&world));
        running.follower.poll(&world.now()).await.unwrap();
        ask_all(&running.pdp, &world).await;
    }
    let recorded = recorded(&running.sink);
    (running, recorded)
}

/// Another policy set.
fn apply(number: u32) -> Change {
    let more =
        format!("{POLICIES}\n@id(\"more{}\") permit (principal == User::\"bob\", action, resource);", number % 3);
    Change::ApplyPolicySet { set: World::of(&schema(), &more).snapshot().policy_set(), name: "more".into() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// In whatever order they are taken, and whether states are loaded or followed.
    #[test]
    fn every_decision_comes_out_as_it_was_recorded(
        history in prop::collection::vec(0..60_u32, 1..10),
        order in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (running, mut recorded) = live(&history).await;
            let key = |seq: u64| seq.wrapping_mul(order | 1).rotate_left(17);
            recorded.sort_by_key(|it| key(it.id.seq));
            let mut replayer = Replayer::new(running.store.clone());
            for decision in &recorded {
                let replayed = replayer.replay(decision).await.unwrap();
                assert!(replayed.is_same(), "{:?}", replayed.departures);
                assert_eq!(replayed.record, decision.record);
            }
        });
    }
}

async fn replay(store: &MemoryStore, decision: &RecordedDecision) -> Result<Replayed, NotReplayable> {
    Replayer::new(store.clone()).replay(decision).await
}

fn fields(replayed: &Replayed) -> Vec<&'static str> {
    replayed.departures.iter().map(|it| it.field).collect()
}

/// Whoever changes the past of the data cannot make a recorded answer look right.
#[tokio::test]
async fn past_that_was_changed_shows() {
    let (running, recorded) = live(&[]).await;
    let decision = &recorded[0];
    let forge = |change: fn(&mut Dataset)| running.store.forge_past(Revision::new(1), change);
    forge(|it| it.entities.iter_mut().for_each(|entity| entity.parents.clear()));
    let replayed = replay(&running.store, decision).await.unwrap();
    assert_eq!(fields(&replayed).first(), Some(&"entities_digest"), "{:?}", replayed.departures);
    forge(|it| it.policy_set = None);
    assert_eq!(replay(&running.store, decision).await, Err(NotReplayable::NoPolicies(Revision::new(1))));
    let elsewhere = Head { revision: Revision::new(7), lineage: Digest::ZERO };
    running.store.set(Ok(Dataset { head: elsewhere, ..Dataset::empty() }));
    assert_eq!(replay(&running.store, decision).await, Err(NotReplayable::UnknownRevision(Revision::new(1))));
}

/// A record that was changed where no digest shows it here does not come out either.
#[tokio::test]
async fn verdict_that_was_changed_shows() {
    let (running, recorded) = live(&[]).await;
    let mut forged = recorded[0].clone();
    assert_eq!(forged.record.verdict.cause, Cause::NoPermit);
    forged.record.verdict.cause = Cause::Forbidden;
    let replayed = replay(&running.store, &forged).await.unwrap();
    assert_eq!(fields(&replayed), ["cause"]);
    assert_eq!(replayed.of_answer().count(), 1);
}

#[tokio::test]
async fn other_policies_answer_otherwise_on_the_data_of_then() {
    let world = world();
    let mut running = Running::start(served(&world), Settings::default(), world.now()).await;
    ask_all(&running.pdp, &world).await;
    running.store.commit(&[Change::AddGrant(grant("later", "User::bob", None, &world))], &authorship(&world));
    running.follower.poll(&world.now()).await.unwrap();
    let recorded = recorded(&running.sink);
    let bob = &recorded[4];
    assert_eq!(bob.record.verdict.cause, Cause::NoPermit);
    let policies = World::of(&schema(), &format!("{POLICIES}\n@id(\"more\") permit (principal, action, resource);"));
    let mut other = Replayer::under(running.store.clone(), Arc::clone(policies.snapshot()));
    let replayed = other.replay(bob).await.unwrap();
    assert_eq!(replayed.record.verdict.cause, Cause::Permitted);
    assert!(replayed.of_answer().any(|it| it.field == "cause"));
    assert_eq!(replayed.record.entities_digest, bob.record.entities_digest, "the data is that of then");
    assert!(replayed.record.grants.is_empty(), "a grant of later does not count");
}

/// A question that lacks what was erased is another one: it is not asked, by whatever state.
#[tokio::test]
async fn question_that_lacks_what_was_erased_is_not_decided_again() {
    let (running, recorded) = live(&[]).await;
    let mut decision = recorded[0].clone();
    decision.erased = vec![PrivatePath::CallerAddress, PrivatePath::UserAgent];
    let refused = replay(&running.store, &decision).await.unwrap_err();
    assert_eq!((&refused, refused.name()), (&NotReplayable::Erased(decision.erased.clone()), "erased"));
    assert_eq!(refused.to_string(), "the values at `caller.address`, `environment.user_agent` were erased");
    let now = Replayer::new(running.store.clone()).state(decision.record.verdict.revision).await.unwrap();
    assert_eq!(replay_by(&now, &decision), Err(refused));
}

/// Policies that this version cannot read any more are a finding of their decisions, and not the end of a replay.
#[tokio::test]
async fn past_whose_policies_cannot_be_used_is_named() {
    let (running, recorded) = live(&[6]).await;
    let (first, second) = (recorded.first().unwrap(), recorded.last().unwrap());
    running.store.forge_past(Revision::new(1), |dataset| {
        let set = dataset.policy_set.as_mut().unwrap();
        set.policies.first_mut().unwrap().text = "permit (in a language of then".into();
    });
    let mut replayer = Replayer::new(running.store.clone());
    let refused = replayer.replay(first).await.unwrap_err();
    assert_eq!(refused.name(), "unusable_policies");
    assert!(refused.to_string().starts_with("the policy set of revision 1 cannot be used: "), "{refused}");
    assert!(replayer.replay(second).await.unwrap().is_same(), "others are decided again all the same");
    running.store.forge_past(Revision::new(1), |dataset| dataset.policy_set.as_mut().unwrap().schema = "entity".into());
    assert_eq!(replayer.replay(first).await.unwrap_err().name(), "unusable_policies");
}

/// A state that is known is not loaded again, nor one a few changes behind it.
#[tokio::test]
async fn states_are_loaded_once_and_followed() {
    let (running, recorded) = live(&[3, 9, 14, 6, 21]).await;
    let mut replayer = Replayer::new(running.store.clone()).keeping(2);
    for decision in recorded.iter().chain(&recorded[recorded.len() - 2..]) {
        assert!(replayer.replay(decision).await.unwrap().is_same());
    }
    assert_eq!(running.store.past_loads(), 1);
}

/// What is too large is refused before it is read.
#[tokio::test]
async fn state_that_is_too_large_is_not_loaded() {
    let (running, recorded) = live(&[]).await;
    let size = magistrate_pdp::PastStates::size_at(&running.store, Revision::new(1)).await.unwrap();
    assert!(size > 1);
    let mut replayer = Replayer::new(running.store.clone()).at_most(size - 1);
    let refused = replayer.replay(&recorded[0]).await.unwrap_err();
    let expected = NotReplayable::TooLarge { revision: Revision::new(1), size, most: size - 1 };
    assert_eq!((&refused, refused.name()), (&expected, "too_large"));
    assert_eq!(running.store.past_loads(), 0);
    assert!(Replayer::new(running.store.clone()).at_most(size).replay(&recorded[0]).await.unwrap().is_same());
}
