//! Everything that somebody who may write to the store can do to it, and what is said of it.

use magistrate_model::{Cause, Instant, Span};

use super::*;
use crate::header::{Covered, LeftStream, Opening};
use crate::note::{NoteSigner, NoteVerifier, SignedCheckpoint};
use crate::record::SealedRecord;
use crate::sealer::{Sealer, origin};
use crate::stored::{StoredDecision, StoredHeader};
use crate::stream::{DecisionId, StreamId};
use crate::{Draft, SealedHeader, Tree};

mod expired;
mod paged;

use paged::{PAGES, Paged};

pub(super) const STREAM: StreamId = StreamId::new([7; 16]);

/// A history as a store keeps it.
#[derive(Debug, Clone)]
struct Stored {
    records: Vec<StoredDecision>,
    headers: Vec<StoredHeader>,
    checkpoints: Vec<String>,
    left: Option<LeftStream>,
    last_place: u64,
}

pub(super) fn now() -> Instant {
    Instant::from_micros(1_780_315_200_000_000).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::new("node-1", &[1; 32])
}

fn pinned() -> Vec<NoteVerifier> {
    vec![signer().verifier()]
}

fn record(seq: u64, text: &str) -> SealedRecord {
    let (question, verdict) = crate::tests::full(5, text, Cause::Permitted);
    Draft::decision(&question, &verdict).seal(DecisionId { stream: STREAM, seq }, [u8::try_from(seq).unwrap(); 16])
}

pub(super) fn row(record: &SealedRecord) -> StoredDecision {
    StoredDecision {
        day: record.recorded_at.day(),
        stream: record.id.stream.as_bytes().to_vec(),
        seq: i64::try_from(record.id.seq).unwrap(),
        leaf: record.leaf.as_bytes().to_vec(),
        recorded_at: record.recorded_at.micros(),
        class: record.class.name().to_owned(),
        principal: record.index.principal.clone(),
        action: record.index.action.clone(),
        resource: record.index.resource.clone(),
        decision: record.index.decision.to_owned(),
        cause: record.index.cause.to_owned(),
        request_id: record.index.request_id.clone(),
        body: record.bytes.clone(),
        opening: record.opening.clone(),
    }
}

fn header(sealed: &SealedHeader) -> StoredHeader {
    let SealedHeader { header, bytes, .. } = sealed;
    StoredHeader {
        stream: header.stream.as_bytes().to_vec(),
        number: i64::try_from(header.number).unwrap(),
        first_seq: i64::try_from(header.covers.first_seq).unwrap(),
        count: i64::try_from(header.covers.count).unwrap(),
        root: header.covers.root.as_bytes().to_vec(),
        header: bytes.clone(),
    }
}

/// Ten records under headers of three, three, three and one, each with a checkpoint, and two that no header covers; made
/// with a key, and a text in every record.
fn written(signer: NoteSigner, text: &str) -> Stored {
    let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(STREAM, signer, opening, now());
    let mut stored = Stored {
        records: Vec::new(),
        headers: vec![header(&first)],
        checkpoints: Vec::new(),
        left: None,
        last_place: 12,
    };
    for seq in 1..=12 {
        let record = record(seq, text);
        stored.records.push(row(&record));
        if seq <= 10 {
            sealer.take(&record, now());
        }
        if seq % 3 == 0 || seq == 10 {
            let next = sealer.seal_now(now());
            stored.headers.extend(next.iter().map(header));
            let SignedCheckpoint { note, .. } = sealer.checkpoint();
            stored.checkpoints.extend(next.map(|_| note));
        }
    }
    stored
}

fn history() -> Stored {
    written(signer(), "text")
}

/// The kinds of what is found, and the first place that is named, of what shows that history was touched.
fn found(stored: &Stored, seen: &[String]) -> (Vec<Kind>, String) {
    let notes = seen.iter().chain(&stored.checkpoints).map(String::as_str);
    let trusted = Trusted::of(notes, &pinned());
    let streams: &[StreamId] = if stored.headers.is_empty() && stored.records.is_empty() { &[] } else { &[STREAM] };
    let mut findings = trusted.without(streams, None);
    findings.extend(trusted.findings.iter().cloned());
    findings.extend(verified(stored, &trusted, now()).findings);
    let failures: Vec<&Finding> = findings.iter().filter(|it| it.kind.is_failure()).collect();
    let first = failures.first().map(|it| it.at.clone()).unwrap_or_default();
    let mut kinds: Vec<Kind> = failures.iter().map(|it| it.kind).collect();
    kinds.dedup();
    (kinds, first)
}

