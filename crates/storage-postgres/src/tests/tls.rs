//! Who the server is, is proven by its certificate.

use magistrate_testkit::postgres::{Cluster, Options};

use super::fresh;
use crate::{Database, OpenError, PostgresStore};

fn tls() -> Cluster {
    Cluster::private(&Options { tls: true, ..Options::default() })
}

async fn connect(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::connect(&Database::new(url).unwrap()).await
}

fn why(refused: Result<PostgresStore, OpenError>) -> String {
    let refused = refused.unwrap_err();
    let OpenError::Unreachable { why, .. } = refused else { panic!("{refused}") };
    why
}

#[tokio::test]
async fn a_server_is_who_its_authority_says() {
    let (cluster, other) = (tls(), tls());
    let created = fresh::created(&cluster).await;
    let url = |mode: &str, authority: &std::path::Path| {
        format!("{}?sslmode={mode}&sslrootcert={}", fresh::login(&created), authority.display())
    };
    let store = connect(&url("verify-full", &cluster.authority())).await.unwrap();
    let used = created.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'client backend' AND application_name <> 'psql'");
    assert_eq!(used, "t");
    store.close().await;
    for mode in ["verify-full", "verify-ca"] {
        let refused = why(connect(&url(mode, &other.authority())).await);
        assert!(refused.contains("did not prove"), "{refused}");
    }
    let refused = why(connect(&format!("{}?sslmode=verify-full", fresh::login(&created))).await);
    assert!(refused.contains("did not prove"), "public authorities do not vouch for it: {refused}");
    // Without a file, nobody is trusted and the file is what is missing.
    let refused = why(connect(&url("verify-full", std::path::Path::new("/nowhere/ca.crt"))).await);
    assert!(refused.contains("missing"), "{refused}");
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_have_is_refused() {
    let cluster = tls();
    let created = fresh::created(&cluster).await;
    // `0.0.0.0` leads to this machine as well, and is in no certificate.
    let url = fresh::login(&created).replace("127.0.0.1", "0.0.0.0");
    let with = |mode: &str| format!("{url}?sslmode={mode}&sslrootcert={}", cluster.authority().display());
    let refused = why(connect(&with("verify-full")).await);
    assert!(refused.contains("did not prove"), "{refused}");
    connect(&with("verify-ca")).await.unwrap();
}

/// Off this machine's loopback, a URL that says nothing means `verify-full`.
#[tokio::test]
async fn an_address_that_is_not_loopback_is_not_trusted_by_default() {
    let created = fresh::created(&tls()).await;
    let url = fresh::login(&created);
    connect(&url).await.unwrap();
    let refused = why(connect(&url.replace("127.0.0.1", "0.0.0.0")).await);
    assert!(refused.contains("did not prove"), "{refused}");
    connect(&format!("{}?sslmode=disable", url.replace("127.0.0.1", "0.0.0.0"))).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    let created = fresh::created(&Cluster::shared()).await;
    for mode in ["verify-full", "verify-ca", "require"] {
        let refused = why(connect(&format!("{}?sslmode={mode}", fresh::login(&created))).await);
        assert!(refused.contains("did not prove over TLS"), "{refused}");
    }
}
