//! What retention took out, and what somebody only says it did.

use magistrate_model::Digest;

use super::*;
use crate::act::{Act, ActId, ActRecord};
use crate::retention::{Expiry, Places};

fn keeper() -> NoteSigner {
    NoteSigner::new("records", &[5; 32])
}

fn act(signer: &NoteSigner, ranges: &[(u64, u64)]) -> ActRecord {
    let places: Vec<Places> =
        ranges.iter().map(|(first, last)| Places { stream: STREAM, first: *first, last: *last }).collect();
    let records = places.iter().map(Places::count).sum();
    let (checkpoint, reason, actor) = (String::new(), String::new(), "os/mia".parse().unwrap());
    let expiry = Expiry { day: 20_000, records, places, checkpoint, reason, actor, at: now() };
    done(Act::Retention(expiry.sign(signer)))
}

fn done(act: Act) -> ActRecord {
    ActRecord { id: ActId([1; 16]), at: now(), actor: "os/mia".parse().unwrap(), act }
}

fn hold(first: i64, last: Option<i64>, released: bool) -> ActRecord {
    done(Act::Hold { name: "case-7".to_owned(), first, last, reason: String::new(), released })
}

/// What is found of a history of which these were taken out, with the leaves that were kept of them.
fn found(stored: &Stored, acts: &[ActRecord], kept: &[u64], pinned_for_it: &[NoteVerifier]) -> Vec<Finding> {
    let trusted = Trusted::of(history().checkpoints.iter().map(String::as_str), &pinned());
    let mut expired = Expired::new(pinned_for_it, trusted.has_keys());
    acts.iter().for_each(|act| expired.take(act));
    let mut places = expired.of(STREAM);
    kept.iter().for_each(|seq| places.keep(*seq, record(*seq, "text").leaf));
    let verify = |page| {
        let mut verifier = Paged::new(stored, &trusted, page, &[]);
        verifier.expired(places.clone());
        stored.records.iter().for_each(|record| verifier.record(record));
        verifier.finish(stored.last_place, now()).findings
    };
    let [first, others @ ..] = PAGES.map(verify);
    others.iter().for_each(|other| assert_eq!(*other, first));
    first
}

fn without(gone: impl Fn(u64) -> bool) -> Stored {
    let mut stored = history();
    stored.records.retain(|row| !gone(row.seq()));
    stored
}

/// The kinds that show that history was touched, and how many records are said to have been taken out.
fn judged(findings: &[Finding]) -> (Vec<Kind>, u64) {
    let kinds = findings.iter().map(|it| it.kind).filter(|kind| kind.is_failure()).collect();
    (kinds, findings.iter().filter(|it| it.kind == Kind::Expired).map(|it| it.records).sum())
}

#[test]
fn what_a_pinned_key_says_was_taken_out_is_expired_and_not_missing() {
    let gone = without(|seq| seq <= 4);
    let acts = [act(&keeper(), &[(1, 2)]), act(&keeper(), &[(3, 4)])];
    let keeper = [keeper().verifier()];
    assert_eq!(judged(&found(&gone, &acts, &[4], &keeper)), (vec![], 4));
    // The act before what it tells of is done, or done again.
    assert_eq!(judged(&found(&history(), &acts, &[], &keeper)), (vec![], 0));
    // Without the leaf that was to stay, the two records under its header are not verified.
    assert_eq!(judged(&found(&gone, &acts, &[], &keeper)), (vec![Kind::Missing], 4));
    // Of two acts one: what the other tells of is missing, and so is what the first record's header is verified with.
    assert_eq!(judged(&found(&gone, &acts[..1], &[4], &keeper)), (vec![Kind::Missing; 2], 2));
}

#[test]
fn what_somebody_else_says_was_taken_out_is_missing() {
    let gone = without(|seq| seq <= 3);
    let forged = act(&NoteSigner::new("records", &[6; 32]), &[(1, 3)]);
    let mut edited = act(&keeper(), &[(1, 2)]);
    if let Act::Retention(signed) = &mut edited.act {
        signed.expiry.places[0].last = 3;
    }
    for act in [forged, edited] {
        let findings = found(&gone, std::slice::from_ref(&act), &[], &[keeper().verifier()]);
        assert_eq!(judged(&findings), (vec![Kind::Missing], 0));
        assert!(findings[0].why.contains("not signed by a key that is pinned"), "{}", findings[0]);
        // A node's key is none of retention's.
        assert_eq!(judged(&found(&gone, &[act], &[], &[])), (vec![Kind::Missing], 0));
    }
}

/// Whoever saved a signed act cannot use it while the day is held, nor in the name of somebody else.
#[test]
fn what_was_signed_excuses_nothing_that_was_held_or_said_otherwise() {
    let (gone, keeper_key) = (without(|seq| seq <= 3), [keeper().verifier()]);
    let expiry = act(&keeper(), &[(1, 3)]);
    let judge = |acts: &[ActRecord]| judged(&found(&gone, acts, &[], &keeper_key));
    for held in [hold(20_000, None, false), hold(19_000, Some(20_000), false)] {
        assert_eq!(judge(&[held.clone(), expiry.clone()]), (vec![Kind::Missing], 0), "{held:?}");
        assert_eq!(judge(&[held.clone(), hold(20_000, None, true), expiry.clone()]), (vec![], 3));
        assert_eq!(judge(&[expiry.clone(), held]), (vec![], 3), "held since");
    }
    for other in [hold(20_001, None, false), hold(0, Some(19_999), false)] {
        assert_eq!(judge(&[other, expiry.clone()]), (vec![], 3));
    }
    let other = ActRecord { actor: "os/eve".parse().unwrap(), ..expiry.clone() };
    assert_eq!(judge(&[other]), (vec![Kind::Missing], 0));
    let later = ActRecord { at: now().plus(Span::seconds(1)), ..expiry };
    assert_eq!(judge(&[later]), (vec![Kind::Missing], 0));
}

