//! Private values on both stores: recorded beside decisions, found by, decided again with, erased, and verified.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use magistrate_client::structure::Struct;
use magistrate_client::v1::audit_service_client::AuditServiceClient;
use magistrate_client::v1::{CheckRequest, Environment, GetDecisionRequest, ReplayDecisionRequest};
use magistrate_testkit::ForgedErasure;
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{ADMIN, Ran, Running, Store, ran, request, skip};
use serde_json::Value as Json;

use crate::tampering::{edit, restore};

const PATIENCE: Duration = Duration::from_mins(1);
const CONFIG: &str = "[ledger]
private_fields = [\"context.topic\", \"environment.user_agent\", \"environment.device\", \"ip\"]
";
/// What Ana's requests hold, and what Ben's holds.
const ANAS: &str = "anas-secret-topic";
const BENS: &str = "bens-secret-topic";
/// Why values are missing.
const UNTOLD: &str = "no act says that they were erased";
const UNSIGNED: &str = "is not signed by a key that is pinned for it";

/// A store, and how to use it.
struct Deployed<'a> {
    node: Running,
    /// Runs a verb as who may read history, and as who may erase.
    read: &'a dyn Fn(&[&str]) -> Ran,
    erase: &'a dyn Fn(&[&str]) -> Ran,
    home: &'a Path,
    journal: PathBuf,
    /// The key that signs what is erased, which verifiers pin.
    keeper: String,
}

/// What a history has when its private values were erased as they should be.
struct Erased {
    /// The key of the node.
    key: String,
    /// The decision whose values are there.
    bens: String,
}

async fn ask(node: &Running, user: &str, topic: &str) -> String {
    let environment = Environment {
        source_ip: "192.0.2.7".to_owned(),
        user_agent: format!("{topic} agent"),
        attributes: [("device".to_owned(), format!("{topic} device")), ("kept".to_owned(), "tablet".to_owned())].into(),
    };
    let asked = CheckRequest {
        context: Some(Struct::from_iter([("topic", topic)])),
        environment: Some(environment),
        ..request(("User", user), "sendMessage", ("Mailbox", "ana"))
    };
    node.client().await.check(asked, PATIENCE).await.unwrap().decision_id
}

fn number(told: &Json, at: &str) -> u64 {
    told.pointer(at).and_then(Json::as_u64).unwrap_or_else(|| panic!("no number at {at}: {told}"))
}

fn text<'a>(told: &'a Json, at: &str) -> &'a str {
    told.pointer(at).and_then(Json::as_str).unwrap_or_else(|| panic!("no text at {at}: {told}"))
}

/// The files of records of an export, by name.
fn records(dir: &Path) -> BTreeMap<String, String> {
    let named = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.ends_with(".records.jsonl").then(|| (name, std::fs::read_to_string(path).unwrap()))
    };
    std::fs::read_dir(dir).unwrap().filter_map(|entry| named(entry.unwrap().path())).collect()
}

/// Files below a directory that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(holding(&path, text)),
            false if std::fs::read(&path).unwrap().windows(text.len()).any(|it| it == text.as_bytes()) => {
                found.push(path);
            }
            false => {}
        }
    }
    found
}

