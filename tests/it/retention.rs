#![expect(clippy::indexing_slicing, reason = "what a command tells is looked at by name: what is not there is null")]
//! Days are taken out of a real history, and whoever verifies it knows by whom: what the keeper of the database takes out,
//! or excuses, is missing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use magistrate_testkit::Past;
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, request, skip};
use serde_json::Value as Json;

use super::tampering::edit;

const PATIENCE: Duration = Duration::from_mins(1);

/// Two days with ten records, five days ago.
fn past() -> Past {
    Past::of(5, 1)
}

/// Whoever keeps one of the stores, and everything that is pinned or kept outside it.
struct Kept<'a> {
    /// The binary, as whom it takes to do that.
    command: Box<dyn Fn(Login) -> Command + 'a>,
    home: &'a Path,
    keys: String,
    checkpoints: String,
    keeper: String,
}

impl<'a> Kept<'a> {
    /// A node runs until the log has what was put into the store, and a checkpoint covers that.
    async fn recorded(
        node: Running,
        command: Box<dyn Fn(Login) -> Command + 'a>,
        home: &'a Path,
        journal: &Path,
    ) -> Self {
        let mut kept = Self { command, home, keys: String::new(), checkpoints: String::new(), keeper: String::new() };
        kept.run_on(node).await;
        let mut own = (kept.command)(Login::Auditor);
        let own = ran(own.env("MAGISTRATE_JOURNAL", journal).args(["audit", "key"])).code(0).out;
        let keys = home.join("keys.txt");
        std::fs::write(&keys, format!("{own}\n{}\n", past().key())).unwrap();
        let checkpoints = journal.join("checkpoints");
        let keeper = kept.run(Login::Auditor, &["audit", "key", "--make", "keeper.key"]).code(0).out;
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        (kept.keys, kept.checkpoints, kept.keeper) = (text(&keys), text(&checkpoints), keeper.trim().to_owned());
        kept
    }

    /// Asks once, and waits until that can be proven: the log has all that was there before.
    async fn run_on(&self, mut node: Running) {
        let client = node.client().await;
        let asked = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
        let answer = client.check(asked, PATIENCE).await.unwrap();
        let _proof = self.run(Login::Auditor, &["audit", "prove", "--wait", &answer.decision_id]).code(0);
        assert_eq!(node.terminate(), 0, "{}", node.logged());
    }

    fn run(&self, login: Login, arguments: &[&str]) -> Ran {
        ran((self.command)(login).args(["-o", "json"].iter().filter(|_| arguments[1] != "key")).args(arguments))
    }

    fn expire(&self, key: &str, more: &[&str]) -> Ran {
        let arguments = [
            "audit",
            "expire",
            "--key",
            &self.keys,
            "--checkpoints",
            &self.checkpoints,
            "--signing-key",
            key,
            "--reason",
            "2 days",
        ];
        self.run(Login::Retention, &[&arguments, more].concat())
    }

    /// Verifies as somebody who pinned the keys of nodes, and maybe the one of retention.
    fn verify(&self, retention: Option<&str>) -> Ran {
        let pinned: Vec<&str> = retention.into_iter().flat_map(|key| ["--retention-key", key]).collect();
        self.run(
            Login::Auditor,
            &[&["audit", "verify", "--key", &self.keys, "--seen", &self.checkpoints], &pinned[..]].concat(),
        )
    }

    #[track_caller]
    fn expect_whole(&self, expired: u64) {
        let told = self.verify(Some(&self.keeper)).code(0).json();
        assert_eq!(told["counts"]["expired"], expired, "{told}");
    }

    #[track_caller]
    fn expect_missing(&self, retention: Option<&str>, why: &str) {
        let told = self.verify(retention).code(7).json();
        let first = told["findings"].as_array().unwrap().iter().find(|it| it["failure"] == true).unwrap();
        assert_eq!(first["kind"], "missing", "{told}");
        assert!(first["why"].as_str().unwrap().contains(why), "{told}");
    }

