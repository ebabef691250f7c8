use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use magistrate_ledger::{LogBatch, LogId, SealedAct, StreamId};
use proptest::prelude::*;

use super::*;
use crate::log::{Lease, LogError, Sequencing};

fn at(second: i64) -> Instant {
    Instant::EPOCH.plus(Span::seconds(second))
}

fn key(number: usize) -> KeyId {
    format!("{number:016}").parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Details that nobody is to ask for.
fn unasked() -> (Asked, String) {
    panic!("it is summed up")
}

fn lane(alone_per_minute: u32) -> Refusals {
    Refusals::new(RefusalSettings { alone_per_minute, summary: Span::seconds(10) })
}

fn refused(reason: Reason, caller: Option<&KeyId>) -> Refused<'_> {
    Refused { reason, count: 1, caller, address: Some(address("10.0.0.1")), method: "Check", trace: None }
}

fn tell(lane: &Refusals, reason: Reason, caller: Option<&KeyId>, second: i64) {
    lane.tell(&refused(reason, caller), at(second), || (Asked::default(), "why".to_owned()));
}

fn tell_from(lane: &Refusals, from: Option<IpAddr>) {
    lane.tell(&Refused { address: from, ..refused(Reason::Malformed, None) }, at(0), unasked);
}

/// Refusals by what an act tells of them: those alone by cause, those summed up by cause and source.
fn told(acts: &[(Instant, Act)]) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for (_, act) in acts {
        let name = match act {
            Act::Refusal { cause, source, .. } => format!("{cause} from {source}"),
            Act::Refused(call) => format!("{} of {}", call.cause, call.caller),
            Act::Access { .. }
            | Act::Enrolment { .. }
            | Act::Retention(_)
            | Act::Hold { .. }
            | Act::Erasure(_)
            | Act::UnsignedErasure { .. }
            | Act::Difference(_) => {
                panic!("{act:?}")
            }
        };
        *told.entry(name).or_default() += count_of(act);
    }
    told
}

fn counted<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn refusals_of_a_caller_stand_alone_up_to_the_quota() {
    let lane = lane(2);
    let (one, two) = (key(1), key(2));
    for second in 0..5 {
        tell(&lane, Reason::NotReady, Some(&one), second);
    }
    tell(&lane, Reason::Overloaded, Some(&two), 0);
    let acts = lane.take(at(5), true);
    let expected = counted([
        ("NOT_READY from key:0000000000000001", 3),
        ("NOT_READY of 0000000000000001", 2),
        ("OVERLOADED of 0000000000000002", 1),
    ]);
    assert_eq!(told(&acts), expected);
    let summary = acts.iter().find_map(|(_, act)| match act {
        Act::Refusal { first, last, .. } => Some((*first, *last)),
        Act::Refused(_)
        | Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Hold { .. }
        | Act::Erasure(_)
        | Act::UnsignedErasure { .. }
        | Act::Difference(_) => None,
    });
    assert_eq!(summary, Some((at(2), at(4))));
    tell(&lane, Reason::NotReady, Some(&one), 59);
    tell(&lane, Reason::NotReady, Some(&one), 60);
    let expected = counted([("NOT_READY from key:0000000000000001", 1), ("NOT_READY of 0000000000000001", 1)]);
    assert_eq!(told(&lane.take(at(60), true)), expected, "a minute later there is another quota");
}

#[test]
fn what_is_malformed_or_of_nobody_is_summed_up() {
    let lane = lane(20);
    let one = key(1);
    tell(&lane, Reason::Malformed, Some(&one), 0);
    tell(&lane, Reason::Malformed, None, 0);
    tell(&lane, Reason::Unauthenticated, None, 0);
    tell(&lane, Reason::Overloaded, None, 0);
    lane.tell(&Refused { count: 7, ..refused(Reason::Malformed, Some(&one)) }, at(0), unasked);
    let expected = counted([
        ("MALFORMED from 10.0.0.1", 1),
        ("MALFORMED from key:0000000000000001", 8),
        ("OVERLOADED from 10.0.0.1", 1),
        ("UNAUTHENTICATED from 10.0.0.1", 1),
    ]);
    assert_eq!(told(&lane.take(at(0), true)), expected);
    assert_eq!(lane.counts().told, 11);
}

