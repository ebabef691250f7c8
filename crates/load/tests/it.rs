//! The load tool against the real program, and against what should not run.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests: a broken premise should end them at once")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tool(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_magistrate-load")).current_dir(root).args(arguments).output().unwrap()
}

/// The server beside the tool, if it is built.
fn server() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_magistrate-load")).with_file_name("magistrate");
    path.is_file().then_some(path)
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const FEW: [&str; 9] = ["--requests", "200", "--warm-up", "20", "--connections", "2", "--streams", "4", "--json"];

#[test]
fn loops_answer_what_they_should_and_tell_what_it_took() {
    let Some(server) = server() else {
        eprintln!("SKIPPED loops_answer_what_they_should_and_tell_what_it_took: build magistrate first");
        return;
    };
    let server = server.to_str().unwrap();
    for more in [&[][..], &["--rate", "400"], &["--batch", "10"]] {
        let told = json(&tool(&[&["run", "--program", server], &FEW[..], more].concat()));
        let decisions = if more.contains(&"--batch") { 2_000 } else { 200 };
        assert_eq!((told["answered"].as_u64(), told["decisions"].as_u64()), (Some(200), Some(decisions)), "{told}");
        assert!(told["latency_us"]["p99"].as_u64().unwrap() > 0 && told["resident_bytes"].as_u64().unwrap() > 0);
    }
    let paced = json(&tool(&[&["run", "--program", server, "--rate", "400"], &FEW[..]].concat()));
    assert!(paced["seconds"].as_f64().unwrap() > 0.45, "200 questions at 400 a second: {paced}");
    let compared = json(&tool(&[&["ab", "--a", "echo", "--b", "echo", "--rounds", "2"], &FEW[..]].concat()));
    assert!(compared["latency_p50"]["median"].as_f64().unwrap() > 0.0, "{compared}");
}

/// A server that answers wrongly fails the run: the policies of another template deny what should be allowed.
#[test]
fn wrong_answers_fail_the_run() {
    let Some(server) = server() else {
        eprintln!("SKIPPED wrong_answers_fail_the_run: build magistrate first");
        return;
    };
    let told = tool(
        &[&["run", "--program", server.to_str().unwrap(), "--policies", "crates/server/templates/saas"], &FEW[..]]
            .concat(),
    );
    assert!(!told.status.success());
}

#[test]
fn nothing_runs_without_an_end() {
    for (wrong, says) in [
        (&["--requests", "0"][..], "at most 10,000,000"),
        (&["--seconds", "601"], "at most 600"),
        (&["--deny-share", "2"], "a share between 0 and 1"),
        (&["--rate", "0"], "--rate"),
        (&["--batch", "1001"], "between 1 and 1,000"),
    ] {
        let output = tool(&[&["run", "--server", "http://127.0.0.1:1"], wrong].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(says), "{told}");
    }
}
