use magistrate_model::{Cause, Span};

use super::*;
use crate::Draft;
use crate::act::ActId;
use crate::erasure::Erasure;
use crate::note::NoteSigner;
use crate::private::PrivateFields;
use crate::record::SealedRecord;
use crate::retention::Places;
use crate::verify::tests::{STREAM, now, row};
use crate::verify::{Asked, HeaderChain, StreamVerifier, Trusted};

const ANA: &str = "User::\"ana\"";

fn record(seq: u64) -> SealedRecord {
    let (question, verdict) = crate::tests::full(5, "text", Cause::Permitted);
    let fields = PrivateFields::parse(&["ip"]).unwrap();
    let draft = Draft::keeping_private(&question, &verdict, &fields, || [9; 16]);
    draft.seal(DecisionId { stream: STREAM, seq }, [1; 16])
}

fn act(of: Selection, decisions: u64) -> ActRecord {
    let act = Act::UnsignedErasure { of, reason: "r".to_owned(), decisions };
    ActRecord { id: ActId([1; 16]), at: now(), actor: "os:mia".parse().unwrap(), act }
}

fn of_principal(principal: &str) -> Selection {
    Selection { principal: Some(principal.to_owned()), ..Selection::default() }
}

fn of_no_headers() -> StreamVerifier {
    StreamVerifier::new(HeaderChain::new(STREAM, &Trusted::default(), Asked::default()))
}

/// Verifies three records, of which so many are opened, and compares with acts before and after.
fn verified(opened: usize, before: &[ActRecord], after: &[ActRecord]) -> (u64, Vec<Finding>) {
    verified_by(&Erasures::default(), opened, before, after)
}

fn verified_by(nothing: &Erasures, opened: usize, before: &[ActRecord], after: &[ActRecord]) -> (u64, Vec<Finding>) {
    let (mut known, mut all) = (nothing.clone(), nothing.clone());
    before.iter().for_each(|act| known.take(act));
    before.iter().chain(after).for_each(|act| all.take(act));
    let mut verifier = of_no_headers();
    verifier.erasures(Arc::new(known));
    for seq in 1..=3 {
        let mut row = row(&record(seq));
        row.opening = row.opening.filter(|_| seq <= opened as u64);
        verifier.record(&row);
    }
    let found = verifier.finish(3, now());
    assert!(found.findings.iter().all(|it| !it.kind.is_failure()), "{:?}", found.findings);
    let told = found.findings.iter().find(|it| it.kind == Kind::Erased).map_or(0, |it| it.records);
    (told, all.judge([(STREAM, &found)].into_iter()))
}

#[test]
fn values_that_acts_tell_of_are_erased_and_no_failure() {
    assert_eq!(verified(3, &[], &[]), (0, vec![]));
    let acts = [act(of_principal(ANA), 1), act(of_principal(ANA), 1)];
    assert_eq!(verified(1, &acts, &[]), (2, vec![]));
    assert_eq!(verified(1, &[], &acts), (2, vec![]), "erased while it was verified");
    assert_eq!(verified(2, &acts, &[]), (1, vec![]), "records of others went with their retention");
}

/// Whoever keeps the database could take values away under a hold, and add an act that excuses it.
#[test]
fn act_explains_nothing_of_days_that_were_held_when_it_came() {
    let day = record(1).recorded_at.day();
    let hold = |first: i64, last: Option<i64>, released: bool| {
        let act = Act::Hold { name: "case-7".to_owned(), first, last, reason: String::new(), released };
        ActRecord { id: ActId([2; 16]), at: now(), actor: "os:mia".parse().unwrap(), act }
    };
    let erasure = act(of_principal(ANA), 2);
    for held in [hold(day, Some(day), false), hold(0, None, false)] {
        let (told, findings) = verified(1, &[held.clone(), erasure.clone()], &[]);
        assert_eq!((told, findings.len()), (2, 1), "{held:?}");
        assert_eq!(verified(1, &[held.clone(), hold(day, None, true), erasure.clone()], &[]), (2, vec![]));
        assert_eq!(verified(1, &[erasure.clone(), held], &[]), (2, vec![]), "held since");
    }
    assert_eq!(verified(1, &[hold(day + 1, None, false), erasure], &[]), (2, vec![]));
}

#[test]
fn values_that_no_act_tells_of_are_missing() {
    let (told, findings) = verified(1, &[act(of_principal("User::\"bob\""), 9)], &[]);
    assert_eq!((told, findings.len()), (2, 1));
    let missing = &findings[0];
    assert_eq!(
        (missing.kind, missing.records, missing.at.as_str()),
        (Kind::Missing, 2, format!("{STREAM}-2").as_str())
    );
    let later = Selection { since: Some(now().plus(Span::hours(1))), ..of_principal(ANA) };
    assert_eq!(verified(1, &[act(later, 9)], &[]).1.len(), 1);
}

