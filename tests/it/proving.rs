//! `audit prove` and `audit check-proof`: what is shown to whoever has no store.

use std::path::Path;
use std::process::Command;

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{CLASS, Ran, Running, Store, ran, request};
use serde_json::{Value as Json, json};

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

type Audit<'a> = Box<dyn Fn(&[&str]) -> Ran + 'a>;

/// A node that runs, and how its store is asked.
struct World<'a> {
    node: Running,
    audit: Audit<'a>,
    key: String,
}

/// In a directory of its own, without store or configuration.
fn check_proof(dir: &Path, proof: &Json, key: &str) -> Ran {
    std::fs::write(dir.join("proof.json"), proof.to_string()).unwrap();
    let mut command = Command::new(magistrate_tests::program());
    command.current_dir(dir).env("MAGISTRATE_CONFIG", "nowhere").env("MAGISTRATE_DATA", "nowhere");
    ran(command.args(["-o", "json", "audit", "check-proof", "proof.json", "--key", key]))
}

/// A decision is pending, then proven; any change to its proof is refused, and so is any other key.
#[expect(clippy::indexing_slicing, reason = "tests: a broken premise should end them at once")]
async fn expect_proofs(mut world: World<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let client = world.node.client().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let asked = client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
        ids.push(asked.await.unwrap().decision_id);
    }
    let prove = |arguments: &[&str]| (world.audit)(&[&["-o", "json", "audit", "prove"], arguments].concat());
    let proof = prove(&[&ids[3], "--wait"]).code(0).json();
    let told = check_proof(dir.path(), &proof, &world.key).code(0).json();
    assert_eq!((&told["holds"], &told["decision"]["id"]), (&json!(true), &json!(ids[3])), "{told}");
    // What was decided now is not covered yet, or just now: never anything else.
    let asked = client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE);
    let newest = asked.await.unwrap().decision_id;
    let first = prove(&[&newest]);
    assert!([0, 6].contains(&first.code), "{}", first.out);
    // Everything is covered when the node has stopped; the log goes on from where it was.
    let earlier = proof["checkpoint"].as_str().unwrap();
    std::fs::write(dir.path().join("note"), earlier).unwrap();
    assert_eq!(world.node.terminate(), 0, "{}", world.node.logged());
    let proof = prove(&[&newest]).code(0).json();
    let _told = check_proof(dir.path(), &proof, &world.key).code(0).json();
    let note = dir.path().join("note");
    let going_on = prove(&["--since", note.to_str().unwrap()]).code(0).json();
    let told = check_proof(dir.path(), &going_on, &world.key).code(0).json();
    assert!(told["old"].as_u64() < told["new"].as_u64(), "{told}");
    let size = told["old"].to_string();
    assert_eq!(prove(&["--since", &size]).code(0).json(), going_on);
    let _told = prove(&["--since", "999999"]).code(1).says(&["there is no checkpoint"]);
    // Nothing but what was recorded holds.
    for pointer in ["/id", "/record", "/header", "/batch/path", "/log/index", "/log/path/0", "/checkpoint"] {
        let mut forged = proof.clone();
        let element = forged.pointer_mut(pointer).unwrap();
        *element = match element {
            Json::String(text) => json!(text.replacen(|c: char| c.is_ascii_alphanumeric(), "0", 9)),
            Json::Number(number) => json!(number.as_u64().unwrap() + 1),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => json!(["00"]),
        };
        let told = check_proof(dir.path(), &forged, &world.key).code(7).json();
        assert_eq!(told["holds"], json!(false), "{pointer}");
    }
    let stranger = "magistrate/n+00000000+x";
    let _told = check_proof(dir.path(), &proof, stranger).code(1).says(&["is not a verifier key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_store_proves_a_decision_to_whoever_has_no_store() {
    let store = Store::example();
    let node = Running::with(&store, &[(CLASS, "process")]);
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    // A key that signed nothing of it proves nothing.
    let other = store.run(&["audit", "key", "--make", "other.key"]).code(0).out.trim().to_owned();
    expect_proofs(World { node, audit: Box::new(|arguments| store.run(arguments)), key: key.clone() }).await;
    let id = store.history()[0]["id"].as_str().unwrap().to_owned();
    let proof = store.run(&["-o", "json", "audit", "prove", &id]).code(0).json();
    let _told = check_proof(store.home(), &proof, &key).code(0);
    let told = check_proof(store.home(), &proof, &other).code(7).json();
    assert!(told["why"].as_str().unwrap().contains("no key that is trusted signed it"), "{told}");
    assert!(store.run(&["audit", "prove", &id, "--out", "kept.json"]).code(0).out.contains("kept.json"));
    let told = store.run(&["audit", "check-proof", "kept.json", "--key", &key]).code(0).out;
    assert!(told.contains("is what was recorded"), "{told}");
    let _told = store.run(&["audit", "check-proof", "nowhere", "--key", &key]).code(1).says(&["cannot read the proof"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_proves_a_decision_to_whoever_has_no_store() {
    let deployment = Deployment::shared();
    let journal = deployment.home().join("journal");
    let mut command = deployment.command(Login::App);
    command.env("MAGISTRATE_JOURNAL", &journal).env(CLASS, "process");
    let node = Running::launch(command);
    let mut command = deployment.command(Login::Auditor);
    let key = ran(command.env("MAGISTRATE_JOURNAL", &journal).args(["audit", "key"])).code(0).out.trim().to_owned();
    let audit = |arguments: &[&str]| deployment.run(Login::Auditor, arguments);
    expect_proofs(World { node, audit: Box::new(audit), key }).await;
}