#[test]
fn without_a_quota_there_are_summaries_only() {
    let lane = lane(0);
    tell(&lane, Reason::NotReady, Some(&key(1)), 0);
    assert_eq!(told(&lane.take(at(0), true)), counted([("NOT_READY from key:0000000000000001", 1)]));
}

#[test]
fn address_counts_as_its_network() {
    let lane = lane(20);
    for from in ["2001:db8:1:2::3", "2001:db8:1:2:ffff::1", "2001:db8:1:3::1", "::ffff:10.0.0.1", "10.0.0.1"] {
        tell_from(&lane, Some(address(from)));
    }
    tell_from(&lane, None);
    let expected = counted([
        ("MALFORMED from 10.0.0.1", 2),
        ("MALFORMED from 2001:db8:1:2::/64", 2),
        ("MALFORMED from 2001:db8:1:3::/64", 1),
        ("MALFORMED from local", 1),
    ]);
    assert_eq!(told(&lane.take(at(0), true)), expected);
}

/// What is longer is cut where a character ends, and details are asked for only where they are recorded.
#[test]
fn texts_are_bounded() {
    let lane = lane(1);
    let caller = key(1);
    let long = || "é".repeat(4_000);
    let asked = || Asked { principal: Some(long()), action: Some(long()), resource: Some(long()) };
    lane.tell(&refused(Reason::NotReady, Some(&caller)), at(0), || (asked(), format!("x{}", long())));
    lane.tell(&refused(Reason::NotReady, Some(&caller)), at(0), unasked);
    let acts = lane.take(at(0), false);
    let [(_, Act::Refused(call))] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!((call.asked.principal.as_ref().unwrap().len(), call.why.len()), (LONGEST, LONGEST - 1));
}

/// Summaries are due when their time has come, also if the clock went back; what stands alone is due at once.
#[test]
fn summaries_wait_for_their_time() {
    let lane = lane(20);
    assert_eq!(lane.take(at(100), false), []);
    tell(&lane, Reason::Malformed, None, 101);
    tell(&lane, Reason::NotReady, Some(&key(1)), 101);
    assert_eq!(told(&lane.take(at(109), false)), counted([("NOT_READY of 0000000000000001", 1)]));
    assert_eq!(told(&lane.take(at(110), false)), counted([("MALFORMED from 10.0.0.1", 1)]));
    tell(&lane, Reason::Malformed, None, 111);
    assert_eq!(lane.take(at(119), false), []);
    assert_eq!(told(&lane.take(at(50), false)), counted([("MALFORMED from 10.0.0.1", 1)]));
}

#[test]
fn pairs_beyond_the_room_go_elsewhere() {
    let lane = lane(20);
    for number in 0..1_000_u32 {
        tell_from(&lane, Some(IpAddr::V4(number.into())));
    }
    let acts = lane.take(at(0), true);
    assert_eq!(acts.len(), Sums::MOST + 1);
    assert_eq!(told(&acts)["MALFORMED from elsewhere"], 1_000 - Sums::MOST as u64);
    assert_eq!(told(&acts).values().sum::<u64>(), 1_000);
}

/// More than may stand alone, of more callers than are counted: all of it is summed up.
#[test]
fn callers_beyond_the_room_are_summed_up() {
    let lane = lane(1_000);
    for number in 0..2_000 {
        tell(&lane, Reason::NotReady, Some(&key(number)), 0);
    }
    let acts = lane.take(at(0), true);
    let alone = acts.iter().filter(|(_, act)| matches!(act, Act::Refused(_))).count();
    assert_eq!((alone, acts.len()), (ALONE, ALONE + Sums::MOST + 1));
    assert_eq!(told(&acts).values().sum::<u64>(), 2_000);
}

