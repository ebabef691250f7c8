//! No answer without its record, on the real program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use magistrate_client::v1::DurabilityClass;
use magistrate_tests::postgres::Load;
use magistrate_tests::{CLASS, Running, Store, request};

const PATIENCE: Duration = Duration::from_mins(1);

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

/// A history or a policy store that is moved away: nothing is answered that waits for it, whatever is put in its place.
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

/// A history that is away for a while: at class `process` answers go on, and their records arrive once it is back.
#[tokio::test]
async fn history_that_is_away_holds_up_nobody_and_is_caught_up_with() {
    let store = Store::example();
    let mut running = Running::with(&store, &[(CLASS, "process")]);
    let client = running.client().await;
    let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
    let moved = store.data().join("moved");
    std::fs::create_dir(&moved).unwrap();
    let files = ["decisions.db", "decisions.db-wal", "decisions.db-shm"]
        .map(|name| (store.data().join(name), moved.join(name)));
    files.iter().for_each(|(from, to)| std::fs::rename(from, to).unwrap());
    let mut answered = Vec::new();
    for _ in 0..20 {
        let answer = ask().await.unwrap();
        assert_eq!(answer.receipt.unwrap().class, DurabilityClass::Process as i32);
        answered.push(answer.decision_id);
    }
    running.wait_for("the decision store does not take them");
    files.iter().for_each(|(from, to)| std::fs::rename(to, from).unwrap());
    running.wait_for("takes records again");
    assert_eq!(running.terminate(), 0);
    let recorded: Vec<String> = store.history().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(recorded, answered);
}

/// A journal that is taken away under a server: nothing more is answered, and what was answered is shipped all the same.
#[tokio::test]
async fn journal_taken_away_stops_answers_and_loses_none() {
    for how in ["removed", "moved"] {
        let store = Store::example();
        let mut running = Running::with(&store, &[(CLASS, "process")]);
        let client = running.client().await;
        let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
        let mut answered = vec![ask().await.unwrap().decision_id];
        let journal = store.data().join("journal");
        match how {
            "removed" => std::fs::remove_dir_all(&journal).unwrap(),
            _ => std::fs::rename(&journal, store.data().join("elsewhere")).unwrap(),
        }
        let refused = loop {
            match ask().await {
                Ok(answer) => answered.push(answer.decision_id),
                Err(refused) => break refused.to_string(),
            }
            assert!(how == "moved" || answered.len() == 1, "a file that is gone takes nothing");
        };
        assert!(refused.contains("could not be recorded") && refused.contains("removed"), "{refused}");
        running.wait_for("not ready");
        assert_eq!(running.get("/readyz").0, 503);
        assert_eq!(running.terminate(), 0);
        let recorded: Vec<String> = store.history().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(recorded, answered);
    }
}

/// Two servers never write to one journal.
#[tokio::test]
async fn journal_has_one_server() {
    let store = Store::example();
    let _running = Running::start(&store);
    let second = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--admin-listen", "off"];
    let _told = store.run(&second).code(1).says(&["another process uses the journal"]);
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

/// A filesystem that is full: answers go on while there is room in the journal; then callers get UNAVAILABLE and no
/// decision, and health drops. Once there is space, service resumes, and every answer is in history.
#[tokio::test]
async fn full_disk_refuses_and_recovers() {
    let store = Store::nowhere();
    let data = store.data();
    std::fs::create_dir_all(&data).unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(&data).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        magistrate_tests::skip("full_disk_refuses_and_recovers", "a small filesystem cannot be mounted here");
        return;
    }
    let _unmount = Unmount(data.clone());
    let _file = store.file("magistrate.toml", "[ledger]\nsegment_bytes = 1_048_576");
    let _ran = store.run(&["migrate"]).code(0);
    let policies = magistrate_tests::workspace().join("policies");
    let _ran = store.run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]).code(0);
    let mut running = Running::with(&store, &[(CLASS, "process")]);
    assert!(running.logged().contains("lies in memory"), "{}", running.logged());
    let before = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!(before.decision, 1);
    fill(&data.join("ballast"));
    let client = running.client().await;
    let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
    let mut answered = vec![before.decision_id];
    let refusal = loop {
        match ask().await {
            Ok(answer) => answered.push(answer.decision_id),
            Err(error) => break error.to_string(),
        }
        assert!(answered.len() < 10_000, "a full disk must refuse");
    };
    assert!(refusal.contains("unavailable") && refusal.contains("could not be recorded"), "{refusal}");
    assert!(refusal.contains("free space there"), "{refusal}");
    running.wait_for("not ready");
    std::fs::remove_file(data.join("ballast")).unwrap();
    running.wait_for("\"ready\"");
    let after = ask().await.unwrap();
    assert_eq!(after.decision, 1, "service resumes by itself");
    answered.push(after.decision_id);
    assert_eq!(running.terminate(), 0);
    let recorded: Vec<String> = store.history().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(recorded, answered, "exactly the answered decisions are recorded");
}

