//! Keys that are in force are known, and nothing else is.

use data_encoding::BASE32_NOPAD;
use magistrate_model::{Instant, Span};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::{ApiKey, InvalidKey, KeyKind, KeyRing, RANDOM_BYTES, Secret, Unauthenticated};

fn at(seconds: i64) -> Instant {
    Instant::EPOCH.plus(Span::seconds(seconds))
}

fn secret(kind: KeyKind, byte: u8) -> Secret {
    Secret::of_random(kind, &[byte; RANDOM_BYTES]).unwrap()
}

fn kept(secret: &Secret) -> ApiKey {
    ApiKey {
        id: secret.id().clone(),
        caller: "gateway".into(),
        kind: secret.kind(),
        hash: secret.hash(),
        created_at: at(0),
        expires_at: at(100),
        revoked_at: None,
    }
}

#[test]
fn key_is_known_from_its_begin_to_its_end() {
    let secret = secret(KeyKind::Check, 7);
    let ring = KeyRing::of([kept(&secret)]);
    let caller = ring.authenticate(&secret.reveal(), at(99)).unwrap();
    assert_eq!((&caller.key, caller.caller.as_str(), caller.kind), (secret.id(), "gateway", KeyKind::Check));
    assert_eq!(ring.authenticate(&secret.reveal(), at(100)), Err(Unauthenticated::Ended));
}

/// Revoked is revoked, whatever the clock of whoever revoked it said.
#[test]
fn revoked_key_is_ended_at_once() {
    let secret = secret(KeyKind::Check, 7);
    for revoked_at in [at(0), at(50), at(1_000_000)] {
        let ring = KeyRing::of([ApiKey { revoked_at: Some(revoked_at), ..kept(&secret) }]);
        for now in [at(0), at(50), at(99)] {
            assert_eq!(ring.authenticate(&secret.reveal(), now), Err(Unauthenticated::Ended), "{revoked_at} {now}");
        }
    }
}

#[test]
fn other_secret_with_the_same_id_is_not_known() {
    let (mine, ring) = (secret(KeyKind::Check, 7), KeyRing::of([kept(&secret(KeyKind::Check, 7))]));
    let mut random = [7; RANDOM_BYTES];
    random[41] = 8;
    let other = Secret::of_random(KeyKind::Check, &random).unwrap();
    assert_eq!(other.id(), mine.id());
    assert_eq!(ring.authenticate(&other.reveal(), at(1)), Err(Unauthenticated::Unknown));
    let raised = Secret::of_random(KeyKind::Admin, &[7; RANDOM_BYTES]).unwrap();
    assert_eq!(ring.authenticate(&raised.reveal(), at(1)), Err(Unauthenticated::Unknown), "a kind is no claim");
    assert_eq!(KeyRing::default().authenticate(&mine.reveal(), at(1)), Err(Unauthenticated::Unknown));
    assert_eq!(ring.authenticate("", at(1)), Err(Unauthenticated::Unreadable));
}

#[test]
fn text_is_what_scanners_look_for_and_debug_tells_no_secret() {
    let secret = secret(KeyKind::Audit, 200);
    let text = secret.reveal();
    let lengths: Vec<usize> = text.split('_').map(str::len).collect();
    assert_eq!(lengths, [3, 5, 16, 52, 7]);
    let hidden = text.split('_').nth(3).unwrap();
    for told in [format!("{secret:?}"), format!("{:?}", secret.hash()), format!("{:?}", kept(&secret))] {
        assert!(!told.contains(hidden) && !told.contains("200"), "{told}");
    }
}

/// With the checksum of what is written, too: one key has one text, which can be searched for and compared.
#[test]
fn other_spelling_of_a_key_is_none() {
    let text = secret(KeyKind::Check, 200).reveal();
    let (body, check) = text.rsplit_once('_').unwrap();
    let checked = |body: &str| {
        let hash = Sha256::digest(body);
        format!("{body}_{}", BASE32_NOPAD.encode(&hash[..4]).to_ascii_lowercase())
    };
    assert_eq!(checked(body), text);
    let [tag, kind, id, bytes] = body.split('_').collect::<Vec<_>>()[..] else { panic!("{body}") };
    for other in [
        format!("{tag}_{kind}_{id}_{}", bytes.to_ascii_uppercase()),
        format!("{tag}_{kind}_{}_{bytes}", id.to_ascii_uppercase()),
        format!("{tag}_CHECK_{id}_{bytes}"),
        format!("MAG_{kind}_{id}_{bytes}"),
        format!("{tag}_{kind}_{id}_{bytes}===="),
        format!("{tag}_{kind}_{id}_{bytes}_"),
        format!("{tag}_{kind}_{id}_{}b", bytes.split_at(51).0),
        format!("{tag}_{kind}_{id}"),
    ] {
        assert!(Secret::parse(&checked(&other)).is_err(), "{other}");
    }
    assert!(Secret::parse(&format!("{body}_{}", check.to_ascii_uppercase())).is_err());
    assert!(Secret::parse(&format!(" {text}")).is_err() && Secret::parse(&format!("{text}\n")).is_err());
}

#[test]
fn key_without_a_name_or_an_end_is_not_made() {
    let key = || kept(&secret(KeyKind::Check, 1));
    assert!(key().checked().is_ok());
    for name in ["", "  ", "a\nb", &"x".repeat(129)] {
        assert_eq!(ApiKey { caller: name.to_owned(), ..key() }.checked(), Err(InvalidKey::Name));
    }
    for seconds in [0, -1, 367 * 86_400] {
        let checked = ApiKey { expires_at: at(seconds), ..key() }.checked();
        assert!(matches!(checked, Err(InvalidKey::Term { .. })), "{seconds}");
    }
}

proptest! {
    #[test]
    fn text_is_read_back_and_no_other_is(random in any::<[u8; 32]>(), place in 0_usize..86, other in "[a-z2-7_A-Z]") {
        let mut bytes = [3; RANDOM_BYTES];
        bytes[..32].copy_from_slice(&random);
        for kind in KeyKind::ALL {
            let secret = Secret::of_random(kind, &bytes).unwrap();
            let text = secret.reveal();
            prop_assert_eq!(Secret::parse(&text).unwrap(), secret);
            let mut changed = text.clone();
            let place = place % text.len();
            changed.replace_range(place..=place, &other);
            prop_assert_eq!(Secret::parse(&changed).is_ok(), changed == text, "{}", changed);
        }
    }
}
