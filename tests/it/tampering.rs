//! Somebody who may do anything in the store changes it, and `audit verify` says what was done.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, request, skip};

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// What is done, in SQL that both stores know, and what is said: the kind of the first failure.
///
/// `{decision}` and the like are the tables, `{other bytes}` is a column with another first byte.
const MATRIX: [(&str, &str, &str); 20] = [
    ("edit a body", "UPDATE {decision} SET body = {other body} WHERE seq = 3", "altered"),
    ("edit a column", "UPDATE {decision} SET principal = 'Company::User::\"mia\"' WHERE seq = 3", "altered"),
    ("edit an outcome", "UPDATE {decision} SET decision = 'deny' WHERE seq = 3", "altered"),
    ("edit a leaf", "UPDATE {decision} SET leaf = {other leaf} WHERE seq = 3", "altered"),
    ("delete in the middle", "DELETE FROM {decision} WHERE seq = 5", "missing"),
    ("delete the newest", "DELETE FROM {decision} WHERE seq > 9", "missing"),
    ("delete everything", "DELETE FROM {decision}", "missing"),
    (
        "swap two",
        "UPDATE {decision} SET seq = 999 WHERE seq = 3; UPDATE {decision} SET seq = 3 WHERE seq = 4;
            UPDATE {decision} SET seq = 4 WHERE seq = 999",
        "reordered",
    ),
    ("edit a header", "UPDATE {header} SET header = {other header} WHERE number = 2", "altered"),
    ("delete a header", "DELETE FROM {header} WHERE number = 2", "missing"),
    (
        "take the newest away, with all that tells of it",
        "DELETE FROM {decision} WHERE seq > 1; DELETE FROM {header} WHERE number > 1;
            DELETE FROM {checkpoint} WHERE size > 1; {count}",
        "rolled_back",
    ),
    ("edit an entry of the log", "UPDATE {log} SET body = {other body} WHERE place = 1", "altered"),
    ("edit a leaf of the log", "UPDATE {log} SET leaf = {other leaf} WHERE place = 1", "altered"),
    ("delete an entry of the log", "DELETE FROM {log} WHERE place = 1", "missing"),
    ("take the newest entries away", "DELETE FROM {log} WHERE place > 2", "rolled_back"),
    (
        "take them away with their checkpoints",
        "DELETE FROM {log} WHERE place > 2; DELETE FROM {checkpoint} WHERE origin LIKE 'magistrate/log/%'",
        "rolled_back",
    ),
    ("give the log another name", "UPDATE {sequencer} SET log = {other log}", "rolled_back"),
    ("edit an act", "UPDATE {act} SET body = {other body}", "altered"),
    ("delete the acts", "DELETE FROM {act}", "missing"),
    ("change who did it", "UPDATE {act} SET kind = 'access'", "altered"),
];

const TABLES: [&str; 7] = ["decision", "header", "checkpoint", "log", "act", "sequencer", "log_root"];

/// A store with a history that was verified once, the key that is pinned, and the checkpoints that were seen.
struct Recorded<'a> {
    verify: Box<dyn Fn() -> Ran + 'a>,
}

impl Recorded<'_> {
    /// Expects it to be whole.
    #[track_caller]
    fn expect_whole(&self) {
        let told = (self.verify)().code(0).json();
        assert_eq!(told.get("whole"), Some(&serde_json::Value::Bool(true)), "{told}");
        assert_eq!(told.pointer("/counts/not_covered"), Some(&serde_json::Value::from(0)), "{told}");
    }

    #[track_caller]
    fn expect(&self, what: &str, kind: &str) {
        let told = (self.verify)().code(7).json();
        let findings = told.get("findings").and_then(serde_json::Value::as_array).unwrap();
        let said = |finding: &serde_json::Value, name| finding.get(name).cloned().unwrap_or_default();
        let first = findings.iter().find(|finding| said(finding, "failure") == true).unwrap();
        assert_eq!(said(first, "kind"), kind, "{what}: {told}");
    }
}