/// What is found of a stream, which is the same however many of its headers are read at once.
#[track_caller]
fn verified(stored: &Stored, trusted: &Trusted, now: Instant) -> Verified {
    let verify = |page| {
        let mut verifier = Paged::new(stored, trusted, page, &[]);
        stored.records.iter().for_each(|record| verifier.record(record));
        verifier.finish(stored.last_place, now)
    };
    let [first, others @ ..] = PAGES.map(verify);
    others.iter().for_each(|other| assert_eq!(*other, first));
    first
}

#[track_caller]
fn check(tamper: impl FnOnce(&mut Stored), kinds: &[Kind], at: &str) {
    let (mut stored, seen) = (history(), history().checkpoints);
    tamper(&mut stored);
    let (found, first) = found(&stored, &seen);
    assert_eq!((found.as_slice(), first.contains(at)), (kinds, true), "at {first}");
}

#[test]
fn what_nobody_touched_is_whole() {
    check(|_| {}, &[], "");
}

#[test]
fn edited_body_is_altered() {
    for at in 0..history().records[4].body.len() {
        let mut stored = history();
        stored.records[4].body[at] ^= 1;
        let (kinds, first) = found(&stored, &[]);
        assert!(matches!(kinds[..], [Kind::Altered | Kind::Reordered]), "byte {at}: {kinds:?}");
        assert!(first.ends_with("-5"), "{first}");
    }
}

#[test]
fn edited_column_is_altered() {
    let edits: [fn(&mut StoredDecision); 9] = [
        |it| it.day += 1,
        |it| it.leaf[0] ^= 1,
        |it| it.recorded_at += 1,
        |it| it.class = "process".to_owned(),
        |it| it.principal.push('x'),
        |it| it.action.push('x'),
        |it| it.resource.push('x'),
        |it| it.decision = "deny".to_owned(),
        |it| it.request_id = None,
    ];
    for edit in edits {
        check(|stored| edit(&mut stored.records[4]), &[Kind::Altered], "-5");
    }
}

/// A record that says another thing, with a leaf that fits: only the header shows it.
#[test]
fn record_with_recomputed_hashes_is_altered() {
    check(|stored| stored.records[4] = row(&record(5, "forged")), &[Kind::Altered], "-4");
    check(|stored| stored.records[0] = row(&record(1, "forged")), &[Kind::Altered], "-1");
}

#[test]
fn deleted_record_is_missing() {
    check(|stored| drop(stored.records.remove(0)), &[Kind::Missing], "-1");
    check(|stored| drop(stored.records.remove(4)), &[Kind::Missing], "-5");
    check(|stored| drop(stored.records.drain(3..6)), &[Kind::Missing], "-4");
    check(|stored| stored.records.truncate(6), &[Kind::Missing], "-7");
    check(|stored| stored.records.clear(), &[Kind::Missing], "-1");
}

/// The last records lie behind the newest header: the store's own count is all that speaks for them. Whoever changes that
/// as well has taken them away within the window that is stated.
#[test]
fn tail_before_its_header_is_within_the_stated_window() {
    check(|stored| stored.records.truncate(11), &[Kind::Missing], "-12");
    let with_count = |stored: &mut Stored| {
        stored.records.truncate(10);
        stored.last_place = 10;
    };
    check(with_count, &[], "");
}

#[test]
fn swapped_places_are_reordered() {
    let swap = |stored: &mut Stored| {
        let (one, two) = (stored.records[3].seq, stored.records[4].seq);
        (stored.records[3].seq, stored.records[4].seq) = (two, one);
        stored.records.swap(3, 4);
    };
    check(swap, &[Kind::Reordered], "-4");
    check(|stored| stored.records.insert(4, stored.records[3].clone()), &[Kind::Reordered], "-4");
}

#[test]
fn header_that_is_gone_or_another_is_told() {
    check(|stored| drop(stored.headers.remove(2)), &[Kind::Missing, Kind::RolledBack], "header 3");
    check(|stored| stored.headers[2].header[9] ^= 1, &[Kind::Altered, Kind::RolledBack], "header 3");
    check(|stored| stored.headers[2].count += 1, &[Kind::Altered, Kind::RolledBack], "header 3");
    check(|stored| stored.headers.swap(2, 3), &[Kind::Missing, Kind::RolledBack], "header 3");
    check(|stored| stored.headers[2] = stored.headers[1].clone(), &[Kind::Reordered, Kind::RolledBack], "header 3");
}

/// A header of another history, whole in itself: the chain shows it, without any checkpoint.
#[test]
fn header_that_follows_another_one_is_altered() {
    let mut stored = history();
    stored.checkpoints.clear();
    stored.headers[2] = written(signer(), "forged").headers[2].clone();
    let (kinds, first) = found(&stored, &[]);
    assert_eq!(kinds, [Kind::Altered]);
    assert!(first.contains("header 3"), "{first}");
}

