//! What the program is shipped in: linted by what the registries offer, and its steps run natively.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_tests::{skip, workspace};

mod archive;
mod chart;
mod compose;
mod context;
mod image;
mod stage;
mod systemd;

/// A program that `tests/run` installs, if it did.
fn tool(name: &str) -> Option<PathBuf> {
    Some(workspace().join("target/python/bin").join(name)).filter(|path| path.is_file())
}

/// Runs a tool to its end and expects it to be content.
#[track_caller]
fn content(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn dockerfile_is_clean() {
    let Some(hadolint) = tool("hadolint") else { return skip("dockerfile_is_clean", "no hadolint; run tests/run") };
    content(Command::new(hadolint).arg(workspace().join("Dockerfile")));
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
