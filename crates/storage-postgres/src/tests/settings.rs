//! Which URLs are taken, how safe the way to the server is by default, and that nothing shows a secret.

use crate::{Database, InvalidDatabase, OpenError, PostgresStore};
use sqlx::postgres::PgSslMode;

fn mode(url: &str) -> PgSslMode {
    Database::new(url).unwrap().options().get_ssl_mode()
}

#[test]
fn a_server_elsewhere_must_prove_who_it_is() {
    for url in [
        "postgres://u@db.example.org/m",
        "postgresql://u@db.example.org:5433/m?application_name=x",
        "postgres://u@10.0.0.7/m",
        "postgres://u@[2001:db8::1]/m",
        "postgres://u@localhost.example.org/m",
        "postgres://u@localhost/m?host=db.example.org",
        "postgres://u@127.0.0.1.example.org/m",
    ] {
        assert!(matches!(mode(url), PgSslMode::VerifyFull), "{url}");
        assert_eq!(Database::new(url).unwrap().weaknesses(), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn a_server_on_this_machine_need_not() {
    for url in [
        "postgres://u@localhost/m",
        "postgres://u@127.0.0.1:5433/m",
        "postgres://u@127.8.9.1/m",
        "postgres://u@[::1]/m",
        "postgres://u@%2Fvar%2Frun%2Fpostgresql/m",
        "postgres:///m?host=/var/run/postgresql",
    ] {
        assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        assert_eq!(Database::new(url).unwrap().weaknesses(), Vec::<String>::new(), "{url}");
    }
}

#[test]
fn a_weaker_way_is_taken_only_if_the_url_says_so_and_is_told() {
    for (given, word) in [
        ("disable", "unencrypted"),
        ("allow", "unencrypted"),
        ("prefer", "optional"),
        ("require", "not looked at"),
        ("verify-ca", "any server with a certificate"),
    ] {
        let url = format!("postgres://u@db.example.org/m?sslmode={given}");
        let weaknesses = Database::new(&url).unwrap().weaknesses();
        assert!(weaknesses.len() == 1 && weaknesses[0].contains(word), "{given}: {weaknesses:?}");
    }
    let direct = Database::new("postgres://u@127.0.0.1/m").unwrap();
    let direct = direct.direct("postgres://u@db.example.org/m?ssl-mode=require").unwrap();
    assert_eq!(direct.weaknesses().len(), 1);
}

#[test]
fn what_nothing_would_heed_is_refused() {
    for (url, name) in [
        ("postgres://u@h/m?sslmod=require", "sslmod"),
        ("postgres://u@h/m?sslmode=require&target_session_attrs=any", "target_session_attrs"),
        ("postgres://u@h/m?options=-cx%3Dy", "options"),
        ("postgres://u@h/m?x", "x"),
    ] {
        assert_eq!(Database::new(url).unwrap_err(), InvalidDatabase::Parameter(name.to_owned()), "{url}");
    }
    for url in ["", "mysql://u@h/m", "postgres:h", "postgres://u@h:port/m", "postgres://u@h/m?sslmode=perhaps"] {
        assert!(matches!(Database::new(url), Err(InvalidDatabase::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn no_text_shows_a_password() {
    let urls = [
        "postgres://u:s3cret@127.0.0.1:1/m",
        "postgres://u@127.0.0.1:1/m?password=s3cret",
        "postgres://u:s3cret@127.0.0.1:port/m",
        "postgres://u:s3cret@h/m?sslmode=perhaps",
        "postgres://u:s3cret@h/m?unknown=s3cret",
        "s3cret",
    ];
    for url in urls {
        let database = Database::new(url).map(|it| it.with_password("s3cret").application_name("x").pooled(true));
        let opened = match &database {
            Ok(database) => PostgresStore::connect(database).await.map(drop),
            Err(invalid) => Err(OpenError::from(invalid.clone())),
        };
        let described = database.as_ref().map(Database::describe);
        let shown = format!("{database:?} {described:?} {opened:?} {}", opened.as_ref().unwrap_err());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_password_is_read_from_a_file_without_its_line_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Database::new("postgres://u@h/m").unwrap().with_password_file(&path)
    };
    for good in ["pass word", "pass word\n", "pass word\r\n"] {
        let url = sqlx::ConnectOptions::to_url_lossy(&read(good).unwrap().options());
        assert_eq!(url.password(), Some("pass%20word"));
    }
    for bad in ["", "\n", "a\nb", "a\n\n", "a\0"] {
        assert!(matches!(read(bad), Err(InvalidDatabase::Password { .. })), "{bad:?}");
    }
    std::fs::remove_file(&path).unwrap();
    let missing = Database::new("postgres://u@h/m").unwrap().with_password_file(&path).unwrap_err();
    assert!(missing.to_string().contains("not found"), "{missing}");
}

#[test]
fn password_and_name_count_for_the_direct_way_as_well() {
    let database = Database::new("postgres://u@127.0.0.1:6432/m").unwrap().with_password("a").pooled(true);
    assert!(database.session_options().is_none());
    let database = database.direct("postgres://u:b@127.0.0.1:5432/m").unwrap().application_name("node-1");
    let options = database.session_options().unwrap();
    assert_eq!((options.get_port(), options.get_application_name()), (5432, Some("node-1")));
    assert_eq!(sqlx::ConnectOptions::to_url_lossy(&options).password(), Some("a"));
}

#[test]
fn the_way_past_a_pooler_leads_to_the_same_database() {
    let database = || Database::new("postgres://u@127.0.0.1:6432/m").unwrap();
    assert!(database().direct("postgres://v@10.0.0.7:5432/m").is_ok());
    for other in ["postgres://u@127.0.0.1/production", "postgres://u@127.0.0.1"] {
        let refused = database().direct(other).unwrap_err();
        assert!(matches!(refused, InvalidDatabase::OtherDatabase { .. }), "{refused}");
    }
}