/// Telling does not wait for whoever has the lane.
#[test]
fn lane_that_is_busy_is_not_waited_for() {
    let lane = lane(20);
    let held = lane.lane.lock().unwrap();
    tell(&lane, Reason::Malformed, None, 3);
    tell(&lane, Reason::NotReady, Some(&key(1)), 4);
    drop(held);
    let expected = counted([("MALFORMED from elsewhere", 1), ("NOT_READY from elsewhere", 1)]);
    assert_eq!(told(&lane.take(at(5), true)), expected);
}

/// However many tell at once while somebody takes: each is counted once.
#[test]
fn nothing_is_lost_between_those_who_tell_and_the_one_who_takes() {
    const EACH: usize = 20_000;
    let (lane, done) = (lane(100), AtomicBool::new(false));
    let total = std::thread::scope(|scope| {
        let tellers: Vec<_> = (0..4)
            .map(|number| {
                let lane = &lane;
                scope.spawn(move || {
                    let caller = key(number);
                    for told in 0..EACH {
                        let known = (told % 2 == 0).then_some(&caller);
                        tell(lane, Reason::ALL[told % Reason::ALL.len()], known, 0);
                    }
                })
            })
            .collect();
        let taker = scope.spawn(|| {
            let mut total = 0;
            while !done.load(Ordering::Acquire) {
                total += lane.take(at(0), true).iter().map(|(_, act)| count_of(act)).sum::<u64>();
            }
            total
        });
        tellers.into_iter().for_each(|teller| teller.join().unwrap());
        done.store(true, Ordering::Release);
        taker.join().unwrap()
    });
    let rest: u64 = lane.take(at(0), true).iter().map(|(_, act)| count_of(act)).sum();
    assert_eq!((total + rest, lane.counts().told), (4 * EACH as u64, 4 * EACH as u64));
}

/// What a store does with an act.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    Takes,
    IsAway,
    /// It takes it, and nobody hears of that.
    IsSilent,
    Refuses,
}

/// A store of acts alone, in a mood.
#[derive(Debug, Clone)]
pub(crate) struct Acts(std::sync::Arc<Mutex<(Mood, Vec<SealedAct>)>>);

impl Acts {
    pub(crate) fn new() -> Self {
        Self(std::sync::Arc::new(Mutex::new((Mood::Takes, Vec::new()))))
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.0.lock().unwrap().0 = mood;
    }

    pub(crate) fn kept(&self) -> Vec<(Instant, Act)> {
        self.0.lock().unwrap().1.iter().map(|act| (act.record.at, act.record.act.clone())).collect()
    }
}

impl Sequencing for Acts {
    async fn lease(&self, _holder: StreamId, _begins: LogId, _time: Span) -> Result<Lease, LogError> {
        Err(LogError::Refused("no log".to_owned()))
    }

    async fn append_log(&self, _term: u64, _batch: &LogBatch) -> Result<(), LogError> {
        Err(LogError::Refused("no log".to_owned()))
    }

    async fn record_act(&self, act: &SealedAct) -> Result<(), LogError> {
        let (mood, kept) = &mut *self.0.lock().unwrap();
        if matches!(mood, Mood::Takes | Mood::IsSilent) && kept.iter().all(|it| it.record.id != act.record.id) {
            kept.push(act.clone());
        }
        match mood {
            Mood::Takes => Ok(()),
            Mood::IsAway | Mood::IsSilent => Err(LogError::Unreachable("away".to_owned())),
            Mood::Refuses => Err(LogError::Refused("no".to_owned())),
        }
    }
}

fn recorder(store: &Acts, lane: &std::sync::Arc<Refusals>) -> RefusalRecorder<Acts> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let random = || u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    RefusalRecorder::new(store.clone(), lane.clone(), "node/n".parse().unwrap(), random)
}

