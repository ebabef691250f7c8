//! Everything that can be done to the log and to what it is over, and what is said of it.

use magistrate_model::{Authorship, Instant, Span};

use super::*;
use crate::act::{Act, ActId, ActRecord};
use crate::note::{Checkpoint, NoteSigner};
use crate::verify::{Asked, Enrolled, HeaderChain};
use crate::{ChangeRecord, Opening, SealedHeader, Sealer, Sequencer, StoredHeader};

const LOG: LogId = LogId::new([8; 16]);
const STREAM: StreamId = StreamId::new([7; 16]);

fn now() -> Instant {
    Instant::from_micros(1_780_315_200_000_000).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::new("node-1", &[1; 32])
}

/// A log of three headers, three revisions and three hundred acts, as a store keeps it, with a checkpoint over all but two
/// acts.
#[derive(Clone)]
struct Stored {
    entries: Vec<StoredEntry>,
    headers: Vec<SealedHeader>,
    changes: Vec<LoggedChange>,
    acts: Vec<StoredAct>,
    roots: BTreeMap<Subtree, Digest>,
    checkpoints: Vec<String>,
}

fn change(revision: u64, key: &str) -> LoggedChange {
    let authorship = Authorship { actor: "a".parse().unwrap(), reason: "r".parse().unwrap(), at: now() };
    let (kind, key) = ("entity.put".to_owned(), key.to_owned());
    LoggedChange { revision: Revision::new(revision), ordinal: 0, kind, key, before: None, after: None, authorship }
}

fn act(number: u64) -> StoredAct {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let act = Act::Access { verb: "search".to_owned(), query: String::new(), records: 1 };
    stored_act(number, ActRecord { id: ActId(id), at: now(), actor: "os/mia".parse().unwrap(), act })
}

fn stored_act(place: u64, record: ActRecord) -> StoredAct {
    let (id, kind) = (record.id.0.to_vec(), record.act.kind().to_owned());
    let sealed = record.seal().unwrap();
    let leaf = sealed.leaf.as_bytes().to_vec();
    StoredAct { place: i64::try_from(place).unwrap(), id, kind, leaf, body: sealed.bytes }
}

