use magistrate_model::{Cause, Span};

use super::*;
use crate::Draft;
use crate::act::ActId;
use crate::private::PrivateFields;
use crate::record::SealedRecord;
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
    let act = Act::Erasure { of, reason: "r".to_owned(), decisions };
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
    let (mut known, mut all) = (Erasures::default(), Erasures::default());
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
