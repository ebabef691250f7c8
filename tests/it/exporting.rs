//! History in files: copied, taken up again, and verified without a store.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, request};
use serde_json::Value as Json;

const PATIENCE: Duration = Duration::from_mins(1);

/// Ten decisions, and a peaceful end.
async fn record(mut node: Running) {
    let client = node.client().await;
    for _ in 0..10 {
        client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
    }
    assert_eq!(node.terminate(), 0, "{}", node.logged());
}

/// The only file with this end.
fn file(dir: &Path, end: &str) -> PathBuf {
    let all = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    all.into_iter().find(|it| it.to_string_lossy().ends_with(end)).unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn write(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn number(told: &Json, of: &str) -> u64 {
    told.get(of).and_then(Json::as_u64).unwrap()
}

/// What is done to the lines of a file, and what is said among the failures.
type Tampering = (&'static str, &'static str, fn(&mut Vec<String>), &'static str);

const MATRIX: [Tampering; 7] = [
    ("edit a record", ".records.jsonl", |lines| change(lines, 3, |line| line.replace('A', "B")), "altered"),
    ("delete in the middle", ".records.jsonl", |lines| drop(lines.remove(4)), "missing"),
    ("delete the newest", ".records.jsonl", |lines| drop(lines.pop()), "missing"),
    ("swap two", ".records.jsonl", |lines| lines.swap(3, 4), "reordered"),
    (
        "give one the place of another",
        ".records.jsonl",
        |lines| change(lines, 3, |line| line.replace("\"seq\":4", "\"seq\":5")),
        "reordered",
    ),
    ("delete a header", ".headers.jsonl", |lines| drop(lines.remove(1)), "missing"),
    ("take the newest headers away", ".headers.jsonl", |lines| lines.truncate(1), "rolled_back"),
];

fn change(lines: &mut [String], at: usize, change: impl Fn(&str) -> String) {
    let line = lines.get_mut(at).unwrap();
    *line = change(line);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_history_tells_what_was_done_to_it() {
    let store = Store::example();
    record(Running::with(&store, &[(CLASS, "process")])).await;
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let dir = store.home().join("exported");
    let dir = dir.to_str().unwrap();
    let told = store.run(&["-o", "json", "audit", "export", dir]).code(0).json();
    assert_eq!((number(&told, "records"), number(&told, "streams")), (10, 1), "{told}");
    for made in std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).chain([PathBuf::from(dir)]) {
        let mode = std::fs::metadata(&made).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its owner alone", made.display());
    }
    // From here on nothing is read but the files.
    let elsewhere = Store::nowhere();
    let verify = || elsewhere.run(&["-o", "json", "audit", "verify", "--from", dir, "--key", &key]);
    let whole = verify().code(0).json();
    assert_eq!(
        (whole.get("whole"), number(whole.pointer("/streams/0").unwrap(), "records")),
        (Some(&Json::Bool(true)), 10)
    );
    for (what, end, change, kind) in MATRIX {
        let path = file(Path::new(dir), end);
        let kept = lines(&path);
        let mut changed = kept.clone();
        change(&mut changed);
        assert_ne!(kept, changed, "{what}");
        write(&path, &changed);
        let told = verify().code(7).json();
        let findings = told.get("findings").and_then(Json::as_array).unwrap();
        let failures = findings.iter().filter(|it| it.get("failure") == Some(&Json::Bool(true)));
        let mut kinds = failures.filter_map(|it| it.get("kind").and_then(Json::as_str));
        assert!(kinds.any(|it| it == kind), "{what}: {told}");
        write(&path, &kept);
    }
    assert_eq!(verify().code(0).json().get("whole"), Some(&Json::Bool(true)));
}

/// What is new is added; what was written half is written again; what is no export is said to be none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_is_taken_up_where_it_ended() {
    let deployment = Deployment::shared();
    let run = |arguments: &[&str]| -> Ran { ran(deployment.command(Login::Auditor).args(arguments)) };
    let node = || {
        let mut command = deployment.command(Login::App);
        command.env("MAGISTRATE_JOURNAL", deployment.home().join("journal")).env(CLASS, "process");
        Running::launch(command)
    };
    record(node()).await;
    let dir = deployment.home().join("exported");
    let export = || run(&["-o", "json", "audit", "export", dir.to_str().unwrap()]).code(0).json();
    assert_eq!(number(&export(), "records"), 10);
    assert_eq!(number(&export(), "records"), 0);
    let path = file(&dir, ".records.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.split_at(text.len() - 40).0).unwrap();
    let mut command = deployment.command(Login::Auditor);
    let key = ran(command.env("MAGISTRATE_JOURNAL", deployment.home().join("journal")).args(["audit", "key"]));
    let key = key.code(0).out.trim().to_owned();
    let verify = || run(&["audit", "verify", "--from", dir.to_str().unwrap(), "--key", &key]);
    let _told = verify().code(1).says(&["was written half; run the export again"]);
    assert_eq!(number(&export(), "records"), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    record(node()).await;
    let told = export();
    assert_eq!((number(&told, "records"), number(&told, "streams")), (10, 2), "{told}");
    let _told = verify().code(0);
    let _told = run(&["audit", "verify", "--from", "/nowhere"]).code(1).says(&["cannot read the exported history"]);
    std::fs::write(&path, "{\"seq\":1}\n").unwrap();
    let _told = run(&["audit", "export", dir.to_str().unwrap()]).code(1).says(&["is none of an export"]);
}

/// Two exports into one directory would write into each other's lines; and a link would lead out of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_keeps_out_of_another_one_and_follows_no_link() {
    let store = Store::example();
    record(Running::with(&store, &[(CLASS, "process")])).await;
    let dir = store.home().join("exported");
    std::fs::create_dir(&dir).unwrap();
    let other = std::fs::File::create(dir.join("export.lock")).unwrap();
    other.try_lock().unwrap();
    let _refused = store.run(&["audit", "export", "exported"]).code(1).says(&["another export writes to"]);
    drop(other);
    let elsewhere = store.home().join("precious");
    std::fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.join("checkpoints.jsonl")).unwrap();
    let _refused = store.run(&["audit", "export", "exported"]).code(1).says(&["cannot add to", "checkpoints.jsonl"]);
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
}
