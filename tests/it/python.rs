//! Clients in another language: the contract is what they see.

use std::path::PathBuf;
use std::process::Command;

use magistrate_tests::{Running, Store, skip, workspace};

/// The Python with grpcio that the test command installs.
pub(crate) fn python() -> Option<PathBuf> {
    let interpreter = workspace().join("target/python/bin/python");
    let works = Command::new(&interpreter).args(["-c", "import grpc, grpc_tools, grpc_reflection"]).output();
    works.is_ok_and(|output| output.status.success()).then_some(interpreter)
}

fn run(test: &str, script: &str) {
    let Some(interpreter) = python() else {
        skip(test, "no Python with grpcio in target/python; `tests/run` installs it");
        return;
    };
    let (store, output) = (Store::example(), Store::nowhere());
    let running = Running::start(&store);
    let ran = Command::new(interpreter)
        .arg(workspace().join("tests/python").join(script))
        .args([running.url().trim_start_matches("http://"), workspace().join("proto").to_str().unwrap()])
        .arg(output.home())
        .output()
        .unwrap();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}\n{}", lossy(&ran.stdout), lossy(&ran.stderr));
    assert!(lossy(&ran.stdout).contains("ok"), "{}", lossy(&ran.stdout));
}

#[test]
fn client_generated_from_the_proto_gets_decisions() {
    run("client_generated_from_the_proto_gets_decisions", "generated.py");
}

#[test]
fn client_that_knows_only_reflection_gets_decisions() {
    run("client_that_knows_only_reflection_gets_decisions", "reflected.py");
}