/// Ten decisions, and a peaceful end.
async fn record(mut node: Running) {
    let client = node.client().await;
    for _ in 0..10 {
        client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
    }
    assert_eq!(node.terminate(), 0, "{}", node.logged());
}

fn verification(mut command: Command, key: &str, seen: &Path) -> Ran {
    ran(command.args(["-o", "json", "audit", "verify", "--key", key, "--seen"]).arg(seen))
}

/// SQL for one of the stores.
fn sql(text: &str, other: impl Fn(&str) -> String, table: impl Fn(&str) -> String, count: &str) -> String {
    let named = |text: String, name: &&str| text.replace(&format!("{{{name}}}"), &table(name));
    let text = TABLES.iter().fold(text.replace("{count}", count), named);
    ["body", "leaf", "header", "log"]
        .iter()
        .fold(text, |text, column| text.replace(&format!("{{other {column}}}"), &other(column)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_store_tells_what_was_done_to_it() {
    let store = Store::example();
    record(Running::with(&store, &[(CLASS, "process")])).await;
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let seen = store.home().join("seen");
    std::fs::copy(store.data().join("journal/checkpoints"), &seen).unwrap();
    let command = || {
        let mut command = Command::new(magistrate_tests::program());
        command.current_dir(store.home());
        command
    };
    let recorded = Recorded { verify: Box::new(|| verification(command(), &key, &seen)) };
    recorded.expect_whole();
    let database = store.data().join("decisions.db");
    let kept = store.home().join("kept.db");
    std::fs::copy(&database, &kept).unwrap();
    for (what, text, kind) in MATRIX {
        // The first byte becomes another one.
        let other = |column: &str| format!("CAST(x'00' || substr({column}, 2) AS BLOB)");
        let script = sql(text, other, str::to_owned, "SELECT 1");
        if !edit(&database, &script) {
            return skip("embedded_store_tells_what_was_done_to_it", "no python3 to change the file with");
        }
        recorded.expect(what, kind);
        restore(&kept, &database);
        recorded.expect_whole();
    }
    // An older file is put back after more was recorded and verified.
    record(Running::with(&store, &[(CLASS, "process")])).await;
    recorded.expect_whole();
    restore(&kept, &database);
    recorded.expect("restore an old backup", "rolled_back");
}

/// Changes the file as its owner could, triggers or not; false where python is absent.
pub(crate) fn edit(database: &Path, script: &str) -> bool {
    let python = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
triggers = db.execute(\"SELECT name FROM sqlite_schema WHERE type = 'trigger'\").fetchall()
for (name,) in triggers:
    db.execute(f'DROP TRIGGER {name}')
db.executescript(sys.argv[2])
db.execute('PRAGMA wal_checkpoint(TRUNCATE)')";
    let Ok(edited) = Command::new("python3").args(["-c", python]).arg(database).arg(script).output() else {
        return false;
    };
    assert!(edited.status.success(), "{script}: {}", String::from_utf8_lossy(&edited.stderr));
    true
}

/// Puts a copy of the file back, without what its log held.
pub(crate) fn restore(kept: &Path, database: &Path) {
    for end in ["-wal", "-shm"] {
        let mut log = database.as_os_str().to_owned();
        log.push(end);
        let _absent = std::fs::remove_file(PathBuf::from(log));
    }
    std::fs::copy(kept, database).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_what_a_superuser_did_to_it() {
    let deployment = Deployment::shared();
    let mut command = deployment.command(Login::App);
    let journal = deployment.home().join("journal");
    command.env("MAGISTRATE_JOURNAL", &journal).env(CLASS, "process");
    record(Running::launch(command)).await;
    let mut command = deployment.command(Login::Auditor);
    let key = ran(command.env("MAGISTRATE_JOURNAL", &journal).args(["audit", "key"])).code(0).out.trim().to_owned();
    let seen = deployment.home().join("seen");
    std::fs::copy(journal.join("checkpoints"), &seen).unwrap();
    let recorded = Recorded { verify: Box::new(|| verification(deployment.command(Login::Auditor), &key, &seen)) };
    recorded.expect_whole();
    let leaf = deployment.sql(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit.decision'::regclass AND pg_relation_size(c.oid) > 0",
    );
    let partition = format!("audit.{}", leaf.trim());
    let table = |name: &str| if name == "decision" { partition.clone() } else { format!("audit.{name}") };
    let tables: Vec<String> = TABLES.iter().copied().chain(["stream"]).map(table).collect();
    let each = |sql: &dyn Fn(usize, &String) -> String| {
        tables.iter().enumerate().map(|(number, table)| sql(number, table)).collect::<Vec<_>>().join("; ")
    };
    let copies = each(&|number, table| format!("CREATE TABLE public.kept_{number} AS TABLE {table}"));
    let disarm = each(&|_, table| format!("ALTER TABLE {table} DISABLE TRIGGER ALL"));
    let restore =
        each(&|number, table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM public.kept_{number}"));
    deployment.sql(&format!("{copies}; {disarm}; ALTER TABLE audit.decision DISABLE TRIGGER ALL"));
    for (what, text, kind) in MATRIX {
        let other = |column: &str| format!("set_byte({column}, 0, get_byte({column}, 0) # 1)");
        let count = "UPDATE audit.stream SET last_seq = 1";
        deployment.sql(&sql(text, other, table, count));
        recorded.expect(what, kind);
        deployment.sql(&restore);
        recorded.expect_whole();
    }
    // What the log tells of changes is compared with the change log.
    deployment.sql(
        "CREATE TABLE public.kept_changes AS TABLE magistrate.change_log;
        ALTER TABLE magistrate.change_log DISABLE TRIGGER ALL; UPDATE magistrate.change_log SET actor = 'nobody'",
    );
    recorded.expect("change who changed something", "altered");
    deployment.sql("DELETE FROM magistrate.change_log; INSERT INTO magistrate.change_log TABLE public.kept_changes");
    recorded.expect_whole();
    deployment.sql(&format!("DROP TABLE {partition}"));
    recorded.expect("drop a partition", "missing");
}

/// Where nothing is pinned, that is said, and history is compared with itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_without_a_key_says_how_little_it_proves() {
    let store = Store::example();
    record(Running::with(&store, &[(CLASS, "process")])).await;
    let told = store.run(&["audit", "verify"]).code(0).says(&["no key is pinned"]);
    assert!(told.out.contains("proves little"), "{}", told.out);
    let _told = store.run(&["audit", "verify", "--key", "nonsense+1+x"]).code(1).says(&["is not a verifier key"]);
    let _told = store.run(&["audit", "verify", "--key", "nowhere"]).code(1).says(&["cannot read the keys"]);
}

/// A node shows its newest checkpoint over HTTP, in its log, and in a file; whoever reads others' keys is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_leave_the_store_three_ways() {
    use std::os::unix::fs::PermissionsExt as _;
    let store = Store::example();
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    let logged = node.wait_for("\"origin\":\"magistrate/stream/");
    let (status, newest) = node.get("/checkpoint");
    assert_eq!(status, 200);
    assert!(newest.starts_with("magistrate/stream/") && newest.contains("\u{2014} magistrate/"), "{newest}");
    let said: serde_json::Value = serde_json::from_str(&logged).unwrap();
    assert_eq!(said["fields"]["note"], newest.as_str());
    let kept = std::fs::read_to_string(store.data().join("journal/checkpoints")).unwrap();
    let notes: Vec<serde_json::Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(notes.iter().any(|kept| kept["note"] == newest.as_str()), "{notes:?}");
    node.wait_for("\"origin\":\"magistrate/log/");
    let (status, global) = node.get("/checkpoint/log");
    assert_eq!((status, global.starts_with("magistrate/log/")), (200, true), "{global}");
    let secret = std::fs::read_to_string(store.data().join("journal/signing.key")).unwrap();
    assert!(!node.logged().contains(secret.trim()), "the secret is in the log");
    assert_eq!(node.terminate(), 0);
    let key = store.data().join("journal/signing.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--admin-listen", "off"];
    let _told = store.run(&refused).code(1).says(&["others may read the signing key", "chmod 600"]);
}