#[test]
fn more_that_is_gone_than_acts_tell_of_is_missing() {
    let (told, findings) = verified(0, &[act(of_principal(ANA), 2)], &[]);
    assert_eq!((told, findings.len()), (3, 1));
    assert_eq!((findings[0].kind, findings[0].records), (Kind::Missing, 1));
}

fn signer(secret: u8) -> NoteSigner {
    NoteSigner::new("records", &[secret; 32])
}

/// The key that is pinned, and no act that nobody signed.
fn pinned() -> Erasures {
    Erasures::new(&[signer(5).verifier()], true, BTreeSet::new())
}

fn erasure(first: u64, last: u64) -> Erasure {
    let places = vec![Places { stream: STREAM, first, last }];
    let (actor, at) = ("os:mia".parse().unwrap(), now());
    Erasure { act: ActId([1; 16]), of: of_principal(ANA), places, reason: "r".to_owned(), actor, at }
}

fn record_of(signed: SignedErasure) -> ActRecord {
    ActRecord { act: Act::Erasure(Box::new(signed)), ..act(of_principal(ANA), 0) }
}

fn signed(first: u64, last: u64) -> ActRecord {
    record_of(erasure(first, last).sign(&signer(5)))
}

#[track_caller]
fn expect_missing((told, findings): (u64, Vec<Finding>), records: u64, why: &str) {
    let [missing] = &findings[..] else { panic!("one finding: {findings:?}") };
    assert_eq!((told, missing.kind, missing.records), (2, Kind::Missing, records), "{missing}");
    assert!(missing.why.ends_with(why), "{missing}");
}

#[test]
fn decisions_that_a_signed_act_names_are_erased() {
    let both = signed(2, 3);
    assert_eq!(verified_by(&pinned(), 1, std::slice::from_ref(&both), &[]), (2, vec![]));
    assert_eq!(verified_by(&pinned(), 1, &[], &[both]), (2, vec![]), "erased while it was verified");
    assert_eq!(verified_by(&pinned(), 1, &[signed(2, 2), signed(3, 3)], &[]), (2, vec![]));
    let elsewhere = Places { stream: StreamId::new([99; 16]), first: 2, last: 3 };
    let elsewhere = record_of(Erasure { places: vec![elsewhere], ..erasure(2, 3) }.sign(&signer(5)));
    expect_missing(verified_by(&pinned(), 1, &[elsewhere], &[]), 2, UNTOLD);
}

/// A right number, of whom an act covers, is not enough.
#[test]
fn decisions_that_a_signed_act_does_not_name_are_missing() {
    expect_missing(verified_by(&pinned(), 1, &[signed(1, 2)], &[]), 1, UNTOLD);
    expect_missing(verified_by(&pinned(), 1, &[signed(4, 900)], &[]), 2, UNTOLD);
    expect_missing(verified(1, &[signed(1, 2)], &[]), 1, UNTOLD);
}

#[test]
fn act_of_whoever_else_explains_nothing() {
    let by_another = record_of(erasure(2, 3).sign(&signer(6)));
    let mut under_its_name = erasure(2, 3).sign(&signer(6));
    under_its_name.key = signer(5).verifier().key();
    let (mut wider, mut of_another) = (erasure(2, 2).sign(&signer(5)), erasure(2, 3).sign(&signer(5)));
    wider.erasure.places = erasure(2, 3).places;
    of_another.erasure.of = of_principal("User::\"bob\"");
    let unsigned = act(of_principal(ANA), 9);
    for forged in [by_another, record_of(under_its_name), record_of(wider), record_of(of_another), unsigned] {
        expect_missing(verified_by(&pinned(), 1, std::slice::from_ref(&forged), &[]), 2, UNSIGNED);
        expect_missing(verified_by(&pinned(), 1, &[], std::slice::from_ref(&forged)), 2, UNSIGNED);
        assert_eq!(verified_by(&pinned(), 1, &[forged, signed(2, 3)], &[]), (2, vec![]), "a right one beside it");
    }
    // Where no key is pinned at all, everything is believed.
    assert_eq!(verified(1, &[record_of(erasure(2, 3).sign(&signer(6)))], &[]), (2, vec![]));
    let nobody = Erasures::new(&[], true, BTreeSet::new());
    expect_missing(verified_by(&nobody, 1, &[signed(2, 3)], &[]), 2, UNSIGNED);
}

