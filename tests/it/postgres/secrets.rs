//! Passwords are nowhere to be read: not in logs or errors, not in the list of processes, not at the server.

use std::process::Command;

use magistrate_testkit::postgres::Options;
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{Ran, Running, ran};

use super::{allowed, reads_own_message, ready};

/// What must not be found: the passwords as they are and as URLs hold them.
fn secrets(deployment: &Deployment) -> Vec<String> {
    let urls = [Login::App, Login::Admin, Login::Auditor].map(|it| deployment.url_with_password(it));
    let in_url = |url: &String| {
        url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1.to_owned()
    };
    let plain = [Login::App, Login::Admin, Login::Auditor].map(|it| it.password().to_owned());
    let superuser = in_url(&deployment.superuser_url());
    urls.iter().map(in_url).chain(plain).chain([superuser]).collect()
}

#[track_caller]
fn expect_none(secrets: &[String], place: &str, text: &str) {
    assert!(!text.is_empty(), "{place} is empty");
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{place} holds {secret}: {text}");
    }
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_told_nowhere() {
    let deployment = Deployment::private(&Options::default().set("log_statement", "all"));
    let secrets = secrets(&deployment);
    let mut loud = deployment.command(Login::App);
    let url = deployment.file("url", &deployment.url_with_password(Login::App));
    loud.env_remove("MAGISTRATE_DATABASE_URL").env_remove("MAGISTRATE_DATABASE_PASSWORD_FILE");
    loud.args(["--database-url-file", &url]).env("MAGISTRATE_LOG", "debug");
    let mut node = ready(Running::launch(loud));
    assert!(allowed(&node.client().await, reads_own_message()).await);
    for file in ["cmdline", "environ"] {
        let read = std::fs::read(format!("/proc/{}/{file}", node.id())).unwrap();
        expect_none(&secrets, file, &String::from_utf8_lossy(&read));
    }
    let again = deployment.migration().env("MAGISTRATE_LOG", "debug").output().unwrap();
    expect_none(&secrets, "migrate", &String::from_utf8_lossy(&[again.stdout, again.stderr].concat()));
    expect_none(&secrets, "the server's log", &deployment.cluster().log());
    deployment.cluster().stop();
    node.wait_for("cannot follow");
    let client = node.client().await;
    super::until(&client, reads_own_message(), Result::is_err).await;
    expect_none(&secrets, "a refusal", &super::refusal(&client, reads_own_message()).await);
    expect_none(&secrets, "the node's log", node.logged());
}

#[test]
fn what_goes_wrong_is_told_without_secrets() {
    let deployment = Deployment::shared();
    let secrets = secrets(&deployment);
    let with_url = |url: &str, verb: &[&str]| {
        let mut command = deployment.command(Login::App);
        command.env_remove("MAGISTRATE_DATABASE_PASSWORD_FILE").env("MAGISTRATE_DATABASE_URL", url);
        ran(command.args(verb))
    };
    let good = deployment.url_with_password(Login::App);
    let elsewhere = good.replace(deployment.cluster().host(), "127.0.0.1:1");
    let urls = [
        good.replace(deployment.name(), "no-such-database"),
        good.replace(&deployment.role(Login::App), &deployment.role(Login::Admin)),
        good.replace("postgres://", "mysql://"),
        format!("{good}?sslmode=perhaps"),
        format!("{good}?colour=blue"),
        elsewhere,
        good.replace("127.0.0.1:", "127.0.0.1:x"),
    ];
    for url in &urls {
        for verb in [&["policy", "status"][..], &["doctor"], &["serve", "--listen", "127.0.0.1:0"]] {
            let told = with_url(url, verb);
            assert!(told.code != 0, "{verb:?} of {url}: {told:?}");
            expect_none(&secrets, &format!("{verb:?}"), &said(&told));
        }
    }
    let doctor = with_url(&good, &["doctor"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    expect_none(&secrets, "doctor", &said(&doctor));
    let help = Command::new(magistrate_tests::program()).arg("--help").env("MAGISTRATE_DATABASE_URL", &good).output();
    expect_none(&secrets, "help", &String::from_utf8_lossy(&help.unwrap().stdout));
}
