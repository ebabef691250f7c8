//! The load tool against the real program, and against what should not run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests: a broken premise should end them at once"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const TOOL: &str = env!("CARGO_BIN_EXE_magistrate-load");

fn tool(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(TOOL).current_dir(root).args(arguments).output().unwrap()
}

/// The server beside the tool, if it is built.
fn server() -> Option<PathBuf> {
    let path = Path::new(TOOL).with_file_name("magistrate");
    path.is_file().then_some(path)
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Few of everything, whichever loop it is.
const FEW: [&str; 11] =
    ["--requests", "300", "--warm-up", "20", "--connections", "2", "--streams", "4", "--questions", "40", "--json"];

/// In both loops, singly and in batches, answers are right, counted once, and each is in the history.
#[test]
fn loops_answer_what_they_should_and_history_holds_it() {
    let Some(server) = server() else {
        eprintln!("SKIPPED loops_answer_what_they_should_and_history_holds_it: build magistrate first");
        return;
    };
    let server = server.to_str().unwrap();
    let grown = ["--policies", "66", "--entities", "60", "--assignments", "30"];
    for (more, decisions) in
        [(&grown[..], 300), (&["--rate", "600", "--threads", "2"], 300), (&["--batch", "10"], 3_000)]
    {
        let told = json(&tool(&[&["run", "--program", server, "--verify-history"], &FEW[..], more].concat()));
        let figures = &told["figures"];
        let counted = |name: &str| figures[name].as_u64().unwrap();
        assert_eq!((counted("answered"), counted("decisions"), counted("wrong")), (300, decisions, 0), "{told}");
        let denied = counted("denied") * 100 / decisions;
        assert!((20..30).contains(&denied), "a quarter is denied, not {denied} %: {told}");
        assert_eq!(figures["history_verified"], true);
        assert!(figures["latency_us"]["p99"].as_u64().unwrap() > 0 && counted("resident_bytes") > 0);
        assert!(more[0] != "--rate" || figures["seconds"].as_f64().unwrap() > 0.3, "300 at 600 a second: {told}");
    }
}

#[test]
fn two_programs_are_compared_by_round() {
    let compared =
        json(&tool(&[&["ab", "--a", "echo", "--b", "echo,--workers=1", "--rounds", "3"], &FEW[..]].concat()));
    assert_eq!(compared["a"].as_array().unwrap().len(), 3);
    let p50 = &compared["b_over_a"]["latency_p50"];
    let ratio = |name: &str| p50[name].as_f64().unwrap();
    assert!(ratio("least") > 0.0 && ratio("least") <= ratio("median") && ratio("median") <= ratio("most"), "{p50}");
}

/// A server that answers wrongly fails the run: the echo denies everything.
#[test]
fn wrong_answers_fail_the_run() {
    let echo = Echo::start();
    let told = tool(&[&["run", "--server", &echo.address], &FEW[..]].concat());
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.code() == Some(1) && error.contains("otherwise than is right"), "{error}");
    let told = json(&tool(&[&["run", "--server", &echo.address, "--deny-share", "1"], &FEW[..]].concat()));
    assert_eq!(told["figures"]["denied"], 300, "where everything must be denied it is right");
}

#[test]
fn what_cannot_run_says_so() {
    for (wrong, code, says) in [
        (&["run", "--program", "echo", "--requests", "0"][..], 2, "at most 10,000,000"),
        (&["run", "--program", "echo", "--rate", "0"], 2, "`--rate` is between"),
        (&["run", "--program", "echo,workers=1"], 2, "neither NAME=value"),
        (&["run", "--program", "no-such-program"], 1, "build it"),
        (&["run"], 2, "--program"),
    ] {
        let output = tool(wrong);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && told.contains(says), "{wrong:?}: {told}");
    }
}

/// The echo as a server of its own. Killed when dropped.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start() -> Self {
        let mut child = Command::new(TOOL).arg("echo").stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { child, address: told["address"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
