//! Changes committed by another process reach the server without a restart.

use magistrate_client::v1::{CheckRequest, Decision};
use magistrate_tests::{Running, Store, request};

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

async fn allowed_at(running: &Running, revision: u64) -> bool {
    let request = request(("User", "ana"), "editDocument", ("Document", "welcome"));
    let request = CheckRequest { at_least_revision: revision, ..request };
    let client = running.client().await;
    // A server waits 500 ms for a revision; on a busy machine compiling a set may take longer. Never an older answer.
    let asking = async {
        loop {
            match client.check(request.clone(), PATIENCE).await {
                Err(error) if error.to_string().contains("is not served here yet") => {}
                answer => return answer.unwrap().decision() == Decision::Allow,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

#[tokio::test]
async fn grant_and_revocation_reach_the_server() {
    let store = Store::example();
    let running = Running::start(&store);
    assert!(!allowed_at(&running, 0).await);
    let grant = [
        "-o",
        "json",
        "grant",
        "add",
        "Company::User::ana",
        "--role",
        "editor",
        "--on",
        "Company::Folder::handbook",
        "--expires",
        "+1h",
        "--id",
        "g-test",
        "--reason",
        "test",
    ];
    let revision = store.run(&grant).code(0).json()["revision"].as_u64().unwrap();
    assert!(
        allowed_at(&running, revision).await,
        "the caller names the revision and is never answered by an older one"
    );
    let revoked = store.run(&["-o", "json", "grant", "revoke", "g-test", "--reason", "done"]).code(0);
    assert!(!allowed_at(&running, revoked.json()["revision"].as_u64().unwrap()).await);
}

#[tokio::test]
async fn policy_set_reaches_the_server() {
    let store = Store::example();
    let running = Running::start(&store);
    assert!(!allowed_at(&running, 0).await);
    let policies = store.home().join("policies");
    copy(&magistrate_tests::workspace().join("policies"), &policies);
    store.file("policies/more.cedar", "@id(\"more.ana\") permit(principal == Company::User::\"ana\", action == Company::Action::\"editDocument\", resource);");
    let applied =
        store.run(&["-o", "json", "policy", "apply", "policies", "--reason", "test", "--name", "more"]).code(0).json();
    assert!(allowed_at(&running, applied["revision"].as_u64().unwrap()).await);
    let status = store.run(&["-o", "json", "policy", "status"]).code(0).json();
    assert_eq!(status["migrations"].as_array().unwrap().len(), 2);
    assert_eq!(status["digest"], applied["digest"]);
}

#[tokio::test]
async fn server_without_policies_is_not_ready_until_some_are_applied() {
    let store = Store::empty();
    let mut running = Running::start(&store);
    running.wait_for("not ready");
    let refused =
        running.client().await.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await;
    assert!(refused.unwrap_err().to_string().contains("policy apply"));
    let policies = magistrate_tests::workspace().join("policies");
    let _ran = store.run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]).code(0);
    running.wait_for("\"ready\"");
    let answer = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    assert!(magistrate_client::is_allowed(&answer), "policies and data are one revision");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
