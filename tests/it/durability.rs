//! No answer without its record, on the real program.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use magistrate_tests::{Running, Store, request};

const PATIENCE: Duration = Duration::from_mins(1);

/// `kill -9` in the midst of 1,000 Checks: every acknowledged decision is in history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_loses_no_acknowledged_decision() {
    let store = Store::example();
    let mut running = Running::start(&store);
    let client = running.client().await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let (started, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, acknowledged, started, enough) =
            (client.clone(), acknowledged.clone(), started.clone(), enough.clone());
        tasks.spawn(async move {
            while started.fetch_add(1, Ordering::SeqCst) < 1_000 {
                let request = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
                let Ok(answer) = client.check(request, PATIENCE).await else {
                    return;
                };
                let mut acknowledged = acknowledged.lock().unwrap();
                acknowledged.insert(answer.decision_id);
                if acknowledged.len() == 400 {
                    enough.notify_one();
                }
            }
        });
    }
    enough.notified().await;
    running.kill();
    tasks.join_all().await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!((400..1_000).contains(&acknowledged.len()), "killed in the midst: {}", acknowledged.len());
    let recorded: BTreeSet<String> = store.history().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged decisions are lost", lost.len(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_run_writes_a_new_stream_beside_the_old_one() {
    let store = Store::example();
    let mut streams = BTreeSet::new();
    for run in 1..=2 {
        let mut running = Running::start(&store);
        let answer = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
        let receipt = answer.receipt.unwrap();
        assert_eq!(receipt.seq, 1);
        assert_eq!(receipt.leaf.len(), 32);
        streams.insert(receipt.stream);
        assert_eq!(running.terminate(), 0, "a stop that was asked for is no error");
        assert_eq!(store.history().len(), run);
    }
    assert_eq!(streams.len(), 2);
}

/// A history or a policy store that is moved away: nothing is answered, whatever is put in its place.
#[tokio::test]
async fn file_moved_away_under_a_server_stops_it_from_answering() {
    let cases = [
        ("decisions.db", &["", "-wal", "-shm"][..], "could not be recorded"),
        ("decisions.db", &["-wal", "-shm"], "could not be recorded"),
        ("policy.db", &["", "-wal", "-shm"], "not the one that was opened"),
        ("policy.db", &["-wal", "-shm"], "not the one that was opened"),
    ];
    for (file, ends, says) in cases {
        let store = Store::example();
        let mut running = Running::start(&store);
        let client = running.client().await;
        let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
        assert_eq!(ask().await.unwrap().decision, 1);
        let moved = store.data().join("moved");
        std::fs::create_dir(&moved).unwrap();
        for end in ends {
            let name = format!("{file}{end}");
            std::fs::rename(store.data().join(&name), moved.join(&name)).unwrap();
        }
        if file == "policy.db" {
            running.wait_for("removed or replaced");
        }
        let refused = ask().await.unwrap_err().to_string();
        assert!(refused.contains(says) && refused.contains("removed or replaced"), "{refused}");
        let _ran = store.run(&["migrate"]).code(0);
        assert!(ask().await.is_err(), "a new {file} is not the one this server knows");
    }
}

/// A record changed behind the store's back: whoever reads it is told, with an exit code of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_record_is_an_integrity_failure() {
    let store = Store::example();
    let mut running = Running::start(&store);
    let answer = running.check(("Service", "payments"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!(running.terminate(), 0);
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
try:
    db.execute(\"UPDATE decision SET decision = 'allow'\")
    sys.exit('the store let a decision be changed')
except sqlite3.Error:
    pass
for (name,) in db.execute(\"SELECT name FROM sqlite_schema WHERE type = 'trigger'\").fetchall():
    db.execute(f'DROP TRIGGER {name}')
db.execute(\"UPDATE decision SET decision = 'allow'\")
db.commit()";
    let changed =
        std::process::Command::new("python3").args(["-c", script]).arg(store.data().join("decisions.db")).output();
    let Ok(changed) = changed else {
        magistrate_tests::skip("changed_record_is_an_integrity_failure", "no python3 to change the file with");
        return;
    };
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    let _told = store.run(&["audit", "show", &answer.decision_id]).code(7).says(&["damaged"]);
    let _told = store.run(&["audit", "search"]).code(7).says(&["damaged", &answer.decision_id]);
}

/// A filesystem that is full: callers get UNAVAILABLE and no decision, health drops, and service resumes.
#[tokio::test]
async fn full_disk_refuses_and_recovers() {
    let store = Store::nowhere();
    let data = store.data();
    std::fs::create_dir_all(&data).unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&data).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        magistrate_tests::skip("full_disk_refuses_and_recovers", "a small filesystem cannot be mounted here");
        return;
    }
    let _unmount = Unmount(data.clone());
    let _ran = store.run(&["migrate"]).code(0);
    let policies = magistrate_tests::workspace().join("policies");
    let _ran = store.run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]).code(0);
    let mut running = Running::start(&store);
    let before = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!(before.decision, 1);
    fill(&data.join("ballast"));
    let client = running.client().await;
    let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
    let mut answered = 1;
    let refusal = loop {
        match ask().await {
            Ok(_) => answered += 1,
            Err(error) => break error.to_string(),
        }
        assert!(answered < 10_000, "a full disk must refuse");
    };
    assert!(refusal.contains("unavailable") && refusal.contains("could not be recorded"), "{refusal}");
    running.wait_for("not ready");
    std::fs::remove_file(data.join("ballast")).unwrap();
    let after = ask().await.unwrap();
    answered += 1;
    assert_eq!(after.decision, 1, "service resumes by itself");
    assert_eq!(store.history().len(), answered, "exactly the answered decisions are recorded");
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