/// A store that is away gets everything once it is back, and each once, whatever became of a try.
#[tokio::test]
async fn store_that_was_away_gets_each_refusal_once() {
    let (store, lane) = (Acts::new(), std::sync::Arc::new(lane(20)));
    let mut recorder = recorder(&store, &lane);
    tell(&lane, Reason::NotReady, Some(&key(1)), 0);
    tell(&lane, Reason::Malformed, None, 0);
    for mood in [Mood::IsAway, Mood::IsSilent, Mood::IsAway] {
        store.is(mood);
        assert!(recorder.round(at(10), true).await.is_err());
        tell(&lane, Reason::Malformed, None, 10);
    }
    assert_eq!(lane.counts().waiting(), 5);
    store.is(Mood::Takes);
    recorder.round(at(20), true).await.unwrap();
    let expected = counted([("MALFORMED from 10.0.0.1", 4), ("NOT_READY of 0000000000000001", 1)]);
    assert_eq!(told(&store.kept()), expected);
    assert_eq!(store.kept().len(), 3, "what came while it was away is one summary");
    assert_eq!(lane.counts(), RefusalCounts { told: 5, alone: 1, summed: 4, dropped: 0 });
}

/// One that the store refuses holds up no other, and is counted.
#[tokio::test]
async fn act_that_the_store_refuses_is_dropped_and_counted() {
    let (store, lane) = (Acts::new(), std::sync::Arc::new(lane(20)));
    let mut recorder = recorder(&store, &lane);
    tell(&lane, Reason::NotReady, Some(&key(1)), 0);
    tell(&lane, Reason::Malformed, None, 0);
    store.is(Mood::Refuses);
    assert!(matches!(recorder.round(at(10), true).await, Err(LogError::Refused(_))));
    store.is(Mood::Takes);
    recorder.round(at(10), true).await.unwrap();
    assert_eq!(lane.counts(), RefusalCounts { told: 2, alone: 0, summed: 1, dropped: 1 });
}

#[derive(Debug, Clone)]
enum Step {
    Tell { reason: usize, count: u64, caller: Option<usize>, from: u32 },
    Round { mood: Mood, all: bool },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![Just(Mood::Takes), Just(Mood::IsAway), Just(Mood::IsSilent), Just(Mood::Refuses)];
    prop_oneof![
        20 => (0..Reason::ALL.len(), 1..50_u64, proptest::option::of(0..40_usize), 0..400_u32)
            .prop_map(|(reason, count, caller, from)| Step::Tell { reason, count, caller, from }),
        2 => (mood, any::<bool>()).prop_map(|(mood, all)| Step::Round { mood, all }),
        1 => (-5..90_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    /// Whatever happens: what was told is recorded, dropped or waiting, each once, and what waits has bounded room.
    #[test]
    fn counts_are_kept(steps in prop::collection::vec(step(), 1..1_500), quota in 0..5_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, lane) = (Acts::new(), std::sync::Arc::new(lane(quota)));
        let mut recorder = recorder(&store, &lane);
        let (mut told, mut now) = (0, 1_000);
        for step in steps {
            match step {
                Step::Tell { reason, count, caller, from } => {
                    told += count;
                    let (caller, address) = (caller.map(key), Some(IpAddr::V4(from.into())));
                    let reason = Reason::ALL[reason];
                    let refused = Refused { reason, count, caller: caller.as_ref(), address, method: "m", trace: None };
                    lane.tell(&refused, at(now), || (Asked::default(), String::new()));
                }
                Step::Round { mood, all } => {
                    store.is(mood);
                    let _outcome = runtime.block_on(recorder.round(at(now), all));
                }
                Step::Pass { seconds } => now += seconds,
            }
            let held = lane.lane.lock().unwrap();
            prop_assert!(held.alone.len() <= ALONE);
            drop(held);
        }
        store.is(Mood::Takes);
        runtime.block_on(recorder.round(at(now), true)).unwrap();
        let counts = lane.counts();
        prop_assert_eq!((counts.told, counts.waiting()), (told, 0));
        let kept: u64 = store.kept().iter().map(|(_, act)| count_of(act)).sum();
        // A store that was silent may have taken what it refused later.
        prop_assert!(kept >= counts.alone + counts.summed);
        prop_assert!(kept <= told && kept + counts.dropped >= told);
    }
}
