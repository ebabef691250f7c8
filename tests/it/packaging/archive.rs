//! The archive that is shipped, packed of the program that the tests have built.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_tests::{program, workspace};

use super::content;

/// The archive and the directory it was made of.
fn packed(shipped: &Path, umask: &str) -> (PathBuf, PathBuf) {
    let script = workspace().join("deploy/pack.sh");
    let line = format!("umask {umask}; exec \"$0\" \"$@\"");
    let mut pack = Command::new("bash");
    pack.args(["-c", &line]).arg(script).arg(program()).arg(shipped);
    content(pack.env("SOURCE_DATE_EPOCH", "1700000000").env("CARGO", env!("CARGO")));
    let archive = std::fs::read_dir(shipped).unwrap().map(|it| it.unwrap().path());
    let archive = archive.into_iter().find(|it| it.extension().is_some_and(|end| end == "gz")).unwrap();
    let directory = PathBuf::from(archive.to_str().unwrap().trim_end_matches(".tar.gz"));
    (archive, directory)
}

/// Everything is in it and as the checksums say, and it is the same wherever and by whomever it is packed.
#[test]
fn archive_is_complete_and_the_same_again() {
    let [one, two] = ["", "elsewhere"].map(|name| (tempfile::tempdir().unwrap(), name));
    let (archive, directory) = packed(&one.0.path().join(one.1), "022");
    let (again, _) = packed(&two.0.path().join(two.1), "077");
    assert!(std::fs::read(&archive).unwrap() == std::fs::read(again).unwrap(), "two archives of one program differ");

    let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
    let listed = content(Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(&archive).env("TZ", "UTC"));
    for line in listed.lines() {
        assert!(line.contains(" 0/0 ") && line.contains(" 2023-11-14 22:13 "), "{line}");
    }
    for file in [
        "magistrate",
        "completions/magistrate.bash",
        "man/magistrate.1",
        "man/magistrate-policy-apply.1",
        "sbom.cdx.json",
        "systemd/magistrate.service",
        "LICENSE",
        "SHA256SUMS",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(&format!(" {name}/{file}"))), "no {file} in:\n{listed}");
    }
    content(Command::new("sha256sum").current_dir(&directory).args(["--check", "--strict", "--quiet", "SHA256SUMS"]));
    let version = content(Command::new(directory.join("magistrate")).arg("--version"));
    assert!(name.starts_with(&version.trim().replace(' ', "-")), "{version}");
}
