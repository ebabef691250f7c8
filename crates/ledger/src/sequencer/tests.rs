//! A log that is gone on with is the one that was signed, or it is not gone on with.

use super::*;
use crate::act::{Act, ActId, ActRecord};
use crate::{Opening, Sealer};

const LOG: LogId = LogId::new([8; 16]);

fn now() -> Instant {
    Instant::from_micros(1_780_315_200_000_000).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::new("node-1", &[1; 32])
}

fn act(number: u64) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let act = Act::Access { verb: "search".to_owned(), query: String::new(), records: 1 };
    Entry::Act(ActRecord { id: ActId(id), at: now(), actor: "os/mia".parse().unwrap(), act }.seal().unwrap())
}

/// A log of so many acts, as a store has it: what a sequencer appended, in batches.
fn logged(size: u64) -> (Sequencer, BTreeMap<(u32, u64), Digest>) {
    let mut sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
    let mut stored = BTreeMap::new();
    while sequencer.size() < size {
        let end = size.min(sequencer.size() + 100);
        let batch = sequencer.batch((sequencer.size()..end).map(act).collect());
        stored.extend((batch.first..).zip(&batch.entries).map(|(place, entry)| ((0, place), entry.leaf())));
        stored.extend(batch.roots.iter().map(|(group, root)| ((group.level, group.index), *root)));
        sequencer.appended(batch);
    }
    (sequencer, stored)
}

fn resumed(size: u64, stored: &BTreeMap<(u32, u64), Digest>, known: &[Checkpoint]) -> Result<Tree, NotResumed> {
    let read = |run: Run| {
        (run.first..run.first + run.count).filter_map(|at| stored.get(&(run.level, at)).copied()).collect::<Vec<_>>()
    };
    let stored = runs_of(size, known).into_iter().map(|run| (run, read(run))).collect();
    resume(size, &stored, known)
}

fn checkpoint(size: u64) -> Checkpoint {
    let (sequencer, _) = logged(size);
    sequencer.checkpoint(&signer(), now(), true).unwrap().checkpoint
}

#[test]
fn log_is_gone_on_with_where_it_was_left() {
    for size in [0, 1, 255, 256, 257, 700, 1_024] {
        let (sequencer, stored) = logged(size);
        let known: Vec<Checkpoint> = [1, 200, 256, 600].into_iter().filter(|it| *it <= size).map(checkpoint).collect();
        assert_eq!(resumed(size, &stored, &known), Ok(sequencer.tree), "{size}");
    }
}

#[test]
fn log_that_went_back_or_is_another_is_not_gone_on_with() {
    let (_, stored) = logged(700);
    assert_eq!(resumed(599, &stored, &[checkpoint(600)]), Err(NotResumed::Shorter { covered: 600, found: 599 }));
    let other = Checkpoint { root: Digest::ZERO, ..checkpoint(600) };
    assert_eq!(resumed(700, &stored, &[checkpoint(600), other]), Err(NotResumed::Other(600)));
    let mut without = stored.clone();
    without.remove(&(8, 1));
    assert_eq!(resumed(700, &without, &[]), Err(NotResumed::Incomplete(700)));
    // Somebody put other groups, or other leaves, in the place of those that were signed.
    for place in [(8, 0), (8, 1), (0, 512), (0, 599)] {
        let mut changed = stored.clone();
        changed.insert(place, Digest::new([9; 32]));
        assert_eq!(resumed(700, &changed, &[checkpoint(600)]), Err(NotResumed::Other(600)), "{place:?}");
    }
}

/// A large tree is computed from higher groups than a checkpoint of its beginning: they must be of one tree.
#[test]
fn groups_of_several_heights_must_be_of_one_tree() {
    let (sequencer, stored) = logged(65_540);
    assert_eq!(resumed(65_540, &stored, &[checkpoint(300)]), Ok(sequencer.tree));
    let mut changed = stored;
    changed.insert((16, 0), Digest::ZERO);
    assert_eq!(resumed(65_540, &changed, &[checkpoint(300)]), Err(NotResumed::Other(300)));
}

#[test]
fn headers_go_into_the_log_in_the_order_of_their_stream() {
    let opening = Opening { node: "n".to_owned(), key: [9; 32], left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(StreamId::new([7; 16]), signer(), opening, now());
    let second = sealer.seal(now().plus(Span::seconds(60))).unwrap();
    let third = sealer.close(now());
    let mut sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
    assert_eq!((sequencer.follows(&first), sequencer.follows(&second)), (Some(true), None));
    sequencer.expect(&first);
    assert_eq!((sequencer.follows(&second), sequencer.follows(&third)), (Some(true), Some(false)));
    assert_eq!(sequencer.follows(&first), Some(false), "it is there already");
    let mut forged = second.header.clone();
    forged.previous = Digest::ZERO;
    assert_eq!(sequencer.follows(&forged.seal()), Some(false), "another history of the stream");
    let mut forged = second.header.clone();
    forged.number = 3;
    assert_eq!(sequencer.follows(&forged.seal()), Some(false), "another number");
    sequencer.know(StreamId::new([7; 16]), 2, second.hash);
    assert_eq!(sequencer.follows(&third), Some(true));
    sequencer.expect(&third);
    assert!(sequencer.heads.is_empty(), "nothing follows a last word");
}

#[test]
fn changes_are_dense_by_revision_and_chained() {
    let change = |revision| LoggedChange {
        revision: Revision::new(revision),
        ordinal: 0,
        kind: "entity.put".to_owned(),
        key: "k".to_owned(),
        before: None,
        after: None,
        authorship: magistrate_model::Authorship {
            actor: "a".parse().unwrap(),
            reason: "r".parse().unwrap(),
            at: now(),
        },
    };
    let mut sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
    let log = [change(1), change(1), change(2), change(4)];
    let records = sequencer.changes(&log);
    let revisions: Vec<u64> = records.iter().map(|it| it.record.revision.number()).collect();
    assert_eq!(revisions, [1, 2], "not past a revision that is not there");
    assert_eq!(records[1].record.previous, records[0].record.lineage);
    let batch = sequencer.batch(records.into_iter().map(Entry::Change).collect());
    sequencer.appended(batch);
    assert_eq!((sequencer.revision(), sequencer.size()), (Revision::new(2), 2));
    assert_eq!(sequencer.changes(&log), [], "they begin with another one than the next");
    let Some(last) = sequencer.changes(&[change(3)]).pop() else { panic!("it is the next one") };
    assert_eq!(last.record.lineage, crate::lineage::of(&[change(1), change(1), change(2), change(3)]));
}

#[test]
fn checkpoint_is_signed_when_it_is_due() {
    let (mut sequencer, _) = logged(3);
    let first = sequencer.checkpoint(&signer(), now(), false).unwrap();
    assert_eq!((first.checkpoint.size, &first.checkpoint.origin), (3, &LOG.origin()));
    sequencer.kept(&first, now());
    assert_eq!(sequencer.checkpoint(&signer(), now().plus(Span::seconds(60)), true), None, "it did not grow");
    let batch = sequencer.batch(vec![act(3)]);
    sequencer.appended(batch);
    assert_eq!(sequencer.checkpoint(&signer(), now().plus(Span::seconds(9)), false), None);
    assert!(sequencer.checkpoint(&signer(), now().plus(Span::seconds(10)), false).is_some());
    assert!(sequencer.checkpoint(&signer(), now(), true).is_some());
    let batch = sequencer.batch((4..4_100).map(act).collect());
    sequencer.appended(batch);
    assert!(sequencer.checkpoint(&signer(), now(), false).is_some(), "4,096 entries");
}