/// Headers, records and checkpoints of the newest part are taken away together: what was seen before shows it.
#[test]
fn older_state_is_rolled_back() {
    let restore = |stored: &mut Stored| {
        stored.records.truncate(6);
        stored.headers.truncate(3);
        stored.checkpoints.truncate(2);
        stored.last_place = 6;
    };
    check(restore, &[Kind::RolledBack], &origin(STREAM));
    let everything = |stored: &mut Stored| {
        *stored =
            Stored { records: Vec::new(), headers: Vec::new(), checkpoints: Vec::new(), left: None, last_place: 0 };
    };
    check(everything, &[Kind::RolledBack], &origin(STREAM));
    let mut stored = history();
    restore(&mut stored);
    assert_eq!(found(&stored, &[]).0, [], "without anything kept elsewhere nobody can tell");
}

/// Everything written anew, and signed with whatever key its writer has.
#[test]
fn self_consistent_history_of_somebody_else_is_forked() {
    let forged = written(NoteSigner::new("node-1", &[2; 32]), "forged");
    check(|stored| *stored = forged.clone(), &[Kind::Untrusted, Kind::Forked], "magistrate/stream");
    let unsigned = Stored { checkpoints: Vec::new(), ..forged };
    check(|stored| *stored = unsigned, &[Kind::Forked], "magistrate/stream");
    // One that keeps the old checkpoints contradicts them.
    let kept = Stored { checkpoints: history().checkpoints, ..written(signer(), "forged") };
    check(|stored| *stored = kept, &[Kind::Forked], "magistrate/stream");
}

/// The signer itself told two histories: both notes are good, and together they are the proof.
#[test]
fn two_checkpoints_of_one_size_are_a_fork() {
    let other = written(signer(), "other").checkpoints;
    check(|stored| stored.checkpoints.extend(other), &[Kind::Forked], "at 2");
}

/// A key that nobody pinned is no key, whoever enrolled it.
#[test]
fn key_that_was_enrolled_in_the_store_is_not_trusted() {
    let enrolled = NoteSigner::new("node-2", &[9; 32]);
    let foreign = written(enrolled, "text").checkpoints;
    check(|stored| stored.checkpoints = foreign, &[Kind::Untrusted], "magistrate/stream");
    let mut stored = history();
    stored.checkpoints.clear();
    assert_eq!(found(&stored, &[]).0, [], "no checkpoint is no evidence");
    let trusted = Trusted::of(history().checkpoints.iter().map(String::as_str), &[]);
    assert!(trusted.findings.is_empty() && trusted.newest(&origin(STREAM)).is_none(), "without a key none is believed");
}

#[test]
fn note_with_a_forged_signature_is_untrusted() {
    let forge = |stored: &mut Stored| {
        let note = stored.checkpoints.pop().unwrap();
        stored.checkpoints.push(note.replace("\n5\n", "\n6\n"));
    };
    check(forge, &[Kind::Untrusted], "at 6");
}

/// What a crashed run left is sealed by the next one.
#[test]
fn tail_of_a_crashed_run_is_held_to_what_the_next_one_found() {
    let left = |count: usize| {
        let leaves: Tree = (11..11 + count as u64).map(|seq| record(seq, "text").leaf).collect();
        let unsealed = Covered { first_seq: 11, count: count as u64, root: leaves.root() };
        let last_header = history().headers.last().map(|it| it.decode().unwrap().hash);
        LeftStream { stream: STREAM, last_header, unsealed, cut: 0, lost: Vec::new() }
    };
    check(|stored| stored.left = Some(left(2)), &[], "");
    check(|stored| stored.left = Some(left(3)), &[Kind::Missing], "-11");
    // A store may have more than a journal whose disk lost its newest part.
    check(|stored| stored.left = Some(left(1)), &[], "");
    let earlier = |stored: &mut Stored| {
        let last_header = stored.headers.get(3).map(|it| it.decode().unwrap().hash);
        let leaves: Tree = (10..12).map(|seq| record(seq, "text").leaf).collect();
        let unsealed = Covered { first_seq: 10, count: 2, root: leaves.root() };
        stored.left = Some(LeftStream { last_header, unsealed, ..left(0) });
    };
    check(earlier, &[], "");
    let replaced = |stored: &mut Stored| {
        stored.left = Some(left(2));
        stored.records[11] = row(&record(12, "forged"));
    };
    check(replaced, &[Kind::Altered], "-11");
    let cut_off = |stored: &mut Stored| {
        stored.left = Some(left(2));
        stored.headers.pop();
        stored.checkpoints.clear();
    };
    let (mut stored, none) = (history(), Vec::new());
    cut_off(&mut stored);
    assert!(found(&stored, &none).0.contains(&Kind::Forked), "its chain ended with another header");
}