/// A disk that turns read-only: what is answered is in a segment that is still open; where the next one cannot be made
/// nothing is answered, and health drops. Once it can be written again, service resumes, and every answer is in history.
#[tokio::test]
async fn read_only_disk_refuses_and_recovers() {
    let store = Store::example();
    let _file = store.file("magistrate.toml", "[ledger]\nsegment_bytes = 1_048_576");
    let mut running = Running::with(&store, &[(CLASS, "process")]);
    let client = running.client().await;
    let ask = || client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
    let mut answered = vec![ask().await.unwrap().decision_id];
    let journal = store.data().join("journal");
    let mount = |arguments: &[&str]| {
        let ran = std::process::Command::new("mount").args(arguments).arg(&journal).output();
        ran.is_ok_and(|output| output.status.success())
    };
    if !mount(&["--bind", journal.to_str().unwrap()]) || !mount(&["-o", "remount,bind,ro"]) {
        return magistrate_tests::skip("read_only_disk_refuses_and_recovers", "nothing can be mounted here");
    }
    let unmount = Unmount(journal.clone());
    let refusal = loop {
        match ask().await {
            Ok(answer) => answered.push(answer.decision_id),
            Err(error) => break error.to_string(),
        }
        assert!(answered.len() < 20_000, "a disk that takes no new segment must refuse");
    };
    assert!(refusal.contains("could not be recorded") && refusal.contains("Read-only file system"), "{refusal}");
    running.wait_for("not ready");
    drop(unmount);
    running.wait_for("\"ready\"");
    answered.push(ask().await.unwrap().decision_id);
    assert_eq!(running.terminate(), 0, "{}", running.logged());
    let recorded: Vec<String> = store.history().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(recorded, answered, "exactly the answered decisions are recorded");
}

/// A disk that takes writes and fails to sync: nothing is acknowledged from then on, the process ends, and what it had
/// acknowledged is in the history of the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_that_fails_ends_the_process_and_acknowledges_nothing() {
    let store = Store::example();
    let (library, fault) = (failing_sync(&store), store.home().join("the-disk-fails"));
    let environment =
        [(CLASS, "disk"), ("LD_PRELOAD", library.to_str().unwrap()), ("FAILING_SYNC_ONCE", fault.to_str().unwrap())];
    let mut running = Running::with(&store, &environment);
    let client = running.client().await;
    let load = Load::start(&running, 4).await;
    load.answers(200).await;
    std::fs::write(&fault, "").unwrap();
    // Whoever asks now needs a sync that begins now.
    for _ in 0..100 {
        let asked = client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await;
        assert!(asked.is_err(), "acknowledged by a disk that has failed: {asked:?}");
    }
    assert_eq!(running.ended(), 1, "{}", running.logged());
    let said = running.logged().lines().last().unwrap_or_default().to_owned();
    assert!(said.contains("the journal could not be brought to the disk") && said.contains("os error 5"), "{said}");
    let told = load.stop().await;
    told.expect_nothing_wrong();
    let refused = |it: &magistrate_tests::postgres::Refused| it.text.contains("could not be brought to the disk");
    assert!(told.refused.iter().any(refused), "whoever waited for the sync is told: {:?}", told.refused.first());

    let mut next = Running::with(&store, &[(CLASS, "disk")]);
    next.wait_for("\"ready\"");
    assert_eq!(next.terminate(), 0, "{}", next.logged());
    let history = store.history();
    let recorded: BTreeMap<&str, &str> =
        history.iter().map(|row| (row["id"].as_str().unwrap(), row["leaf"].as_str().unwrap())).collect();
    assert_eq!(recorded.len(), history.len(), "each once");
    assert!(told.acknowledged.len() >= 200);
    for told in &told.acknowledged {
        assert_eq!(recorded.get(told.id.as_str()), Some(&told.leaf.as_str()), "{} was acknowledged", told.id);
    }
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let verified = store.run(&["-o", "json", "audit", "verify", "--key", &key]).code(0).json();
    assert_eq!(verified.pointer("/counts/lost_in_crash"), Some(&0.into()), "{verified}");
}

/// A library that stands before the system's, built by the linker that Rust needs anyway.
fn failing_sync(store: &Store) -> std::path::PathBuf {
    let source = magistrate_tests::workspace().join("tests/it/durability/failing_sync.c");
    let library = store.home().join("failing_sync.so");
    let mut compiler = std::process::Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
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
