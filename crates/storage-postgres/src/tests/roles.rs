use sqlx::{Connection, PgConnection};

use super::setup::Installed;
use crate::scram::keys;
use crate::{HardeningLevel, InvalidPassword, Role, RolePrefix, Verifier, roles_sql};

#[test]
fn prefix_is_a_plain_name() {
    for good in ["magistrate", "a", "_x9", "team_one", &"a".repeat(40)] {
        assert_eq!(RolePrefix::new(good).unwrap().name_of(Role::App), format!("{good}_app"));
    }
    for bad in ["", "9a", "A", "a-b", "a b", "a\"b", "a;b", "pg_x", "é", &"a".repeat(41)] {
        assert!(RolePrefix::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn printed_roles_have_the_prefix() {
    let sql = roles_sql(&RolePrefix::new("acme").unwrap());
    for role in ["owner", "app", "admin", "auditor", "retention"] {
        assert!(sql.contains(&format!("CREATE ROLE \"acme_{role}\" NOLOGIN;")), "{sql}");
    }
    assert!(!sql.contains('{'), "{sql}");
}

/// The exchange of RFC 7677, section 3: both proofs follow from the keys.
#[test]
fn keys_are_those_of_the_rfc() {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::{Digest as _, Sha256};
    let decoded = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let (stored, server) = keys(b"pencil", &decoded("W22ZaJ0SNY7soEsUEjb6gQ=="));
    let said = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let signed = |key: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(said.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    assert_eq!(signed(&server), decoded("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    let proof = decoded("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let client: Vec<u8> = signed(&stored).iter().zip(proof).map(|(one, other)| one ^ other).collect();
    assert_eq!(Sha256::digest(client).as_slice(), stored);
}

#[test]
fn passwords_that_clients_may_send_differently_are_refused() {
    let verifier = |password: &str| Verifier::new(password, [0; 16]);
    assert_eq!(verifier(""), Err(InvalidPassword::Empty));
    assert_eq!(verifier(&"x".repeat(513)), Err(InvalidPassword::TooLong));
    for bad in ["pässword", "a\tb", "a\nb", "\u{a0}", "\u{7f}"] {
        assert_eq!(verifier(bad), Err(InvalidPassword::NotAscii), "{bad:?}");
    }
    let verifier = verifier("secret ~!'\"$").unwrap();
    assert!(verifier.as_str().starts_with("SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$"));
    assert_eq!(format!("{verifier:?}"), "Verifier(..)");
}

#[tokio::test]
async fn roles_log_in_with_their_passwords_and_the_owner_does_not() {
    let installed = Installed::at(HardeningLevel::Standard).await;
    for role in [Role::App, Role::Admin, Role::Auditor] {
        PgConnection::connect(&installed.login(role)).await.unwrap();
        let wrong = installed.created.login(&installed.prefix.name_of(role), "open Sesame! 2");
        assert!(PgConnection::connect(&wrong).await.is_err());
    }
    assert!(PgConnection::connect(&installed.login(Role::Owner)).await.is_err());
}
