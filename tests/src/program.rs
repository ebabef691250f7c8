//! The binary under test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value as Json;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The `magistrate` binary beside this test's own, built if it is not current.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let profile = own.parent().and_then(Path::parent).unwrap();
        let mut build = Command::new(env!("CARGO"));
        // Set for the tests by `tests/run`; it would make the build another one.
        build.env_remove("RUSTC_BOOTSTRAP");
        build.current_dir(workspace()).args(["build", "--quiet", "-p", "magistrate-server", "--bin", "magistrate"]);
        if profile.file_name() == Some(OsStr::new("release")) {
            build.arg("--release");
        }
        build.arg("--target-dir").arg(profile.parent().unwrap());
        assert!(build.status().unwrap().success(), "the binary under test does not build");
        profile.join("magistrate")
    })
}

/// A run of the binary that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Expects an exit code.
    #[track_caller]
    #[must_use]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Expects texts on standard error.
    #[track_caller]
    #[must_use]
    pub fn says(self, expected: &[&str]) -> Self {
        for text in expected {
            assert!(self.err.contains(text), "wanted `{text}` in: {}", self.err);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }

    /// The revision that a change was told to have made.
    #[track_caller]
    pub fn revision(&self) -> u64 {
        self.json()["revision"].as_u64().unwrap_or_else(|| panic!("no revision: {}", self.out))
    }
}

/// Runs the binary in a directory, with no environment of ours.
pub fn magistrate<S: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = S>) -> Ran {
    let mut command = Command::new(program());
    ran(command.current_dir(directory).args(arguments).env("USER", "tester").env("NO_COLOR", "1"))
}

/// Runs a command of the binary to its end; one that does not end, such as a server that should have refused to
/// start, is killed after a while.
pub fn ran(command: &mut Command) -> Ran {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (running, ended) = mpsc::channel::<()>();
    let watching = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _killed = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(running);
    watching.join().unwrap();
    Ran::of(&output)
}

/// Longer than any command takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Tells what a test measured, to those who ask for its output.
pub fn tell(measured: &str) {
    eprintln!("{measured}");
}

/// Tells that a test did nothing, and why: never silently.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}
