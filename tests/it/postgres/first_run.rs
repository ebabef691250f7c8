//! From an empty database to decisions that are audited, and what is refused on the way.

use std::process::Stdio;

use magistrate_client::v1::CheckRequest;
use magistrate_testkit::postgres::Options;
use magistrate_tests::postgres::{Deployment, Health, Login};
use magistrate_tests::{Running, ran, workspace};

use super::{allowed, edits_document, is_long, reads_own_message, ready, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_database_becomes_audited_decisions() {
    let deployment = Deployment::bare(&Options::default());
    let _early = deployment.run(Login::App, &["doctor"]).code(1);
    let first = deployment.migrate().code(0);
    assert!(first.out.contains("0001"), "{}", first.out);
    let again = deployment.migrate().code(0);
    assert!(again.out.contains("up to date"), "{}", again.out);
    let policies = workspace().join("policies");
    let apply = ["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"];
    let _ran = deployment.run(Login::App, &apply).code(1);
    let _ran = deployment.run(Login::Admin, &apply).code(0);
    let node = ready(deployment.node());
    let client = node.client().await;
    assert!(allowed(&client, CheckRequest { request_id: "r-allow".into(), ..reads_own_message() }).await);
    assert!(!allowed(&client, CheckRequest { request_id: "r-deny".into(), ..edits_document(0) }).await);
    let search = ["-o", "json", "audit", "search"];
    let found = deployment.run(Login::Auditor, &search).code(0).json();
    let column = |name: &str| -> Vec<String> {
        found.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(column("request_id"), ["r-deny", "r-allow"], "newest first");
    assert_eq!(column("decision"), ["deny", "allow"]);
    for login in [Login::App, Login::Admin] {
        let refused = deployment.run(login, &search).code(1).says(&["may not"]);
        assert_eq!(refused.out, "", "nothing of the history is told");
    }
    let healthy = deployment.run(Login::App, &["doctor"]).code(0);
    assert!(!healthy.out.is_empty());
}

#[test]
fn migrations_at_once_wait_for_each_other() {
    let deployment = Deployment::bare(&Options::default());
    let spawn = || {
        let mut command = deployment.migration();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..8).map(|_| spawn()).collect();
    for ended in running.into_iter().map(|it| it.wait_with_output().unwrap()) {
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let applied = "SELECT count(*) = max(version), bool_and(success) FROM magistrate._sqlx_migrations";
    assert_eq!(deployment.sql(applied), "t|t");
    let _ran = deployment.run(Login::Admin, &["policy", "status"]).code(0);
}

#[test]
fn schema_of_another_program_is_refused() {
    let cases = [
        ("DELETE FROM magistrate._sqlx_migrations WHERE version > 1", "run `magistrate migrate`"),
        (
            "INSERT INTO magistrate._sqlx_migrations
                SELECT 9999, 'from the future', now(), true, '\\x00', 0",
            "upgrade the program",
        ),
    ];
    for (made, says) in cases {
        let deployment = Deployment::shared();
        deployment.sql(made);
        for (login, verb) in [
            (Login::App, &["serve", "--listen", "127.0.0.1:0"][..]),
            (Login::Admin, &["policy", "status"]),
            (Login::Auditor, &["audit", "search"]),
        ] {
            let _ran = deployment.run(login, verb).code(1).says(&[says]);
        }
        let doctor = deployment.run(Login::App, &["doctor"]).code(1);
        assert!(format!("{}{}", doctor.out, doctor.err).contains(says), "{doctor:?}");
        if says.contains("upgrade") {
            let _ran = deployment.migrate().code(1).says(&[says]);
        }
    }
}

/// A node that could change history answers nothing, whoever made it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_that_could_change_history_is_not_served() {
    let deployment = Deployment::private(&Options::default());
    deployment.sql("CREATE ROLE powerful LOGIN PASSWORD 'p' IN ROLE magistrate_owner");
    let owner = deployment.cluster().login(deployment.name(), "powerful", "p");
    for url in [deployment.superuser_url(), owner] {
        let mut command = deployment.command(Login::App);
        command.env("MAGISTRATE_DATABASE_URL", &url).env_remove("MAGISTRATE_DATABASE_PASSWORD_FILE");
        let mut node = Running::launch(command);
        node.wait_for("not ready");
        let why = refusal(&node.client().await, reads_own_message()).await;
        assert!(why.contains("does not protect the decision history"), "{why}");
        Health::of(&node).await.until(false).await;
        let mut doctor = deployment.command(Login::App);
        doctor.env("MAGISTRATE_DATABASE_URL", &url).env_remove("MAGISTRATE_DATABASE_PASSWORD_FILE");
        let told = ran(doctor.arg("doctor"));
        assert!(told.code != 0, "{told:?}");
    }
    assert!(deployment.history().is_empty(), "nothing was decided");
}

/// A disarmed trigger is found, said by name, and forgiven when it is armed again. `LONG_TESTS=1` also disarms it
/// under a node that serves, which looks at it every minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disarmed_trigger_stops_a_node_until_it_is_armed() {
    let deployment = Deployment::shared();
    let today = deployment.sql("SELECT 'audit.decision_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')");
    deployment.sql(&format!("ALTER TABLE {today} DISABLE TRIGGER refuse_change"));
    let mut node = deployment.node();
    node.wait_for("not ready");
    let health = Health::of(&node).await;
    let client = node.client().await;
    let why = refusal(&client, reads_own_message()).await;
    assert!(why.contains("refuse_change") && why.contains(&today), "{why}");
    let doctor = deployment.run(Login::App, &["doctor"]);
    assert!(doctor.code != 0, "{doctor:?}");
    deployment.sql(&format!("ALTER TABLE {today} ENABLE ALWAYS TRIGGER refuse_change"));
    health.until(true).await;
    assert!(allowed(&client, reads_own_message()).await);
    let _ran = deployment.run(Login::App, &["doctor"]).code(0);
    if is_long() {
        deployment.sql(&format!("ALTER TABLE {today} DISABLE TRIGGER refuse_change"));
        health.until(false).await;
        refusal(&client, reads_own_message()).await;
    }
}