    /// The whole of it: planned, held, taken out, verified in the store and in files.
    fn keep_the_rule(&self) {
        let becomes = |told: &Ran| -> Vec<(String, String)> {
            let days = told.json();
            let word = |day: &Json, name: &str| day[name].as_str().unwrap().to_owned();
            days.as_array().unwrap().iter().map(|day| (word(day, "day"), word(day, "became"))).collect()
        };
        let first = past().first_day();
        let planned = becomes(&self.expire("keeper.key", &["--older-than", "2d", "--dry-run"]).code(6));
        assert_eq!(planned.iter().map(|(_, became)| became.as_str()).collect::<Vec<_>>(), ["would_go"; 2]);
        assert_eq!(planned[0].0, first);
        let hold = ["audit", "hold", "case-7", "--from", &first, "--until", &first, "--reason", "a court asked"];
        let _held = self.run(Login::Retention, &hold).code(0);
        let became = becomes(&self.expire("keeper.key", &["--older-than", "2d"]).code(0));
        assert_eq!(became.iter().map(|(_, became)| became.as_str()).collect::<Vec<_>>(), ["held", "gone"]);
        self.expect_whole(4);
        let _again = self.run(Login::Retention, &hold).code(1).says(&["give this one another name"]);
        let release = ["audit", "hold", "case-7", "--release", "--reason", "it is closed"];
        let _released = self.run(Login::Retention, &release).code(0);
        let holds = self.run(Login::Retention, &["audit", "hold"]).code(0).json();
        assert_eq!(
            (holds[0]["name"].as_str(), holds[0]["released"].as_bool()),
            (Some("case-7"), Some(true)),
            "{holds}"
        );
        let became = becomes(&self.expire("keeper.key", &["--before", &planned[1].0]).code(0));
        assert_eq!(became, [(first, "gone".to_owned())]);
        self.expect_whole(10);
        self.expect_missing(None, "not signed by a key that is pinned for it");
        for id in past().ids() {
            let _gone = self.run(Login::Auditor, &["audit", "show", &id]).code(1);
        }
        let acts = self.run(Login::Auditor, &["audit", "acts"]).code(0).json();
        let kinds: Vec<_> = acts.as_array().unwrap().iter().filter_map(|act| act["act"].as_str()).collect();
        let kinds: Vec<_> = kinds.into_iter().filter(|kind| ["hold", "retention"].contains(kind)).collect();
        assert_eq!(kinds, ["hold", "retention", "hold", "retention"], "{acts}");
    }

    /// Files tell as much, once the log that they hold has the acts.
    fn export(&self) {
        let told = self.run(Login::Auditor, &["audit", "export", "exported"]).code(0).json();
        assert!(told["entries"].as_u64().unwrap() > 4, "{told}");
        let verify = |more: &[&str]| {
            let arguments = ["-o", "json", "audit", "verify", "--from", "exported", "--key", &self.keys];
            ran(Command::new(magistrate_tests::program()).current_dir(self.home).args(arguments).args(more))
        };
        let told = verify(&["--retention-key", &self.keeper]).code(0).json();
        assert_eq!(
            (&told["counts"]["expired"], &told["counts"]["rolled_back"]),
            (&Json::from(10), &Json::from(0)),
            "{told}"
        );
        let _missing = verify(&[]).code(7);
    }
}

/// Adds to a file as the program would; false where python is absent.
fn add(database: &Path, script: &str) -> bool {
    let python = "import sqlite3, sys; sqlite3.connect(sys.argv[1], isolation_level=None).executescript(sys.argv[2])";
    let Ok(added) = Command::new("python3").args(["-c", python]).arg(database).arg(script).output() else {
        return false;
    };
    assert!(added.status.success(), "{script}: {}", String::from_utf8_lossy(&added.stderr));
    true
}