#[test]
fn signature_that_was_moved_explains_nothing() {
    let moved = [
        ActRecord { id: ActId([2; 16]), ..signed(2, 3) },
        ActRecord { actor: "os:eve".parse().unwrap(), ..signed(2, 3) },
        ActRecord { at: now().plus(Span::hours(1)), ..signed(2, 3) },
    ];
    for moved in moved {
        expect_missing(verified_by(&pinned(), 1, std::slice::from_ref(&moved), &[]), 2, REWRAPPED);
        expect_missing(verified(1, &[moved], &[]), 2, REWRAPPED);
    }
}

#[test]
fn signed_act_explains_nothing_of_days_that_were_held_when_it_came() {
    let act_of =
        |released| Act::Hold { name: "case-7".to_owned(), first: 0, last: None, reason: String::new(), released };
    let hold = |released| ActRecord { act: act_of(released), ..act(of_principal(ANA), 0) };
    expect_missing(verified_by(&pinned(), 1, &[hold(false), signed(2, 3)], &[]), 2, HELD);
    assert_eq!(verified_by(&pinned(), 1, &[hold(false), hold(true), signed(2, 3)], &[]), (2, vec![]));
    assert_eq!(verified_by(&pinned(), 1, &[signed(2, 3), hold(false)], &[]), (2, vec![]));
}

/// From before acts were signed: whoever verifies says which ones these are, and each is believed once.
#[test]
fn unsigned_act_that_is_known_is_believed_as_it_was() {
    let known = || Erasures::new(&[signer(5).verifier()], true, BTreeSet::from([ActId([1; 16])]));
    assert_eq!(verified_by(&known(), 1, &[act(of_principal(ANA), 2)], &[]), (2, vec![]));
    let (told, findings) = verified_by(&known(), 1, &[act(of_principal(ANA), 1)], &[]);
    assert_eq!((told, findings.len(), findings[0].records), (2, 1, 1), "more is gone than it tells of");
    let other = ActRecord { id: ActId([2; 16]), ..act(of_principal(ANA), 2) };
    expect_missing(verified_by(&known(), 1, &[other], &[]), 2, UNSIGNED);
    let twice = [act(of_principal("User::\"bob\""), 2), act(of_principal(ANA), 2)];
    expect_missing(verified_by(&known(), 1, &twice, &[]), 2, UNSIGNED);
    let mut erasures = known();
    [act(of_principal(ANA), 2), signed(7, 9)].iter().for_each(|act| erasures.take(act));
    assert_eq!((erasures.decisions(), erasures.unsigned()), (5, 2));
}

#[test]
fn stretches_become_one_where_they_touch() {
    let of = |added: &[(u64, u64)]| {
        let mut all = Stretches::new();
        added.iter().for_each(|(first, last)| insert(&mut all, *first, *last));
        all.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of(&[(5, 6), (1, 2)]), [(1, 2), (5, 6)]);
    assert_eq!(of(&[(5, 6), (1, 2), (3, 4)]), [(1, 6)]);
    assert_eq!(of(&[(1, 9), (3, 4)]), [(1, 9)]);
    assert_eq!(of(&[(3, 4), (6, 7), (9, 9), (1, 8)]), [(1, 9)]);
    assert_eq!(of(&[(0, u64::MAX - 1), (7, 7)]), [(0, u64::MAX - 1)]);
}

#[test]
fn opening_of_another_record_is_altered() {
    let mut altered = row(&record(1));
    altered.opening.as_mut().unwrap()[20] ^= 1;
    let (question, verdict) = crate::tests::full(5, "text", Cause::Permitted);
    let plain = Draft::decision(&question, &verdict).seal(DecisionId { stream: STREAM, seq: 1 }, [1; 16]);
    let mut superfluous = row(&plain);
    superfluous.opening = record(1).opening;
    for row in [altered, superfluous] {
        let mut verifier = of_no_headers();
        verifier.record(&row);
        let kinds: Vec<_> = verifier.finish(1, now()).findings.iter().map(|it| it.kind).collect();
        assert!(kinds.contains(&Kind::Altered), "{kinds:?}");
    }
}

/// Of files there are no acts: what is not in them is told, and an opening that is there must fit.
#[test]
fn files_without_openings_are_no_failure() {
    let (one, two) = (record(1), record(2));
    let mut verifier = of_no_headers();
    verifier.bytes(1, one.bytes.clone(), None);
    verifier.bytes(2, two.bytes.clone(), two.opening.as_deref());
    let found = verifier.finish(2, now());
    assert_eq!(found.gone.decisions(), 1);
    assert!(found.findings.iter().all(|it| !it.kind.is_failure()), "{:?}", found.findings);
    let mut verifier = of_no_headers();
    let mut forged = one.opening.unwrap();
    forged[20] ^= 1;
    verifier.bytes(1, one.bytes, Some(&forged));
    assert!(verifier.finish(1, now()).findings.iter().any(|it| it.kind == Kind::Altered));
}
