//! A copy of the embedded store that was made while it served is put elsewhere, and is the same history.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use magistrate_tests::{CLASS, Running, Store, request, skip};
use serde_json::Value as Json;

const PATIENCE: Duration = Duration::from_mins(1);

/// Copies a database through SQLite, as `.backup` of its shell does; false where python is absent.
fn back_up(from: &Path, to: &Path) -> bool {
    let python = "import sqlite3, sys
to = sqlite3.connect(sys.argv[2])
sqlite3.connect(sys.argv[1]).backup(to)";
    let Ok(copied) = Command::new("python3").args(["-c", python]).args([from, to]).output() else { return false };
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_that_was_made_while_it_served_verifies_and_serves() {
    let (store, copy) = (Store::example(), Store::example());
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    let client = node.client().await;
    let asked = || request(("User", "ana"), "readMessage", ("Message", "m-1001"));
    let answer = client.check(asked(), PATIENCE).await.unwrap();
    let _proof = store.run(&["audit", "prove", "--wait", &answer.decision_id]).code(0);
    for name in ["decisions.db", "policy.db"] {
        let to = copy.data().join(name);
        std::fs::remove_file(&to).unwrap();
        if !back_up(&store.data().join(name), &to) {
            return skip("copy_that_was_made_while_it_served_verifies_and_serves", "no python3 to copy the files with");
        }
    }
    let seen = store.home().join("seen");
    std::fs::copy(store.data().join("journal/checkpoints"), &seen).unwrap();
    client.check(asked(), PATIENCE).await.unwrap();
    assert_eq!(node.terminate(), 0, "{}", node.logged());

    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let verify = |seen: &Path| {
        let seen = seen.to_str().unwrap();
        copy.run(&["-o", "json", "audit", "verify", "--key", &key, "--seen", seen])
    };
    let told = verify(&seen).code(0).json();
    assert_eq!(told.get("whole"), Some(&Json::Bool(true)), "{told}");
    let told = verify(&store.data().join("journal/checkpoints")).code(7).json();
    assert!(told.pointer("/counts/rolled_back").and_then(Json::as_u64) > Some(0), "{told}");
    let node = Running::with(&copy, &[(CLASS, "process")]);
    let answer = node.client().await.check(asked(), PATIENCE).await.unwrap();
    assert!(magistrate_client::is_allowed(&answer));
}
