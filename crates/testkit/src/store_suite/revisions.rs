//! Revisions, concurrency and lineage.

use magistrate_model::{Change, EntityData, EntityUid, Revision};
use magistrate_pap::{Changes, CommitError, Records};
use magistrate_pdp::{PastStates, PolicySource};

use super::sample::{authorship, uid};
use super::{StoreUnderTest, commit};

fn put(name: &str) -> Change {
    Change::PutEntity(EntityData::bare(uid(name)))
}

/// Revisions count from 1 without gaps, refused commits included.
pub async fn revisions_are_dense_and_in_commit_order<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    assert_eq!(subject.store().standing().await.unwrap().head.revision, Revision::ZERO);
    for number in 1..=5 {
        let gone = [Change::DeleteEntity(uid("User::nobody"))];
        commit(&subject, &gone).await.unwrap_err();
        let committed = commit(&subject, &[put("User::ana")]).await.unwrap();
        assert_eq!(committed, Revision::new(number));
        assert_eq!(subject.store().standing().await.unwrap().head.revision, committed);
    }
    let log = subject.store().log(Revision::new(2), 10).await.unwrap();
    let revisions: Vec<u64> = log.iter().map(|change| change.revision.number()).collect();
    assert_eq!(revisions, [3, 4, 5]);
}

/// A commit for another revision than the newest says so and leaves no trace.
pub async fn a_stale_base_is_refused_and_changes_nothing<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    commit(&subject, &[put("User::ana")]).await.unwrap();
    let before = subject.store().load().await.unwrap();
    for base in [Revision::ZERO, Revision::new(2), Revision::new(u64::MAX - 1)] {
        let refused = subject.store().commit(base, &[put("User::bob")], &authorship()).await;
        let moved = CommitError::Moved { expected: base, found: Revision::new(1) };
        assert_eq!(refused, Err(moved));
    }
    assert_eq!(subject.store().load().await.unwrap(), before);
}

/// Two commits for one revision at once: exactly one is made.
pub async fn of_two_concurrent_committers_one_wins<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (one, other) = (subject.store().clone(), subject.store().clone());
    let (ana, bob, why) = ([put("User::ana")], [put("User::bob")], authorship());
    for round in 0..10 {
        let base = Revision::new(round);
        let (one, other) = tokio::join!(one.commit(base, &ana, &why), other.commit(base, &bob, &why));
        let moved = Err(CommitError::Moved { expected: base, found: base.next() });
        let expected = [(Ok(base.next()), moved.clone()), (moved, Ok(base.next()))];
        assert!(expected.contains(&(one.clone(), other.clone())), "{one:?} {other:?}");
    }
}

/// One revision reached by different changes has different lineages.
pub async fn lineage_tells_different_histories_apart<S: StoreUnderTest>() {
    let (one, other) = (S::fresh().await, S::fresh().await);
    let mut seen = vec![one.store().standing().await.unwrap().head.lineage];
    commit(&one, &[put("User::ana")]).await.unwrap();
    commit(&other, &[put("User::bob")]).await.unwrap();
    for subject in [&one, &other] {
        seen.push(subject.store().standing().await.unwrap().head.lineage);
        commit(subject, &[put("User::eve")]).await.unwrap();
        seen.push(subject.store().standing().await.unwrap().head.lineage);
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
}

/// Two stores with one history have one lineage.
pub async fn lineage_is_equal_after_equal_histories<S: StoreUnderTest>() {
    let (one, other) = (S::fresh().await, S::fresh().await);
    for subject in [&one, &other] {
        commit(subject, &[put("User::ana"), put("User::bob")]).await.unwrap();
        commit(subject, &[Change::DeleteEntity(uid("User::ana"))]).await.unwrap();
    }
    let head = one.store().standing().await.unwrap().head;
    assert_eq!(head, other.store().standing().await.unwrap().head);
    assert_eq!(one.store().load_at(head.revision).await.unwrap().unwrap().head, head);
}

/// Each commit renames every entity; no load ever sees two names.
pub async fn load_is_of_one_revision_while_others_commit<S: StoreUnderTest>() {
    const ENTITIES: usize = 20;
    const ROUNDS: u64 = 20;
    let subject = S::fresh().await;
    let (writer, reader) = (subject.store().clone(), subject.store().clone());
    let writing = async {
        for round in 0..ROUNDS {
            let changes: Vec<Change> = (0..ENTITIES).flat_map(|n| renamed(n, round)).collect();
            writer.commit(Revision::new(round), &changes, &authorship()).await.unwrap();
        }
    };
    let reading = async {
        let mut seen = Revision::ZERO;
        while seen.number() < ROUNDS {
            let dataset = reader.load().await.unwrap();
            seen = dataset.head.revision;
            let uids: Vec<&EntityUid> = dataset.entities.iter().map(|entity| &entity.uid).collect();
            let named = |uid: &&EntityUid| uid.type_name().as_str() == format!("T{seen}");
            let expected = if seen == Revision::ZERO { 0 } else { ENTITIES };
            assert_eq!((uids.len(), uids.iter().filter(|uid| named(uid)).count()), (expected, expected));
            reader.base().await.unwrap();
        }
    };
    tokio::join!(writing, reading);
}

fn renamed(number: usize, round: u64) -> Vec<Change> {
    let put = put(&format!("T{}::e{number}", round + 1));
    match round {
        0 => vec![put],
        _ => vec![Change::DeleteEntity(uid(&format!("T{round}::e{number}"))), put],
    }
}