fn at_home(home: &Path) -> impl Fn(Login) -> Command + '_ {
    move |_| {
        let mut command = Command::new(magistrate_tests::program());
        command.current_dir(home);
        command
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_the_embedded_store_go_by_a_signed_act() {
    let store = Store::example();
    let node = Running::with(&store, &[(CLASS, "process")]);
    let database = store.data().join("decisions.db");
    if !add(&database, &past().sqlite()) {
        return skip("days_of_the_embedded_store_go_by_a_signed_act", "no python3 to change the file with");
    }
    let journal = store.data().join("journal");
    let kept = Kept::recorded(node, Box::new(at_home(store.home())), store.home(), &journal).await;
    kept.keep_the_rule();
    // The act is in the log, and a proof of it too, once a node ran again.
    kept.run_on(Running::with(&store, &[(CLASS, "process")])).await;
    kept.expect_whole(10);
    kept.export();
    let stolen = Past::of(4, 2);
    assert!(add(&database, &stolen.sqlite()));
    std::fs::write(&kept.keys, std::fs::read_to_string(&kept.keys).unwrap() + &stolen.key() + "\n").unwrap();
    kept.run_on(Running::with(&store, &[(CLASS, "process")])).await;
    // What is not as it was sealed does not go: that would be an end of the evidence.
    let copy = store.home().join("kept.db");
    assert!(add(&database, "PRAGMA wal_checkpoint(TRUNCATE)"), "the log holds what the file lacks");
    std::fs::copy(&database, &copy).unwrap();
    assert!(edit(
        &database,
        "UPDATE decision SET cause = 'forbidden', decision = 'deny' WHERE stream = x'02020202020202020202020202020202' AND seq = 2"
    ));
    let _refused = kept.expire("keeper.key", &["--before", "2999-01-01"]).code(1).says(&["is not over"]);
    let told = kept.expire("keeper.key", &["--older-than", "2d"]).code(7).json();
    assert_eq!(told[0]["became"], "touched", "{told}");
    super::tampering::restore(&copy, &database);
    // A key that nobody pinned takes out as well as another one: whoever verifies is told.
    let _made = kept.run(Login::Auditor, &["audit", "key", "--make", "thief.key"]).code(0);
    let _gone = kept.expire("thief.key", &["--older-than", "2d"]).code(0);
    kept.expect_missing(Some(&kept.keeper), "not signed by a key that is pinned for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_postgres_go_by_a_signed_act_of_a_role_of_its_own() {
    let deployment = Deployment::shared();
    let journal = deployment.home().join("journal");
    let node = || {
        let mut command = deployment.command(Login::App);
        command.env("MAGISTRATE_JOURNAL", &journal).env(CLASS, "process");
        Running::launch(command)
    };
    let put = |past: &Past| deployment.sql(&past.postgres());
    put(&past());
    let command = Box::new(|login| deployment.command(login));
    let kept = Kept::recorded(node(), command, deployment.home(), &journal).await;
    for login in [Login::App, Login::Admin, Login::Auditor] {
        let arguments = ["audit", "expire", "--key", &kept.keys, "--checkpoints", &kept.checkpoints];
        let more = ["--signing-key", "keeper.key", "--reason", "x", "--older-than", "2d"];
        let _refused = kept.run(login, &[&arguments[..], &more].concat()).code(1);
    }
    kept.keep_the_rule();
    kept.run_on(node()).await;
    kept.expect_whole(10);
    kept.export();
    let parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit.decision'::regclass";
    let before: u32 = deployment.sql(parts).trim().parse().unwrap();
    // A partition that its keeper drops is missing, whatever act is put beside it.
    let stolen = Past::of(5, 2);
    put(&stolen);
    assert_eq!(deployment.sql(parts).trim().parse(), Ok(before + 2));
    std::fs::write(&kept.keys, std::fs::read_to_string(&kept.keys).unwrap() + &stolen.key() + "\n").unwrap();
    kept.run_on(node()).await;
    kept.expect_whole(10);
    let part = format!("audit.decision_{}", stolen.first_day().replace('-', ""));
    deployment.sql(&format!("DROP TABLE {part}"));
    kept.expect_missing(Some(&kept.keeper), "a header covers them");
    let _made = kept.run(Login::Auditor, &["audit", "key", "--make", "thief.key"]).code(0);
    let _gone = kept.expire("thief.key", &["--older-than", "2d"]).code(7);
    kept.expect_missing(Some(&kept.keeper), "a header covers them");
}