impl Deployed<'_> {
    /// The whole life of private values. Ends with what is verified when the node has stopped.
    async fn check(&mut self) -> Erased {
        (self.read)(&["audit", "key", "--make", "keeper.key"]).code(0).out.trim().clone_into(&mut self.keeper);
        let (first, _second) = (ask(&self.node, "ana", ANAS).await, ask(&self.node, "ana", ANAS).await);
        let third = ask(&self.node, "ben", BENS).await;
        self.check_before(&first);
        let erase = ["audit", "erase", "--principal", "Company::User::ana", "--reason", "ticket 7"];
        let _told = (self.erase)(&erase).code(2).says(&["--signing-key"]);
        let json = |more: &[&'static str]| [&["-o", "json"], &erase[..], more].concat();
        let told = (self.erase)(&json(&["--dry-run"])).code(6).json();
        assert_eq!((number(&told, "/erasable"), number(&told, "/erased")), (2, 0), "{told}");
        let told = (self.erase)(&json(&["--signing-key", "keeper.key"])).code(0).json();
        assert_eq!((number(&told, "/erased"), number(&told, "/held")), (2, 0), "{told}");
        self.check_after(&first, &third);
        self.check_service(&first, &third).await;
        // The next checkpoint of this stream covers them all: they leave the journal.
        assert_eq!(self.node.terminate(), 0);
        assert!(!self.node.logged().contains(ANAS) && !self.node.logged().contains(BENS), "a log tells no values");
        for secret in [ANAS, BENS] {
            assert_eq!(holding(&self.journal, secret), Vec::<PathBuf>::new(), "the journal holds {secret}");
        }
        let key = (self.read)(&["audit", "key"]).code(0).out.trim().to_owned();
        let told = self.verify(&key, 0);
        assert_eq!((number(&told, "/counts/erased"), number(&told, "/erased_by_acts")), (2, 2), "{told}");
        assert_eq!(number(&told, "/erased_by_unsigned_acts"), 0, "{told}");
        // To those who pinned another key, or none for this, nobody said so.
        let told = (self.read)(&["-o", "json", "audit", "verify", "--key", &key]).code(7).json();
        expect_missing(&told, 2, UNSIGNED);
        let told = self.verify_more(&key, 7, &["--retention-key", &key]);
        expect_missing(&told, 2, UNSIGNED);
        self.check_files(&key);
        Erased { key, bens: third }
    }

    /// As somebody who pinned the keys of the node and of whoever may erase.
    fn verify(&self, key: &str, code: i32) -> Json {
        let keeper = self.keeper.clone();
        self.verify_more(key, code, &["--retention-key", &keeper])
    }

    fn verify_more(&self, key: &str, code: i32, more: &[&str]) -> Json {
        (self.read)(&[&["-o", "json", "audit", "verify", "--key", key], more].concat()).code(code).json()
    }

    /// Whoever has another key erases as well, with all that the store asks for: whoever verifies is told.
    fn erase_as_a_thief(&self, erased: &Erased) {
        let thief = (self.read)(&["audit", "key", "--make", "thief.key"]).code(0).out.trim().to_owned();
        let erase =
            ["audit", "erase", "--principal", "Company::User::ben", "--reason", "r", "--signing-key", "thief.key"];
        assert!((self.erase)(&erase).code(0).out.contains("values of 1 decisions"));
        expect_missing(&self.verify(&erased.key, 7), 1, UNSIGNED);
        let told = self.verify_more(&erased.key, 0, &["--retention-key", &self.keeper, "--retention-key", &thief]);
        assert_eq!(number(&told, "/counts/erased"), 3, "{told}");
    }

    /// Everything is there, as if it were in the records.
    fn check_before(&self, first: &str) {
        let read = |arguments: &[&str]| (self.read)(&[&["-o", "json"], arguments].concat()).code(0).json();
        let found = read(&["audit", "search", "--ip", "192.0.2.7"]);
        assert_eq!(found.as_array().unwrap().len(), 3, "{found}");
        let shown = read(&["audit", "show", first]);
        assert_eq!(text(&shown, "/context/topic"), ANAS);
        assert_eq!(text(&shown, "/environment/user_agent"), format!("{ANAS} agent"));
        assert_eq!((text(&shown, "/caller/address"), shown.get("erased")), ("127.0.0.1", None), "{shown}");
        let told = read(&["audit", "replay", "--since", "1h"]);
        assert_eq!((number(&told, "/replayed"), number(&told, "/same")), (3, 3), "{told}");
        let (without, with) = (self.home.join("without"), self.home.join("with"));
        let export = |dir: &Path, more: &[&str]| {
            let told = read(&[&["audit", "export", dir.to_str().unwrap()], more].concat());
            (number(&told, "/records"), number(&told, "/filled"))
        };
        assert_eq!(export(&without, &[]), (3, 0));
        assert_eq!(export(&with, &["--with-private"]), (3, 0));
        // What was exported without values gets them, once; records are those that were exported.
        let later = self.home.join("later");
        assert_eq!(export(&later, &[]), (3, 0));
        assert_eq!(export(&later, &["--with-private"]), (0, 3));
        assert_eq!(export(&later, &["--with-private"]), (0, 0));
        assert_eq!(records(&later), records(&with), "as if they had been exported with them");
        // So does what was added without them since, whatever was written half.
        for (path, lines) in records(&later) {
            let but_one = lines.trim_end().rsplit_once('\n').unwrap().0;
            std::fs::write(later.join(path), format!("{but_one}\n")).unwrap();
        }
        assert_eq!(export(&later, &[]), (1, 0));
        for (path, lines) in records(&later) {
            std::fs::write(later.join(path), format!("{lines}{{\"seq\":4,\"rec")).unwrap();
        }
        assert_eq!(export(&later, &["--with-private"]), (0, 1));
        assert_eq!(records(&later), records(&with));
    }

    /// What was erased is known as erased, and nothing else is.
    fn check_after(&self, first: &str, third: &str) {
        let read = |arguments: &[&str]| (self.read)(&[&["-o", "json"], arguments].concat()).code(0).json();
        let found = read(&["audit", "search", "--ip", "192.0.2.7"]);
        assert_eq!(found.as_array().unwrap().len(), 1, "what is erased is not found by: {found}");
        assert_eq!(text(&found, "/0/context/topic"), BENS);
        assert_eq!(read(&["audit", "search", "--principal", "Company::User::ana"]).as_array().unwrap().len(), 2);
        let shown = read(&["audit", "show", first]);
        for place in [
            "/context/topic",
            "/environment/source_ip",
            "/environment/user_agent",
            "/environment/attributes/device",
            "/caller/address",
        ] {
            assert_eq!(text(&shown, place), "(erased)", "{shown}");
        }
        assert_eq!(text(&shown, "/environment/attributes/kept"), "tablet");
        let erased: Vec<_> =
            shown.get("erased").and_then(Json::as_array).unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(
            erased,
            [
                "caller.address",
                "context.topic",
                "environment.attributes.device",
                "environment.source_ip",
                "environment.user_agent"
            ]
        );
        let page = (self.read)(&["audit", "show", first]).code(0).out;
        assert!(page.contains("topic=(erased)") && page.contains("address=(erased)"), "{page}");
        let told = read(&["audit", "replay", "--since", "1h"]);
        assert_eq!(
            (number(&told, "/same"), number(&told, "/not_replayable"), number(&told, "/erased")),
            (1, 2, 2),
            "{told}"
        );
        assert_eq!(text(&told, "/decisions/0/reason"), "erased");
        let told = (self.read)(&["audit", "replay", first]).code(1).out;
        assert!(told.contains("`context.topic`") && told.contains("were erased"), "{told}");
        let _told = (self.read)(&["audit", "replay", third]).code(0);
        let acts = read(&["audit", "acts", "--kind", "erasure"]);
        let what = text(&acts, "/0/what");
        assert!(
            what.contains("of 2 decisions") && what.contains("Company::User::\"ana\"") && what.ends_with("ticket 7"),
            "{what}"
        );
        // Nothing is left to be erased, and no act is recorded of it.
        let again = ["audit", "erase", "--principal", "Company::User::ana", "--reason", "again"];
        let again = [&again[..], &["--signing-key", "keeper.key"]].concat();
        assert!((self.erase)(&again).code(0).out.contains("values of 0 decisions"));
        assert_eq!(read(&["audit", "acts", "--kind", "erasure"]).as_array().unwrap().len(), 1);
        let _told = (self.erase)(&["audit", "erase", "--reason", "all"]).code(2).says(&["--principal"]);
    }

    async fn check_service(&self, first: &str, third: &str) {
        let url = format!("http://{}", self.node.admin().unwrap());
        let mut client = AuditServiceClient::connect(url).await.unwrap();
        let get = |id: &str| GetDecisionRequest { decision_id: id.to_owned() };
        let found = client.get_decision(get(first)).await.unwrap().into_inner();
        assert_eq!((found.erased.len(), found.caller_address.as_str(), found.context), (5, "", None));
        let found = client.get_decision(get(third)).await.unwrap().into_inner();
        assert_eq!((found.erased.len(), found.caller_address.as_str()), (0, "127.0.0.1"));
        for under_current in [false, true] {
            let replay = ReplayDecisionRequest { decision_id: first.to_owned(), under_current };
            let told = client.replay_decision(replay).await.unwrap().into_inner();
            assert_eq!((told.same, told.not_replayable_reason.as_str()), (false, "erased"), "{told:?}");
        }
    }

    /// Files hold what was wanted when they were written.
    fn check_files(&self, key: &str) {
        let [without, with, later] = ["without", "with", "later"].map(|dir| self.home.join(dir));
        let opened =
            |dir: &Path| records(dir).values().map(|lines| lines.matches("\"opening\":").count()).sum::<usize>();
        assert_eq!((opened(&without), opened(&with), opened(&later)), (0, 3, 3));
        std::fs::create_dir(self.home.join("partly")).unwrap();
        for (name, lines) in records(&without) {
            std::fs::write(self.home.join("partly").join(name), lines).unwrap();
        }
        // What was erased since is not there to be added, and what was exported before stays.
        let fill = |dir: &Path| {
            let export = ["-o", "json", "audit", "export", dir.to_str().unwrap(), "--with-private"];
            let told = (self.read)(&export).code(0).json();
            (number(&told, "/filled"), number(&told, "/without_values"))
        };
        let partly = self.home.join("partly");
        assert_eq!((fill(&later), fill(&partly)), ((0, 0), (1, 2)), "Ben has values, and Ana has none any more");
        for (dir, lacking) in [(without, 3), (with, 0), (later, 0), (partly, 2)] {
            let verify = ["-o", "json", "audit", "verify", "--from", dir.to_str().unwrap(), "--key", key];
            let told = (self.read)(&verify).code(0).json();
            assert_eq!(number(&told, "/counts/erased"), lacking, "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_values_are_erased_and_only_by_whoever_says_so() {
    let store = Store::example();
    let _config = store.file("magistrate.toml", CONFIG);
    let run = |arguments: &[&str]| store.run(arguments);
    let node = Running::with(&store, &[(ADMIN, "127.0.0.1:0")]);
    let journal = store.data().join("journal");
    let mut deployed = Deployed { node, read: &run, erase: &run, home: store.home(), journal, keeper: String::new() };
    let erased = deployed.check().await;
    assert_eq!(holding(&store.data(), ANAS), Vec::<PathBuf>::new(), "no file holds what was erased");
    assert!(!holding(&store.data(), BENS).is_empty(), "what was not erased is there");
    let database = store.data().join("decisions.db");
    let copy = store.home().join("kept.db");
    std::fs::copy(&database, &copy).unwrap();
    // Whoever keeps the file takes more away than acts tell of.
    if !edit(&database, "DELETE FROM opening") {
        return skip("embedded_values_are_erased_and_only_by_whoever_says_so", "no python3 to change the file with");
    }
    expect_missing(&deployed.verify(&erased.key, 7), 1, UNTOLD);
    // Or puts something else in the place of a value.
    assert!(edit(&database, "INSERT INTO opening SELECT stream, seq, day, x'80' FROM decision WHERE seq = 3"));
    let told = deployed.verify(&erased.key, 7);
    assert_eq!(number(&told, "/counts/altered"), 1, "{told}");
    check_filling(&store, &database, &copy);
    // Or writes an act that excuses it.
    let bens = erased.bens.as_str();
    let body = act_of(&database);
    let earlier = ForgedErasure::unsigned("Company::User::\"ben\"");
    let with_the_signature = ForgedErasure::with_the_signature_of(&body, bens);
    for forged in [&with_the_signature, &ForgedErasure::by_another_key(bens), &earlier] {
        restore(&copy, &database);
        assert!(edit(&database, &format!("DELETE FROM opening; {}", forged.sqlite())));
        expect_missing(&deployed.verify(&erased.key, 7), 1, UNSIGNED);
    }
    // One from before acts were signed is believed by those who say that they know it.
    let known = ["--retention-key", &deployed.keeper, "--unsigned-erasure", &earlier.id()];
    let told = deployed.verify_more(&erased.key, 0, &known);
    assert_eq!((number(&told, "/erased_by_acts"), number(&told, "/erased_by_unsigned_acts")), (3, 1), "{told}");
    let other = ["--retention-key", &deployed.keeper, "--unsigned-erasure", &with_the_signature.id()];
    expect_missing(&deployed.verify_more(&erased.key, 7, &other), 1, UNSIGNED);
    restore(&copy, &database);
    deployed.erase_as_a_thief(&erased);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_values_are_erased_and_only_by_whoever_says_so() {
    let deployment = Deployment::shared();
    let home = deployment.home();
    let journal = home.join("journal");
    std::fs::write(home.join("magistrate.toml"), CONFIG).unwrap();
    let url = home.join("auditor-url");
    std::fs::write(&url, deployment.url_with_password(Login::Auditor)).unwrap();
    let run = |login: Login, arguments: &[&str]| -> Ran {
        ran(deployment.command(login).env("MAGISTRATE_JOURNAL", &journal).args(arguments))
    };
    let mut command = deployment.command(Login::App);
    command.env("MAGISTRATE_JOURNAL", &journal).env(ADMIN, "127.0.0.1:0");
    command.env("MAGISTRATE_AUDITOR_DATABASE_URL_FILE", &url);
    let (read, erase) = (|it: &[&str]| run(Login::Auditor, it), |it: &[&str]| run(Login::Retention, it));
    let mut deployed = Deployed {
        node: Running::launch(command),
        read: &read,
        erase: &erase,
        home,
        journal: journal.clone(),
        keeper: String::new(),
    };
    let erased = deployed.check().await;
    let holding = |table: &str, secret: &str| {
        deployment.sql(&format!("SELECT count(*) FROM audit.{table} WHERE position('{secret}'::bytea IN body) > 0"))
    };
    assert_eq!((holding("opening", ANAS), holding("opening", BENS)), ("0".to_owned(), "1".to_owned()));
    assert_eq!((holding("decision", ANAS), holding("decision", BENS)), ("0".to_owned(), "0".to_owned()));
    // Others erase nothing.
    for login in [Login::App, Login::Admin, Login::Auditor] {
        let erase = ["audit", "erase", "--principal", "Company::User::ben", "--reason", "r"];
        let refused = run(login, &[&erase[..], &["--signing-key", "keeper.key"]].concat());
        let _told = refused.code(1).says(&["may not do this"]);
    }
    deployment.sql(
        "ALTER TABLE audit.opening DISABLE TRIGGER ALL;
         CREATE TABLE kept AS SELECT * FROM audit.opening; DELETE FROM audit.opening",
    );
    expect_missing(&deployed.verify(&erased.key, 7), 1, UNTOLD);
    let body = deployment.sql("SELECT encode(body, 'hex') FROM audit.act WHERE kind = 'erasure'");
    let bens = erased.bens.as_str();
    for forged in [
        ForgedErasure::with_the_signature_of(body.trim(), bens),
        ForgedErasure::by_another_key(bens),
        ForgedErasure::unsigned("Company::User::\"ben\""),
    ] {
        deployment.sql(&forged.postgres());
        expect_missing(&deployed.verify(&erased.key, 7), 1, UNSIGNED);
    }
    deployment.sql("INSERT INTO audit.opening SELECT * FROM kept; ALTER TABLE audit.opening ENABLE TRIGGER ALL");
    let _whole = deployed.verify(&erased.key, 0);
    deployed.erase_as_a_thief(&erased);
}

/// What the store has is put beside a record that was exported only where it belongs to it; everything else is exported.
fn check_filling(store: &Store, database: &Path, copy: &Path) {
    let export = |more: &[&str]| store.run(&[&["audit", "export", "filled"], more].concat());
    let records_of = || records(&store.home().join("filled"));
    restore(copy, database);
    let _told = export(&[]).code(0);
    let exported = records_of();
    for (script, why) in [
        ("UPDATE opening SET body = x'80'", "do not belong to"),
        ("UPDATE decision SET body = (SELECT body FROM decision WHERE seq = 2) WHERE seq = 3", "has another record at"),
    ] {
        restore(copy, database);
        assert!(edit(database, script));
        let _told = export(&["--with-private"]).code(1).says(&[why, "export into another one"]);
        assert_eq!(records_of(), exported, "{script}");
    }
    restore(copy, database);
    let _told = export(&["--with-private"]).code(0).says(&[]);
    assert_ne!(records_of(), exported, "what there is is added once the store is right again");
}

/// The body of the act of erasure in a file, in hexadecimal digits.
fn act_of(database: &Path) -> String {
    let python = "import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute(\"SELECT hex(body) FROM act WHERE kind = 'erasure'\").fetchone()[0])";
    let read = Command::new("python3").args(["-c", python]).arg(database).output().unwrap();
    String::from_utf8(read.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn expect_missing(told: &Json, records: u64, why: &str) {
    let findings = told.get("findings").and_then(Json::as_array).unwrap();
    let failures: Vec<&Json> = findings.iter().filter(|it| it.get("failure") == Some(&Json::Bool(true))).collect();
    let [failure] = failures[..] else { panic!("one failure: {told}") };
    assert_eq!((text(failure, "/kind"), number(failure, "/records")), ("missing", records), "{told}");
    assert!(text(failure, "/why").contains(why), "{told}");
}

#[test]
fn fields_that_cannot_be_private_are_refused_at_the_start() {
    let store = Store::example();
    let _config = store.file("magistrate.toml", "[ledger]\nprivate_fields = [\"context.topic\", \"action\"]\n");
    let _told = store.run(&["serve", "--listen", "127.0.0.1:0"]).code(1).says(&[
        "ledger.private_fields",
        "`action` cannot be private",
        "context.NAME",
    ]);
}