#[test]
fn records_that_stay_are_verified_with_the_leaves_of_those_that_went() {
    let acts = [act(&keeper(), &[(1, 4)])];
    let keeper = [keeper().verifier()];
    let mut edited = without(|seq| seq <= 4);
    edited.records[0] = row(&record(5, "another text"));
    assert_eq!(judged(&found(&edited, &acts, &[4], &keeper)).0, [Kind::Altered]);
    let gone = without(|seq| seq <= 5);
    assert_eq!(judged(&found(&gone, &acts, &[4], &keeper)), (vec![Kind::Missing], 4));

    let trusted = Trusted::of(history().checkpoints.iter().map(String::as_str), &pinned());
    let mut expired = Expired::new(&keeper, true);
    acts.iter().for_each(|act| expired.take(act));
    let mut places = expired.of(STREAM);
    places.keep(4, Digest::new([1; 32]));
    let mut verifier = Paged::new(&history(), &trusted, 100, &[]);
    verifier.expired(places);
    without(|seq| seq <= 4).records.iter().for_each(|record| verifier.record(record));
    assert_eq!(judged(&verifier.finish(12, now()).findings).0, [Kind::Altered], "the kept leaf is another's");
}

/// Whatever is taken out, with the leaves of those that share a header with what stays: nothing is missing. With one more
/// gone, something is.
#[test]
fn every_choice_of_what_is_taken_out_is_excused_and_nothing_else() {
    let headers = [1..=3, 4..=6, 7..=9, 10..=10];
    for choice in 0_u32..1 << 6 {
        let is_gone = |seq: u64| (2..=7).contains(&seq) && choice & (1 << (seq - 2)) != 0;
        let ranges: Vec<_> = (1..=10).filter(|seq| is_gone(*seq)).map(|seq| (seq, seq)).collect();
        let shares = |seq: &u64| headers.iter().any(|it| it.contains(seq) && it.clone().any(|other| !is_gone(other)));
        let kept: Vec<_> = (1..=10).filter(|seq| is_gone(*seq)).filter(shares).collect();
        let (acts, keeper) = ([act(&keeper(), &ranges)], [keeper().verifier()]);
        let findings = found(&without(is_gone), &acts, &kept, &keeper);
        assert_eq!(judged(&findings), (vec![], u64::from(choice.count_ones())), "{choice:b}");
        let Some(more) = (1..=10).find(|seq| !is_gone(*seq)) else { continue };
        let findings = found(&without(|seq| is_gone(seq) || seq == more), &acts, &kept, &keeper);
        assert_eq!(judged(&findings).0, [Kind::Missing], "{choice:b} and {more}");
    }
}

/// A run that crashed: what it left behind its last header is told of by the next one, over the leaves of all.
#[test]
fn what_a_later_run_told_of_is_verified_with_the_leaves_that_were_kept() {
    let root = [11, 12].map(|seq| record(seq, "text").leaf).into_iter().collect::<Tree>().root();
    let left = LeftStream {
        stream: STREAM,
        last_header: None,
        unsealed: Covered { first_seq: 11, count: 2, root },
        cut: 0,
        lost: Vec::new(),
    };
    let keeper_key = [keeper().verifier()];
    for first in [11, 12] {
        let mut stored = without(|seq| seq >= first);
        stored.left = Some(left.clone());
        let acts = [act(&keeper(), &[(first, 12)])];
        let kept: Vec<u64> = (first..=12).collect();
        assert_eq!(judged(&found(&stored, &acts, &kept, &keeper_key)), (vec![], 13 - first));
        assert!(judged(&found(&stored, &acts, &kept[1..], &keeper_key)).0.contains(&Kind::Missing));
    }
}

#[test]
fn part_of_a_stream_is_verified_by_itself() {
    let trusted = Trusted::of(history().checkpoints.iter().map(String::as_str), &pinned());
    let verify_in = |stored: &Stored, seq: u64, page: usize| {
        let mut verifier = Paged::new(stored, &trusted, page, &[seq]);
        let first = verifier.begin_at(seq);
        let last = verifier.chain().over(seq).map_or(12, |(_, last)| last);
        let records = stored.records.iter().filter(|row| (first..=last).contains(&row.seq()));
        records.for_each(|row| verifier.record(row));
        (first, last, judged(&verifier.stop(last)).0)
    };
    let verify = |stored: &Stored, seq: u64| {
        let [one, others @ ..] = PAGES.map(|page| verify_in(stored, seq, page));
        others.iter().for_each(|other| assert_eq!(*other, one));
        one
    };
    assert_eq!(verify(&history(), 5), (4, 6, vec![]));
    assert_eq!(verify(&history(), 10), (10, 10, vec![]));
    assert_eq!(verify(&history(), 12), (11, 12, vec![]));
    for gone in 4..=6 {
        assert_eq!(verify(&without(|seq| seq == gone), 5), (4, 6, vec![Kind::Missing]), "{gone}");
    }
    let mut edited = history();
    edited.records[3] = row(&record(4, "another text"));
    assert_eq!(verify(&edited, 5), (4, 6, vec![Kind::Altered]));
    assert_eq!(verify(&edited, 7), (7, 9, vec![]));
}
