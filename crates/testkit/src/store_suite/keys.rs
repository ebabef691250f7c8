//! API keys: kept for ever, revoked once, and no part of the revisions.

use magistrate_identity::{ApiKey, KeyKind, ListedKey, RANDOM_BYTES, Secret};
use magistrate_model::{Authorship, Instant, KeyId, Span};
use magistrate_pap::Keys;
use magistrate_pdp::PolicySource;

use super::StoreUnderTest;
use crate::instant;

/// A key made of a number, at an instant.
fn key(number: u8, kind: KeyKind, caller: &str, created_at: Instant) -> ApiKey {
    let secret = Secret::of_random(kind, &[number; RANDOM_BYTES]).unwrap();
    ApiKey {
        id: secret.id().clone(),
        caller: caller.to_owned(),
        kind,
        hash: secret.hash(),
        created_at,
        expires_at: created_at.plus(Span::from_micros(90 * 86_400_000_000 + 1)),
        revoked_at: None,
    }
}

fn by(actor: &str, reason: &str, at: Instant) -> Authorship {
    Authorship { actor: actor.parse().unwrap(), reason: reason.parse().unwrap(), at }
}

fn start() -> Instant {
    instant("2026-03-01T00:00:00.000001Z")
}

fn listed(key: &ApiKey, created: &Authorship, revoked: Option<&Authorship>) -> ListedKey {
    ListedKey {
        id: key.id.clone(),
        caller: key.caller.clone(),
        kind: key.kind,
        created: created.clone(),
        expires_at: key.expires_at,
        revoked: revoked.cloned(),
    }
}

/// Every kind, and names that are no plain words.
pub async fn a_key_is_read_back_exactly<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    assert_eq!(subject.store().keys().await.unwrap(), []);
    let names = ["payments-gateway", "\"quoted\" it's \\ {admin} $1", &"\u{e9}".repeat(64)];
    let created = by("o'neil", "na\u{ef}ve; DROP TABLE api_key", start());
    let keys: Vec<ApiKey> =
        (1..).zip(KeyKind::ALL).zip(names).map(|((n, kind), name)| key(n, kind, name, start())).collect();
    for key in &keys {
        subject.store().issue_key(key, &created).await.unwrap();
    }
    let mut found = subject.store().keys().await.unwrap();
    found.sort_by_key(|key| key.kind);
    assert_eq!(found, keys);
    let mut told = subject.store().listed_keys().await.unwrap();
    told.sort_by_key(|key| key.kind);
    assert_eq!(told, keys.iter().map(|key| listed(key, &created, None)).collect::<Vec<_>>());
}

/// By creation, then by id.
pub async fn keys_are_told_oldest_first<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let at = |number: u8, seconds: i64| key(number, KeyKind::Check, "c", start().plus(Span::seconds(seconds)));
    let [newest, second, first, oldest] = [at(1, 9), at(200, 5), at(7, 5), at(9, 1)];
    for key in [&newest, &second, &first, &oldest] {
        subject.store().issue_key(key, &by("a", "r", key.created_at)).await.unwrap();
    }
    let expected = [&oldest.id, &first.id, &second.id, &newest.id];
    let keys = subject.store().keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| &key.id).collect::<Vec<_>>(), expected);
    let told = subject.store().listed_keys().await.unwrap();
    assert_eq!(told.iter().map(|key| &key.id).collect::<Vec<_>>(), expected);
}

/// The first revocation stays, and another key is not touched.
pub async fn a_key_is_revoked_once<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (one, other) = (key(1, KeyKind::Check, "one", start()), key(2, KeyKind::Check, "other", start()));
    let created = by("ana", "made", start());
    for key in [&one, &other] {
        subject.store().issue_key(key, &created).await.unwrap();
    }
    let unknown: KeyId = "unknownunknownun".parse().unwrap();
    let first = by("bob", "leaked", start().plus(Span::hours(1)));
    let second = by("eve", "again", start().plus(Span::hours(2)));
    assert_eq!(subject.store().revoke_key(&unknown, &first).await, Ok(false));
    assert_eq!(subject.store().revoke_key(&one.id, &first).await, Ok(true));
    assert_eq!(subject.store().revoke_key(&one.id, &second).await, Ok(false));
    let keys = subject.store().keys().await.unwrap();
    let found = |id: &KeyId| keys.iter().find(|key| key.id == *id).unwrap();
    assert_eq!(*found(&one.id), ApiKey { revoked_at: Some(first.at), ..one.clone() });
    assert!(!found(&one.id).is_in_force(start()));
    assert_eq!(*found(&other.id), other);
    let told = subject.store().listed_keys().await.unwrap();
    assert!(told.contains(&listed(&one, &created, Some(&first))), "{told:?}");
    assert!(told.contains(&listed(&other, &created, None)), "{told:?}");
}

/// Neither another secret under an id, nor another id for a secret.
pub async fn an_id_and_a_hash_are_of_one_key<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (one, other) = (key(1, KeyKind::Check, "one", start()), key(2, KeyKind::Check, "other", start()));
    let created = by("ana", "made", start());
    subject.store().issue_key(&one, &created).await.unwrap();
    for taken in [ApiKey { id: one.id.clone(), ..other.clone() }, ApiKey { hash: one.hash, ..other.clone() }] {
        assert!(subject.store().issue_key(&taken, &created).await.is_err(), "{taken:?}");
    }
    assert!(subject.store().revoke_key(&one.id, &created).await.unwrap());
    let again = ApiKey { expires_at: one.expires_at.plus(Span::hours(1)), ..one.clone() };
    assert!(subject.store().issue_key(&again, &created).await.is_err(), "a revoked key does not come back");
    let kept = subject.store().keys().await.unwrap();
    assert_eq!(kept, [ApiKey { revoked_at: Some(created.at), ..one }]);
}

/// Whoever follows the policies is not woken by keys, and loads the same without them.
pub async fn keys_are_no_revision<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let (head, loaded) = (subject.store().standing().await.unwrap().head, subject.store().load().await.unwrap());
    let one = key(1, KeyKind::Check, "one", start());
    subject.store().issue_key(&one, &by("ana", "made", start())).await.unwrap();
    subject.store().revoke_key(&one.id, &by("ana", "over", start())).await.unwrap();
    assert_eq!(subject.store().standing().await.unwrap().head, head);
    assert_eq!(subject.store().load().await.unwrap(), loaded);
}
