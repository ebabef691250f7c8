//! Commits that are refused, and leave nothing behind.

use magistrate_model::{Change, EntityData, Revision};
use magistrate_pap::{Changes, CommitError};
use magistrate_pdp::PolicySource;

use super::sample::{authorship, role_grant, scope_grant, uid};
use super::{StoreUnderTest, commit};

async fn refused<S: StoreUnderTest>(subject: &S, changes: &[Change], word: &str) {
    let before = subject.store().load().await.unwrap();
    let error = commit(subject, changes).await.unwrap_err();
    assert!(matches!(&error, CommitError::Refused(why) if why.contains(word)), "{error:?} should name {word}");
    assert_eq!(subject.store().load().await.unwrap(), before);
    assert_eq!(subject.store().log(before.head.revision, 9).await.unwrap(), []);
}

/// Nothing is not a change.
pub async fn an_empty_commit_is_refused<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let error = subject.store().commit(Revision::ZERO, &[], &authorship()).await;
    assert!(matches!(error, Err(CommitError::Refused(_))), "{error:?}");
    assert_eq!(subject.store().standing().await.unwrap().head.revision, Revision::ZERO);
}

/// Role and scope grants share one namespace of ids.
pub async fn a_grant_id_that_exists_is_refused<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let role = || Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", None));
    let scope = || Change::AddGrant(scope_grant("g1", "User::ana", "orders:read"));
    refused(&subject, &[role(), scope()], "g1").await;
    commit(&subject, &[role()]).await.unwrap();
    refused(&subject, &[role()], "g1").await;
    refused(&subject, &[scope()], "g1").await;
}

/// Ending names the thing that is not there.
pub async fn what_does_not_exist_cannot_be_ended<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    commit(&subject, &[Change::PutEntity(EntityData::bare(uid("User::ana")))]).await.unwrap();
    refused(&subject, &[Change::DeleteEntity(uid("User::Ana"))], "User::\"Ana\"").await;
    refused(&subject, &[Change::DeleteScope("orders:read".parse().unwrap())], "orders:read").await;
    refused(&subject, &[Change::RevokeGrant("g1".parse().unwrap())], "g1").await;
    let twice = [Change::DeleteEntity(uid("User::ana")), Change::DeleteEntity(uid("User::ana"))];
    refused(&subject, &twice, "User::\"ana\"").await;
}

/// All changes are made, or none.
pub async fn one_refused_change_refuses_the_commit<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let changes = [
        Change::PutEntity(EntityData::bare(uid("User::ana"))),
        Change::AddGrant(role_grant("g1", "User::ana", "Role::editor", None)),
        Change::RevokeGrant("g2".parse().unwrap()),
    ];
    refused(&subject, &changes, "g2").await;
}