fn headers(node: &str) -> Vec<SealedHeader> {
    let opening = Opening { node: node.to_owned(), key: signer().verifier().key(), left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(STREAM, signer(), opening, now());
    let second = sealer.seal(now().plus(Span::seconds(60))).unwrap();
    vec![first, second, sealer.close(now())]
}

fn history() -> Stored {
    let headers = headers("node-1");
    let changes: Vec<LoggedChange> = (1..=3).map(|revision| change(revision, "k")).collect();
    let acts: Vec<StoredAct> = (1..=300).map(act).collect();
    let mut sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
    let mut entries: Vec<Entry> = headers.iter().cloned().map(Entry::Header).collect();
    entries.extend(sequencer.changes(&changes).into_iter().map(Entry::Change));
    entries.extend(acts.iter().map(|row| Entry::Act(row.decode().unwrap())));
    let mut checkpoints = Vec::new();
    let (mut rows, mut roots) = (Vec::new(), BTreeMap::new());
    for part in [&entries[..100], &entries[100..304], &entries[304..]] {
        let batch = sequencer.batch(part.to_vec());
        roots.extend(batch.roots.iter().copied());
        rows.extend((batch.first..).zip(part).map(|(place, entry)| row(place, entry)));
        sequencer.appended(batch);
        checkpoints.push(sequencer.checkpoint(&signer(), now(), true).unwrap().note);
    }
    checkpoints.pop();
    Stored { entries: rows, headers, changes, acts, roots, checkpoints }
}

fn row(place: u64, entry: &Entry) -> StoredEntry {
    StoredEntry {
        index: i64::try_from(place).unwrap(),
        kind: entry.kind().to_owned(),
        reference: entry.reference(),
        leaf: entry.leaf().as_bytes().to_vec(),
        body: entry.bytes().to_vec(),
    }
}

fn verified(stored: &Stored, seen: &[String]) -> VerifiedLog {
    let notes = stored.checkpoints.iter().chain(seen).map(String::as_str);
    let trusted = Trusted::of(notes, &[signer().verifier()]);
    let mut verifier = LogVerifier::new(LOG, &trusted);
    stored.entries.iter().for_each(|row| verifier.entry(row));
    verifier.entries_end();
    for group in verifier.groups() {
        verifier.root(group, stored.roots.get(&group).copied());
    }
    stored.acts.iter().for_each(|row| verifier.act(row));
    if !stored.headers.is_empty() {
        let known = usize::try_from(verifier.logged(STREAM)).unwrap();
        let first = stored.headers.get(..known).map(|first| first.iter().map(|it| it.hash).collect::<Tree>().root());
        verifier.headers(STREAM, stored.headers.len() as u64, first);
    }
    verifier.changes(&stored.changes);
    verifier.finish()
}

/// Does something to a history, and expects what is said of it first; the notes of before were seen elsewhere.
#[track_caller]
fn check(what: &str, change: impl FnOnce(&mut Stored), kind: Kind, at: &str) {
    let mut stored = history();
    let seen = stored.checkpoints.clone();
    change(&mut stored);
    let found = verified(&stored, &seen).findings;
    let first = found.iter().find(|it| it.kind.is_failure()).unwrap_or_else(|| panic!("{what}: nothing was found"));
    assert_eq!((first.kind, first.at.contains(at)), (kind, true), "{what}: {first}");
}

#[test]
fn what_nobody_touched_is_whole_but_for_what_is_not_covered() {
    let verified = verified(&history(), &[]);
    assert_eq!((verified.entries, verified.covered), (306, 304));
    let told: Vec<(Kind, u64)> = verified.findings.iter().map(|it| (it.kind, it.records)).collect();
    assert_eq!(told, [(Kind::NotCovered, 2)]);
}

#[test]
fn what_was_done_to_entries_is_told() {
    check("edit", |it| it.entries[7].body[30] ^= 1, Kind::Altered, "entry 7");
    check("edit a leaf", |it| it.entries[7].leaf[0] ^= 1, Kind::Altered, "entry 7");
    check("edit a reference", |it| it.entries[7].reference.push('x'), Kind::Altered, "entry 7");
    check("delete", |it| drop(it.entries.remove(7)), Kind::Missing, "entry 7");
    check("delete behind the checkpoint", |it| drop(it.entries.remove(304)), Kind::Missing, "entry 304");
    check("take the newest away", |it| it.entries.truncate(200), Kind::RolledBack, "magistrate/log");
    let with_notes = |it: &mut Stored| {
        it.entries.truncate(50);
        it.checkpoints.clear();
    };
    check("with the checkpoints", with_notes, Kind::RolledBack, "magistrate/log");
    let swap = |it: &mut Stored| {
        it.entries.swap(3, 4);
        (it.entries[3].index, it.entries[4].index) = (3, 4);
    };
    check("swap two revisions", swap, Kind::Reordered, "entry 3");
    let swap_headers = |it: &mut Stored| {
        it.entries.swap(0, 1);
        (it.entries[0].index, it.entries[1].index) = (0, 1);
    };
    check("swap two headers", swap_headers, Kind::Reordered, "entry 0");
    let another = |it: &mut Stored| {
        let Ok(Entry::Act(act)) = it.entries[20].decode() else { panic!("it is an act") };
        let mut record = act.record;
        record.actor = "os/bob".parse().unwrap();
        it.entries[20] = row(20, &Entry::Act(record.seal().unwrap()));
    };
    // Changes that are whole by themselves, and do not follow.
    let change_of = |previous, revision| Entry::Change(ChangeRecord::seal(previous, &[change(revision, "k")]).unwrap());
    let lineage = crate::lineage::of(&[change(1, "k")]);
    check("another lineage", |it| it.entries[4] = row(4, &change_of(Digest::ZERO, 2)), Kind::Reordered, "entry 4");
    check("another revision", |it| it.entries[4] = row(4, &change_of(lineage, 9)), Kind::Reordered, "entry 4");
    check("another entry that is whole", another, Kind::Forked, "magistrate/log");
    check(
        "a root that is another",
        |it| *it.roots.values_mut().next().unwrap() = Digest::ZERO,
        Kind::Altered,
        "group 0",
    );
    check("a root that is gone", |it| it.roots.clear(), Kind::Missing, "group 0");
}

#[test]
fn what_was_done_to_what_the_log_is_over_is_told() {
    check("other headers", |it| it.headers = headers("forged"), Kind::Altered, "the headers of");
    check("fewer headers", |it| it.headers.truncate(2), Kind::Missing, "the headers of");
    check("no headers", |it| it.headers.clear(), Kind::Missing, "the headers of");
    check("another change", |it| it.changes[1] = change(2, "forged"), Kind::Altered, "revision 2");
    check("a change more", |it| it.changes.insert(1, change(1, "more")), Kind::Altered, "revision 1");
    check("a revision that is gone", |it| drop(it.changes.remove(1)), Kind::Altered, "revision 2");
    check("the newest revision is gone", |it| it.changes.truncate(2), Kind::Missing, "revisions");
    check("an edited act", |it| it.acts[4].body[30] ^= 1, Kind::Altered, "act 5");
    check("an edited column", |it| it.acts[4].kind = "refusal".to_owned(), Kind::Altered, "act 5");
    check("another act", |it| it.acts[4] = StoredAct { place: 5, ..act(999) }, Kind::Altered, "act 5");
    check("an act that is gone", |it| drop(it.acts.remove(4)), Kind::Missing, "act 5");
    check("the newest act is gone", |it| it.acts.truncate(299), Kind::Missing, "acts");
}

/// What is there and not in the log is told, and is no failure.
#[test]
fn what_is_not_logged_yet_is_not_covered() {
    let mut stored = history();
    stored.changes.push(change(4, "k"));
    stored.acts.push(act(301));
    let told: Vec<(Kind, u64)> = verified(&stored, &[]).findings.iter().map(|it| (it.kind, it.records)).collect();
    assert_eq!(told, [(Kind::NotCovered, 2), (Kind::NotCovered, 2)]);
}

/// The sequencer told two histories: both notes are good, and together they are the proof.
#[test]
fn two_checkpoints_of_one_size_are_a_fork() {
    let other = signer().sign(&Checkpoint { origin: LOG.origin(), size: 304, root: Digest::ZERO });
    let stored = history();
    let notes = stored.checkpoints.iter().chain([&other]).map(String::as_str);
    let found = Trusted::of(notes, &[signer().verifier()]).findings;
    assert_eq!(found.iter().map(|it| it.kind).collect::<Vec<_>>(), [Kind::Forked]);
    check("first", |it| it.checkpoints = vec![other.clone()], Kind::Forked, "magistrate/log");
}

/// Whoever can write to the store can enrol a key. It is named, and nothing that it signs is believed.
#[test]
fn key_that_was_enrolled_and_not_pinned_is_named() {
    let enrolment = |place: u64, key: [u8; 32], revoked, seconds| {
        let act = Act::Enrolment { node: "node-1".to_owned(), key, revoked };
        let mut id = [0; 16];
        id[0] = u8::try_from(place).unwrap();
        let at = now().plus(Span::seconds(seconds));
        ActRecord { id: ActId(id), at, actor: "os/mia".parse().unwrap(), act }
    };
    let pinned = [signer().verifier()];
    let mut opened = HeaderChain::new(STREAM, &Trusted::of([].into_iter(), &[]), Asked::default());
    opened.take(&[stored_header(&headers("node-1")[0])]);
    let mut enrolled = Enrolled::default();
    assert_eq!(enrolled.stranger(STREAM, &opened).map(|it| it.kind), Some(Kind::NotEnrolled));
    enrolled.take(&enrolment(1, signer().verifier().key(), false, 5));
    assert_eq!((enrolled.not_pinned(&pinned), enrolled.stranger(STREAM, &opened)), (Vec::new(), None));
    enrolled.take(&enrolment(2, [9; 32], false, 6));
    let named = enrolled.not_pinned(&pinned);
    assert_eq!(named.iter().map(|it| it.kind).collect::<Vec<_>>(), [Kind::NotPinned]);
    assert!(named[0].why.contains("os/mia enrolled it"), "{}", named[0]);
    enrolled.take(&enrolment(3, [9; 32], true, 7));
    assert_eq!(enrolled.not_pinned(&pinned), Vec::new());
    enrolled.take(&enrolment(4, signer().verifier().key(), true, -1));
    let why = enrolled.stranger(STREAM, &opened).unwrap().why;
    assert!(why.contains("revoked"), "{why}");
}

fn stored_header(sealed: &SealedHeader) -> StoredHeader {
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