/// What the disk lost before anybody shipped it is told apart from what somebody took away.
#[test]
fn records_lost_in_a_recorded_crash_have_a_name_of_their_own() {
    let (mut stored, last_header) = (history(), history().headers.last().map(|it| it.decode().unwrap().hash));
    stored.records.remove(10);
    let tail: Tree = [record(12, "text").leaf].into_iter().collect();
    let unsealed = Covered { first_seq: 12, count: 1, root: tail.root() };
    stored.left = Some(LeftStream { stream: STREAM, last_header, unsealed, cut: 3, lost: vec![11..=11] });
    let trusted = Trusted::of(stored.checkpoints.iter().map(String::as_str), &pinned());
    let outcome = verified(&stored, &trusted, now());
    let kinds: Vec<(Kind, u64)> = outcome.findings.iter().map(|it| (it.kind, it.records)).collect();
    assert_eq!(kinds, [(Kind::LostInCrash, 1)]);
    assert_eq!((outcome.records, outcome.headers, outcome.covered), (11, 5, 5));
}

/// What a run says of an earlier one excuses nothing that is under a header, whoever says it; and it is believed only
/// where a checkpoint of a pinned key covers it.
#[test]
fn nobody_can_excuse_what_was_taken_away() {
    let excuse = |stored: &mut Stored| {
        stored.records.drain(3..8);
        let nothing = Covered { first_seq: 1, count: 0, root: Tree::default().root() };
        stored.left =
            Some(LeftStream { stream: STREAM, last_header: None, unsealed: nothing, cut: 0, lost: vec![1..=12] });
    };
    check(excuse, &[Kind::Missing], "-4");
    let left = LeftStream {
        stream: STREAM,
        last_header: None,
        unsealed: Covered { first_seq: 1, count: 0, root: Tree::default().root() },
        cut: 0,
        lost: vec![1..=12],
    };
    let other = StreamId::new([8; 16]);
    let opening = Opening { node: "forged".to_owned(), key: [0; 32], left: vec![left.clone()] };
    let (_, first) = Sealer::begin(other, NoteSigner::new("forged", &[9; 32]), opening.clone(), now());
    let trusted = Trusted::of(history().checkpoints.iter().map(String::as_str), &pinned());
    let tellings = |first: &SealedHeader, trusted: &Trusted| {
        let mut chain = HeaderChain::new(other, trusted, Asked::default());
        chain.take(&[header(first)]);
        chain.tellings().map(|(at, left)| (at, left.clone())).collect::<Vec<_>>()
    };
    assert!(tellings(&first, &trusted).is_empty(), "nobody signed it");
    let (sealer, first) = Sealer::begin(other, signer(), opening, now());
    let notes = [sealer.checkpoint().note];
    let trusted = Trusted::of(notes.iter().map(String::as_str), &pinned());
    assert_eq!(tellings(&first, &trusted), [(now(), left)]);
}

#[test]
fn nothing_follows_a_last_word() {
    let mut stored = history();
    let (mut sealer, first) =
        Sealer::begin(STREAM, signer(), Opening { node: String::new(), key: [0; 32], left: Vec::new() }, now());
    let closed = sealer.close(now());
    let notes = [sealer.checkpoint().note];
    let trusted = Trusted::of(notes.iter().map(String::as_str), &pinned());
    stored.headers = vec![header(&first), header(&closed)];
    stored.records.truncate(1);
    let verify = |stored: &Stored| {
        let found = verified(&Stored { last_place: 0, ..stored.clone() }, &trusted, now()).findings;
        found.into_iter().filter(|it| it.kind.is_failure()).map(|it| it.kind).collect::<Vec<_>>()
    };
    assert_eq!(verify(&stored), [Kind::Altered], "a record that was added");
    stored.records.clear();
    assert_eq!(verify(&stored), []);
    stored.headers.push(header(&sealer.close(now())));
    assert_eq!(verify(&stored), [Kind::Altered], "a header that was added");
}

#[test]
fn what_no_checkpoint_covers_and_who_is_silent_is_told() {
    let stored = history();
    let trusted = Trusted::of(stored.checkpoints.iter().take(3).map(String::as_str), &pinned());
    let outcome = verified(&stored, &trusted, now().plus(Span::seconds(181)));
    let kinds: Vec<(Kind, u64)> = outcome.findings.iter().map(|it| (it.kind, it.records)).collect();
    assert_eq!(kinds, [(Kind::NotCovered, 3), (Kind::Silent, 0)]);
    assert_eq!(outcome.covered, 4);
}
